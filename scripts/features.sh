# Shared by the scripts that need the features of another stage; common.sh comes first.

# precompute_for OPTION...: feature maps and clusters for a 1024p_feat run with these options.
precompute_for() {
  local options=() pretrained=()
  mapfile -t options < <(pick "$data_options" "$@")
  mapfile -t pretrained < <(pick "--load_pretrain" "$@")
  # the last word, because of an option given twice the later counts, and "--load_pretrain=DIR" is one word
  if [ ${#pretrained[@]} -gt 0 ]; then options+=(--load_ckpt "${pretrained[-1]#--load_pretrain=}"); fi
  run precompute_feature_maps.py --config_path configs/pix2pixhd_512p_feat.yaml "${options[@]}"
}
