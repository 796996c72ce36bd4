#!/usr/bin/env bash
# Compile training and evaluation of every mode for Ascend without an NPU: kernels, memory, seconds.
# Options: see benchmarks/simulate_ascend.py; any other --key value is passed on.
source "$(dirname "$0")/common.sh"
exec nice "$PYTHON" "$root/benchmarks/simulate_ascend.py" "$@"
