#!/usr/bin/env bash
# Translate the test set with the 512p run: images and a gallery. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run eval.py --config_path configs/pix2pixhd_512p.yaml "$@"
