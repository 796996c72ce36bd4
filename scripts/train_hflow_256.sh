#!/usr/bin/env bash
# Train hflow on 256x256 images (make them with data/create_hflow_dataset.py). Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run train.py --config_path configs/hflow_256.yaml "$@"
