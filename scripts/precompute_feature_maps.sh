#!/usr/bin/env bash
# Encode the training instances with the encoder of the 512p_feat run: clusters, and train_feat for 1024p_feat.
source "$(dirname "$0")/common.sh"
run precompute_feature_maps.py --config_path configs/pix2pixhd_512p_feat.yaml "$@"
