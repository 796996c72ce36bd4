#!/usr/bin/env bash
# Cluster the features of the training instances, unless it was done for this checkpoint, then translate the test
# set with styles drawn from the clusters, or with --use_encoded_image True from the real photos. Any --key value is
# passed on.
source "$(dirname "$0")/common.sh"
source "$(dirname "$0")/features.sh"
mapfile -t options < <(pick "$data_options --name --load_ckpt --which_epoch --cluster_path $feature_options" "$@")
run precompute_feature_maps.py --config_path configs/pix2pixhd_512p_feat.yaml "${options[@]}" --only_clusters True
mapfile -t options < <(drop "$feature_options" "$@")
run eval.py --config_path configs/pix2pixhd_512p_feat.yaml "${options[@]}"
