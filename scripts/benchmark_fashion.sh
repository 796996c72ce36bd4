#!/usr/bin/env bash
# Full-Glow, C-Glow and DUAL-Glow trained on Fashion-MNIST and measured: one table, in under an hour on two cores.
# Started again, it goes on where it stopped. Options: see benchmarks/fashion.py; any other --key value goes to train.py.
source "$(dirname "$0")/common.sh"
exec "$PYTHON" "$root/benchmarks/fashion.py" "${device[@]}" "$@"
