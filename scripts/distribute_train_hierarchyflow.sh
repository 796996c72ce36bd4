#!/usr/bin/env bash
# Train Hierarchy Flow, content images to the style of other images, on several devices:
#   bash scripts/distribute_train_hierarchyflow.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
distribute configs/hierarchyflow_gta2cityscapes.yaml "$@"
