#!/usr/bin/env bash
# Train Full-Glow on Cityscapes at 256x256. Another preset: CONFIG=configs/X.yaml. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path "${CONFIG:-configs/fullglow_cityscapes_256.yaml}" "$@"
