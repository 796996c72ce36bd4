#!/usr/bin/env bash
# Translate the test set with the 1024p_feat run; styles come from the clusters that its training took over,
# or with --use_encoded_image True from the real photos. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run eval.py --config_path configs/pix2pixhd_1024p_feat.yaml "$@"
