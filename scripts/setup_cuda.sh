#!/usr/bin/env bash
# Make MindSpore's CUDA plug-in loadable: CUDA 11 libraries from PyPI into the environment, a CUDA_HOME whose nvcc reports
# a version the loader accepts, and a file of variables; then run one operator on the GPU to prove it.
#   bash scripts/setup_cuda.sh [--dry_run]
# Takes 1.7 GB to download and 2.9 GB of disk. Status: 0 it works, 1 it does not (the reason is printed), 2 wrong usage.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x "$root/.venv/bin/python" ]; then PYTHON=$root/.venv/bin/python; fi
fi

dry_run=0
case "${1:-}" in
  "") ;;
  --dry_run) dry_run=1 ;;
  *)
    echo "usage: bash scripts/setup_cuda.sh [--dry_run]" >&2
    exit 2
    ;;
esac

packages=(
  nvidia-cublas-cu11==11.11.3.6
  nvidia-cudnn-cu11==8.9.6.50
  nvidia-cuda-runtime-cu11==11.8.89
  nvidia-cuda-nvrtc-cu11==11.8.89
  nvidia-cusolver-cu11==11.4.1.48
  nvidia-cufft-cu11==10.9.0.58
  nvidia-curand-cu11==10.3.0.86
  nvidia-cusparse-cu11==11.7.5.86
)

if ! site=$("$PYTHON" -c 'import importlib.util as u, os
spec = u.find_spec("mindspore")
print(os.path.dirname(os.path.dirname(spec.origin)) if spec else "")') || [ -z "$site" ]; then
  echo "$PYTHON has no MindSpore: pip install -r requirements.txt, or set PYTHON to the interpreter that has it" >&2
  exit 1
fi
plugin=$site/mindspore/lib/plugin/libmindspore_gpu.so.11.6
if [ ! -e "$plugin" ]; then
  echo "$plugin does not exist: this MindSpore has no CUDA plug-in (the Linux x86-64 wheels of PyPI have it)" >&2
  exit 1
fi
prefix=$("$PYTHON" -c 'import sys; print(sys.prefix)')
home=$prefix/cuda11
variables=$home/env.sh

echo "environment  $prefix"
echo "packages     ${packages[*]}"
echo "CUDA_HOME    $home"
echo "variables    $variables"
if [ $dry_run = 1 ]; then
  echo "dry run: nothing was installed or written"
  exit 0
fi

# checked before the download, which is useless without a driver; containers keep it outside of the linker's cache
if ! "$PYTHON" -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2>/dev/null; then
  echo "there is no NVIDIA driver here (libcuda.so.1 cannot be opened), so nothing was installed: install the driver (450.80 or" \
    "newer), in a container pass the GPU in (docker run --gpus all), then run this again" >&2
  exit 1
fi

"$PYTHON" -m pip install --quiet --disable-pip-version-check "${packages[@]}"

mkdir -p "$home/bin"
# MindSpore asks nvcc for the release and for nothing else
printf '#!/bin/sh\necho "Cuda compilation tools, release 11.6, V11.6.124"\n' >"$home/bin/nvcc"
chmod +x "$home/bin/nvcc"
libraries=
for folder in "$site"/nvidia/*/lib; do libraries=${libraries:+$libraries:}$folder; done
{
  echo "# written by scripts/setup_cuda.sh"
  printf 'export CUDA_HOME=%q\n' "$home"
  printf 'export LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "$libraries"
} >"$variables.part"
mv "$variables.part" "$variables"

source "$variables"
# the first operators are slow on GPUs newer than the plug-in, because the driver compiles them
if ! answer=$(cd "$root" && timeout 1200 "$PYTHON" -c 'import src, mindspore as ms, numpy as np
ms.set_device("GPU")
print(float((ms.Tensor(np.ones(2, np.float32)) + 1).sum().asnumpy()))' 2>&1); then
  echo "the libraries are in place, but no operator runs on the GPU. The last lines of MindSpore:" >&2
  printf '%s\n' "$answer" | grep -v '^ *$' | tail -n 5 >&2
  exit 1
fi
if [ "${answer##*$'\n'}" != 4.0 ]; then
  echo "an operator ran on the GPU, but its result is ${answer##*$'\n'} and not 4.0" >&2
  exit 1
fi
echo "an operator ran on the GPU; DEVICE_TARGET=GPU bash scripts/train_512p.sh trains on it"
