#!/usr/bin/env bash
# Translate the test set, or --input PATH (an image, folder, list or video), with a trained run.
# Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run eval.py --config_path configs/cut_gta2cityscapes.yaml "$@"
