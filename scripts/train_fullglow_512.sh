#!/usr/bin/env bash
# Train Full-Glow on Cityscapes at 512x1024. Another preset: CONFIG=configs/X.yaml. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path "${CONFIG:-configs/fullglow_cityscapes_512.yaml}" "$@"
