#!/usr/bin/env bash
# Sample from the Full-Glow run at 256x256; --task bits_per_dim, transfer, interpolate, ... runs another task.
source "$(dirname "$0")/common.sh"
run eval.py --config_path "${CONFIG:-configs/fullglow_cityscapes_256.yaml}" "$@"
