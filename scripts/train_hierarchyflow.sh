#!/usr/bin/env bash
# Train Hierarchy Flow from contents to the style of others. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/hierarchyflow_gta2cityscapes.yaml "$@"
