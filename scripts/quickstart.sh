#!/usr/bin/env bash
# From a fresh clone to translated images on the CPU: environment, street scenes, a small pix2pixHD, its gallery.
# Started again, it continues where it stopped. Any --key value is passed to the training.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
PYTHON=$PWD/.venv/bin/python
DEVICE_TARGET=${DEVICE_TARGET:-CPU}
source scripts/common.sh

scenes=datasets/street_scenes
if [ ! -d "$scenes/test_label" ]; then
  "$PYTHON" data/create_street_scenes.py "$scenes" --train 192 --test 12 --width 256 --height 128
fi
resume=()
if [ -f checkpoints/quickstart/manifest.json ]; then resume=(--continue_train True); fi
run train.py --config_path configs/quickstart.yaml "${resume[@]}" "$@"
run eval.py --config_path configs/quickstart.yaml
