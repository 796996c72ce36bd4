#!/usr/bin/env bash
# Train pix2pixHD on several devices, 512x1024 from labels and instance boundaries:
#   bash scripts/distribute_train_512p.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/pix2pixhd_512p.yaml "$@"
