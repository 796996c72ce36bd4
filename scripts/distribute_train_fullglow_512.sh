#!/usr/bin/env bash
# Train Full-Glow on Cityscapes at 512x1024, on several devices:
#   bash scripts/distribute_train_fullglow_512.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute "${CONFIG:-configs/fullglow_cityscapes_512.yaml}" "$@"
