#!/usr/bin/env bash
# Evaluate the 128x128 hflow run: --task sample, interpolate, reconstruct, bits_per_dim or fid. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
run eval.py --config_path configs/hflow_128.yaml "$@"
