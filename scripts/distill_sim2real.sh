#!/usr/bin/env bash
# Unpaired teacher to paired student: translate a folder with a trained CycleGAN, CUT or Hierarchy Flow, then
# train pix2pixHD on the pairs:
#   bash scripts/distill_sim2real.sh TEACHER SOURCE_FOLDER PAIRS_FOLDER [--student light] [--key value ...]
# TEACHER is the teacher's run folder (checkpoints/NAME), or a folder of translations from elsewhere under the names of
# the images in SOURCE_FOLDER. Options go to the student's training. A Hierarchy Flow teacher takes its styles from
# STYLE (an image, folder or list). The student is pix2pixHD's global generator, or the light one. With REAL, a folder of
# real images, a second discriminator sees patches of them (--real_patches, [4,8] unless it is given), matched by the
# VGG19 weights of VGG, or by random features.
source "$(dirname "$0")/common.sh"
if [ $# -lt 3 ] || [[ "$1$2$3" == *--* ]]; then
  echo "usage: bash scripts/distill_sim2real.sh TEACHER SOURCE_FOLDER PAIRS_FOLDER [--student light] [--key value ...]" >&2
  exit 1
fi
teacher=${1%/} pictures=$2 pairs=$3
shift 3
student=$(pick "--student" "$@" | sed 's/^--student=//' | tail -n 1)
case ${student:-global} in
  global) preset=configs/pix2pixhd_512p.yaml options=(--label_nc 0 --no_instance True) ;;
  light) preset=configs/pix2pixhd_light.yaml options=() ;;
  *)
    echo "--student $student is not one of global, light" >&2
    exit 1
    ;;
esac
mapfile -t training < <(drop "--student" "$@")
patches=$(pick "--real_patches" "$@" | sed 's/^--real_patches=//' | tail -n 1)
if [ -n "${REAL:-}" ] && [ -z "$patches" ]; then
  patches=[4,8]
  training+=(--real_patches "$patches")
fi
if [ -f "$teacher/config.yaml" ]; then
  model=$(sed -n 's/^model: //p' "$teacher/config.yaml")
  asked=()
  case $model in
    cyclegan) asked=(--direction "${DIRECTION:-AtoB}") ;;
    cut) ;;
    hierarchyflow)
      if [ -z "${STYLE:-}" ]; then
        echo "a Hierarchy Flow teacher needs styles: STYLE=FOLDER bash scripts/distill_sim2real.sh ..." >&2
        exit 1
      fi
      asked=(--style "$STYLE")
      ;;
    *)
      echo "$teacher is a run of $model: a teacher is a cyclegan, a cut or a hierarchyflow" >&2
      exit 1
      ;;
  esac
  mapfile -t shared < <(pick "--device_target --device_id --gpu_ids --mode --num_workers --nThreads" "$@")
  run eval.py --config_path "configs/$model.yaml" --load_ckpt "$teacher" --name "$(basename "$teacher")" \
    --predict_dir "$pairs/translations" --input "$pictures" --eval_size original --how_many 0 "${asked[@]}" "${shared[@]}"
  images=$(ls -td "$pairs/translations/$(basename "$teacher")"/*/images | head -n 1)
elif [ -d "$teacher" ]; then
  images=$teacher
else
  echo "$teacher is no folder: give the teacher's run, such as checkpoints/cyclegan_gta2cityscapes, or its translations" >&2
  exit 1
fi
"$PYTHON" "$root/data/pair_translations.py" "$pictures" "$images" "$pairs"
if [ -n "${REAL:-}" ]; then
  grid=$(tr -d '[] ' <<<"$patches" | tr , x)
  if [ ! -d "$pairs/train_real_$grid" ]; then
    "$PYTHON" "$root/data/match_patches.py" "$pairs" "$REAL" --grid "$grid" --vgg "${VGG:-}"
  fi
fi
run train.py --config_path "$preset" --name "$(basename "$teacher")_student" \
  "${options[@]}" --data_root "$pairs" "${training[@]}"
