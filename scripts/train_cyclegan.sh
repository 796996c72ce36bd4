#!/usr/bin/env bash
# Train CycleGAN between two unpaired sets of images. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/cyclegan_gta2cityscapes.yaml "$@"
