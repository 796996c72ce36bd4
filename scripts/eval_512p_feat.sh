#!/usr/bin/env bash
# Cluster the features of the training instances, then translate the test set with styles drawn from the clusters,
# or with --use_encoded_image True from the real photos. Any --key value is passed on.
source "$(dirname "$0")/common.sh"
mapfile -t options < <(pick "$data_options --name --load_ckpt --which_epoch --n_clusters --cluster_path" "$@")
run precompute_feature_maps.py --config_path configs/pix2pixhd_512p_feat.yaml --only_clusters True "${options[@]}"
run eval.py --config_path configs/pix2pixhd_512p_feat.yaml "$@"
