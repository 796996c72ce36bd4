# Shared by the scripts that need the features of another stage; common.sh comes first.

# Options of precompute_feature_maps.py that train.py and eval.py do not have.
feature_options="--n_clusters --cluster_seed --only_clusters"

# value_of "--a --b" DEFAULT OPTION...: the value of the last of the listed options; True for an option without a value.
value_of() {
  local words=()
  mapfile -t words < <(pick "$1" "${@:3}")
  if [ ${#words[@]} = 0 ]; then
    printf '%s\n' "$2"
    return
  fi
  case ${words[-1]} in
    --*=*) printf '%s\n' "${words[-1]#--*=}" ;;
    --*) echo True ;;
    *) printf '%s\n' "${words[-1]}" ;;
  esac
}

# resumes OPTION...: whether a 1024p_feat run with these options continues from a checkpoint.
resumes() {
  local folder
  folder=$(value_of "--save_ckpt_dir --checkpoints_dir" ./checkpoints "$@")/$(value_of --name label2city_1024p_feat "$@")
  [[ $(value_of --continue_train False "$@") =~ ^([Tt]rue|TRUE|[Yy]es|YES|[Oo]n|ON|1)$ ]] && [ -e "$folder/manifest.json" ]
}

# precompute_for OPTION...: feature maps and clusters for a 1024p_feat run with these options, where they are not up to
# date. A run that has begun keeps those it began with.
precompute_for() {
  local options=() pretrained
  if resumes "$@"; then return; fi
  mapfile -t options < <(pick "$data_options --phase --which_epoch $feature_options" "$@")
  pretrained=$(value_of --load_pretrain "" "$@")
  if [ -n "$pretrained" ]; then options+=(--load_ckpt "$pretrained"); fi
  run precompute_feature_maps.py --config_path configs/pix2pixhd_512p_feat.yaml "${options[@]}"
}
