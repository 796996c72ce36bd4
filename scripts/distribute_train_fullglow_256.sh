#!/usr/bin/env bash
# Train Full-Glow on Cityscapes at 256x256, on several devices:
#   bash scripts/distribute_train_fullglow_256.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute "${CONFIG:-configs/fullglow_cityscapes_256.yaml}" "$@"
