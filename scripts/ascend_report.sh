#!/usr/bin/env bash
# Find out on this device what cannot be known without one: one JSON and one page to send back.
# Options: see benchmarks/ascend_report.py; any other --key value goes to train.py.
source "$(dirname "$0")/common.sh"
exec "$PYTHON" "$root/benchmarks/ascend_report.py" "${device[@]}" "$@"
