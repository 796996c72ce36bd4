#!/usr/bin/env bash
# Train CUT between two unpaired sets of images. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/cut_gta2cityscapes.yaml "$@"
