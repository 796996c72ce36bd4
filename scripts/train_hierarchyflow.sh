#!/usr/bin/env bash
# Train Hierarchy Flow: content images to the style of other images. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/hierarchyflow_gta2cityscapes.yaml "$@"
