#!/usr/bin/env bash
# Train pix2pixHD on several devices, 1024x2048, starting from the 512p run:
#   bash scripts/distribute_train_1024p.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/pix2pixhd_1024p.yaml "$@"
