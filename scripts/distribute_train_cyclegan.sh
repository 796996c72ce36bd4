#!/usr/bin/env bash
# Train CycleGAN between two unpaired sets of images, on several devices:
#   bash scripts/distribute_train_cyclegan.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/cyclegan_gta2cityscapes.yaml "$@"
