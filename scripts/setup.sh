#!/usr/bin/env bash
# Make the virtual environment .venv and install pinned requirements into it; does nothing when that is done already.
#   bash scripts/setup.sh [REQUIREMENTS_FILE]
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=${1:-requirements.txt}

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }

# Debian leaves venv out of Python; root may add it, and the library that MindSpore's kernels are linked to.
install_debian() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    echo "this system lacks $*: install it with apt-get install $*, then run this again" >&2
    return 1
  fi
}

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python=
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.10 python3; do
    if command -v "$candidate" >/dev/null && supported "$candidate"; then
      python=$candidate
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "MindSpore needs Python 3.10, 3.11 or 3.12, and none is here: install one, or set PYTHON to it" >&2
    exit 1
  fi
  echo "making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv 2>/dev/null || {
    install_debian python3-venv
    "$python" -m venv --clear .venv
  }
fi

wanted=$(cat requirements*.txt "$requirements" | sha256sum)
if [ "$(cat ".venv/$(basename "$requirements").installed" 2>/dev/null)" != "$wanted" ]; then
  echo "installing $requirements (MindSpore is 0.8 GB, this takes some minutes)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  if ! ldconfig -p 2>/dev/null | grep -q libgomp.so.1; then install_debian libgomp1; fi
  echo "$wanted" > ".venv/$(basename "$requirements").installed"
fi
