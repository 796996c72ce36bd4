#!/usr/bin/env bash
# Train pix2pixHD on several devices, 1024x2048 with instance features: precompute them, then train.
#   bash scripts/distribute_train_1024p_feat.sh DEVICES [DATA_ROOT] [--key value ...]
source "$(dirname "$0")/common.sh"
source "$(dirname "$0")/features.sh"
if [ "${NODE_RANK:-0}" = 0 ]; then
  options=("${@:2}")
  if [[ ${options[0]:-} =~ ^([Tt]rue|[Ff]alse)$ ]]; then options=("${options[@]:1}"); fi
  if [ ${#options[@]} -gt 0 ] && [[ ${options[0]} != --* ]]; then options=(--data_root "${options[@]}"); fi
  precompute_for "${options[@]}"
fi
mapfile -t options < <(drop "$feature_options" "$@")
distribute configs/pix2pixhd_1024p_feat.yaml "${options[@]}"
