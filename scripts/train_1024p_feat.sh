#!/usr/bin/env bash
# Train pix2pixHD, 1024x2048 with instance features: precompute them with the 512p_feat run, then train from it.
# Any --key value is passed on; --load_pretrain DIR names another 512p_feat run.
source "$(dirname "$0")/common.sh"
source "$(dirname "$0")/features.sh"
precompute_for "$@"
mapfile -t options < <(drop "$feature_options" "$@")
run train.py --config_path configs/pix2pixhd_1024p_feat.yaml "${options[@]}"
