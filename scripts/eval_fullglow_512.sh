#!/usr/bin/env bash
# Sample from the Full-Glow run at 512x1024; --task bits_per_dim, transfer, interpolate, ... runs another task.
source "$(dirname "$0")/common.sh"
run eval.py --config_path "${CONFIG:-configs/fullglow_cityscapes_512.yaml}" "$@"
