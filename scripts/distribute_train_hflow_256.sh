#!/usr/bin/env bash
# Train hflow on several devices, 256x256 images:
#   bash scripts/distribute_train_hflow_256.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/hflow_256.yaml "$@"
