#!/usr/bin/env bash
# Train hflow on several devices, 128x128 images:
#   bash scripts/distribute_train_hflow_128.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/hflow_128.yaml "$@"
