#!/usr/bin/env bash
# Install the test tools, check style and types and run every test. Any argument goes to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh requirements-dev.txt
# the gallery is tested in a real browser; gcc and binutils build the libraries that replace Ascend's in the simulation
missing=()
command -v "${BROWSER_PATH:-chromium}" >/dev/null || missing+=(chromium)
command -v gcc >/dev/null || missing+=(gcc libc6-dev g++)
command -v nm >/dev/null || missing+=(binutils)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the tests need ${missing[*]}: install them first" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
export ONEDNN_MAX_CPU_ISA=${ONEDNN_MAX_CPU_ISA:-AVX2} GLOG_v=${GLOG_v:-3}
# two at a time, each file in one process: most tests wait for a compiler that uses one core
exec .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder "$@"
