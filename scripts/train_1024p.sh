#!/usr/bin/env bash
# Train pix2pixHD, 1024x2048, starting from the 512p run. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/pix2pixhd_1024p.yaml "$@"
