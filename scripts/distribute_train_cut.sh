#!/usr/bin/env bash
# Train CUT between two unpaired sets of images, on several devices:
#   bash scripts/distribute_train_cut.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/cut_gta2cityscapes.yaml "$@"
