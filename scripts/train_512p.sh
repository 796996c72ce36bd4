#!/usr/bin/env bash
# Train pix2pixHD, 512x1024 from labels and instance boundaries. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/pix2pixhd_512p.yaml "$@"
