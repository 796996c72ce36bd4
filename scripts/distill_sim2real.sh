#!/usr/bin/env bash
# Unpaired teacher to paired student: translate a folder with a trained CycleGAN, CUT or Hierarchy Flow, then
# train pix2pixHD on the pairs:
#   bash scripts/distill_sim2real.sh TEACHER_RUN SOURCE_FOLDER PAIRS_FOLDER [--key value ...]
# TEACHER_RUN is the teacher's run folder (checkpoints/NAME). Options go to the student's training. A Hierarchy Flow
# teacher takes its styles from STYLE (an image, folder or list).
source "$(dirname "$0")/common.sh"
if [ $# -lt 3 ] || [[ "$1$2$3" == *--* ]]; then
  echo "usage: bash scripts/distill_sim2real.sh TEACHER_RUN SOURCE_FOLDER PAIRS_FOLDER [--key value ...]" >&2
  exit 1
fi
teacher=${1%/} pictures=$2 pairs=$3
shift 3
if [ ! -f "$teacher/config.yaml" ]; then
  echo "$teacher holds no run: give the teacher's folder, such as checkpoints/cyclegan_gta2cityscapes" >&2
  exit 1
fi
model=$(sed -n 's/^model: //p' "$teacher/config.yaml")
options=()
case $model in
  cyclegan) options=(--direction "${DIRECTION:-AtoB}") ;;
  cut) ;;
  hierarchyflow)
    if [ -z "${STYLE:-}" ]; then
      echo "a Hierarchy Flow teacher needs styles: STYLE=FOLDER bash scripts/distill_sim2real.sh ..." >&2
      exit 1
    fi
    options=(--style "$STYLE")
    ;;
  *)
    echo "$teacher is a run of $model: a teacher is a cyclegan, a cut or a hierarchyflow" >&2
    exit 1
    ;;
esac
mapfile -t shared < <(pick "--device_target --device_id --gpu_ids --mode --num_workers --nThreads" "$@")
run eval.py --config_path "configs/$model.yaml" --load_ckpt "$teacher" --name "$(basename "$teacher")" \
  --predict_dir "$pairs/translations" --input "$pictures" --eval_size original --how_many 0 "${options[@]}" "${shared[@]}"
images=$(ls -td "$pairs/translations/$(basename "$teacher")"/*/images | head -n 1)
"$PYTHON" "$root/data/pair_translations.py" "$pictures" "$images" "$pairs"
run train.py --config_path configs/pix2pixhd_512p.yaml --name "$(basename "$teacher")_student" \
  --label_nc 0 --no_instance True --data_root "$pairs" "$@"
