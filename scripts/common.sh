# Shared functions of the scripts: choice of Python and device, and passing of options.
# Environment variables: PYTHON, DEVICE_TARGET (Ascend, GPU, CPU or auto), and for several hosts
# WORKER_NUM (of all hosts), NODE_RANK, MASTER_ADDR and MASTER_PORT. BIND_CORE=1 binds workers to processor cores.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x "$root/.venv/bin/python" ]; then PYTHON=$root/.venv/bin/python; fi
fi
if ! "$PYTHON" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("mindspore") is None)'; then
  echo "$PYTHON has no MindSpore: pip install -r requirements.txt, or set PYTHON to the interpreter that has it" >&2
  exit 1
fi
export ONEDNN_MAX_CPU_ISA=${ONEDNN_MAX_CPU_ISA:-AVX2} GLOG_v=${GLOG_v:-3}
device=(--device_target "${DEVICE_TARGET:-auto}")
# written by setup_cuda.sh: paths of the CUDA libraries of this environment
cuda_variables=$("$PYTHON" -c 'import sys; print(sys.prefix)')/cuda11/env.sh
if [ "${DEVICE_TARGET:-}" = GPU ] && [ -z "${CUDA_HOME:-}" ] && [ -f "$cuda_variables" ]; then source "$cuda_variables"; fi

# run PROGRAM OPTION...: run one of the project's programs; the last value of a repeated option is used.
run() {
  local program=$1
  shift
  "$PYTHON" "$root/$program" "${device[@]}" "$@"
}

# pick "--a --b" OPTION...: print, one word a line, those options whose names are listed, with their values.
pick() { sift 1 "$@"; }

# drop "--a --b" OPTION...: print the other words.
drop() { sift 0 "$@"; }

# sift KEPT NAMES WORD...: print the words that belong to the listed options (KEPT 1), or those that do not (0).
sift() {
  local kept=$1 wanted=" $2 " listed=0 word
  shift 2
  for word in "$@"; do
    case $word in
      --*) if [[ $wanted == *" ${word%%=*} "* ]]; then listed=1; else listed=0; fi ;;
    esac
    if [ $listed = "$kept" ]; then printf '%s\n' "$word"; fi
  done
}

# Options that stages before training or evaluation also need.
data_options="--data_root --dataroot --save_ckpt_dir --checkpoints_dir --max_instances --allow_8bit_instances
--device_target --device_id --gpu_ids --mode --num_workers --nThreads"
data_options=${data_options//$'\n'/ }

# distribute CONFIG DEVICES [DATA_ROOT] [OPTION...]: train on DEVICES devices of this host, gradients averaged.
# The older form DEVICES DISTRIBUTE DATA_ROOT is accepted too.
distribute() {
  local config=$1 script=${0##*/}
  shift
  if ! [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: bash scripts/$script DEVICES [DATA_ROOT] [--key value ...]" >&2
    echo "       bash scripts/$script DEVICES DISTRIBUTE DATA_ROOT" >&2
    exit 1
  fi
  local devices=$1 together=True options=()
  shift
  if [[ ${1:-} =~ ^([Tt]rue|[Ff]alse)$ ]]; then
    together=$1
    shift
  fi
  if [ $# -gt 0 ] && [[ $1 != --* ]]; then
    options=(--data_root "$1")
    shift
  fi
  if [[ $together == [Ff]alse ]]; then
    run train.py --config_path "$config" "${options[@]}" "$@"
    return
  fi
  if [ -n "${MASTER_PORT:-}" ]; then check_port "$MASTER_PORT"; fi
  check_devices "$devices" "${device[@]}" "$@"
  # missing files are reported once, before any worker starts
  run train.py --config_path "$config" "${options[@]}" "$@" --check_start True
  launch "$devices" train.py --config_path "$config" "${device[@]}" --run_distribute True "${options[@]}" "$@"
}

# check_port PORT: the first host must be able to listen there.
check_port() {
  if [ "${NODE_RANK:-0}" = 0 ] && ! "$PYTHON" -c "import socket; socket.socket().bind(('', $1))" 2>/dev/null; then
    echo "error: port $1 is in use on this host: set MASTER_PORT to a free one, or unset it to have one chosen" >&2
    exit 2
  fi
}

# where devices are counted
device_folder=/dev

# check_devices DEVICES OPTION...: check that each worker has a device of the chosen target, where they can be counted.
check_devices() {
  local wanted=$1 word previous='' target='' count visible
  shift
  for word in "$@"; do
    case $word in --device_target=*) target=${word#*=} ;; esac
    if [ "$previous" = --device_target ]; then target=$word; fi
    previous=$word
  done
  # without a target the workers take the first kind that this host has
  if [ "$target" = auto ] && [ "$(count_devices davinci)" -gt 0 ]; then target=Ascend; fi
  if [ "$target" = auto ] && [ "$(count_devices nvidia)" -gt 0 ]; then target=GPU; fi
  case $target in
    Ascend) count=$(count_devices davinci) visible=${ASCEND_RT_VISIBLE_DEVICES:-} ;;
    GPU) count=$(count_devices nvidia) visible=${CUDA_VISIBLE_DEVICES:-} ;;
    *) return 0 ;;
  esac
  if [[ $visible =~ ^[0-9]+(,[0-9]+)*$ ]]; then
    visible=${visible//[^,]/}
    if [ $((${#visible} + 1)) -lt "$count" ]; then count=$((${#visible} + 1)); fi
  fi
  if [ -z "${MS_SIMULATION_LEVEL:-}" ] && [ "$count" -lt "$wanted" ]; then
    echo "error: $wanted workers need $wanted $target devices, this host has $count: ask for fewer" >&2
    exit 2
  fi
}

# count_devices NAME: how many device files NAME0, NAME1, ... there are.
count_devices() { { compgen -G "$device_folder/$1[0-9]*" || true; } | wc -l; }

# binding MSRUN: the options of msrun that BIND_CORE=1 stands for: each worker keeps to processor cores of its own.
binding() {
  case ${BIND_CORE:-0} in
    0) return 0 ;;
    1) ;;
    *)
      echo "error: BIND_CORE is $BIND_CORE: set it to 1 to bind workers to processor cores, or to 0" >&2
      exit 2
      ;;
  esac
  # not through a pipe: grep would end msrun, and pipefail would take that for an answer
  local known
  known=$("$1" --help 2>/dev/null) || known=
  if [[ $known != *--bind_core* ]]; then
    echo "error: this msrun does not know --bind_core, which came with MindSpore 2.7.2: unset BIND_CORE" >&2
    exit 2
  fi
  echo --bind_core=True
}

# launch DEVICES PROGRAM OPTION...: start workers with msrun; end all of them if one fails or this script is stopped.
# STOP_SECONDS is how long stopped workers may take to save; a second signal stops at once.
launch() {
  local devices=$1 program=$2 msrun logs port status=0 file
  shift 2
  msrun=$(dirname "$(command -v "$PYTHON")")/msrun
  if [ ! -x "$msrun" ]; then msrun=msrun; fi
  logs=${LOG_DIR:-log/$(date +%Y%m%d_%H%M%S)_$$}
  mkdir -p "$logs"
  export MINDI2I_STOP_FILE
  MINDI2I_STOP_FILE=$(cd "$logs" && pwd)/stop
  rm -f "$MINDI2I_STOP_FILE"
  # msrun takes a name on PATH, not a path, as the workers' interpreter, independent of its own interpreter
  export PATH=$(dirname "$(command -v "$PYTHON")"):$PATH
  # a rank table belongs to another method of starting workers, which conflicts with msrun
  unset RANK_TABLE_FILE
  export HCCL_CONNECT_TIMEOUT=${HCCL_CONNECT_TIMEOUT:-600}
  port=${MASTER_PORT:-$("$PYTHON" -c "import socket; s = socket.socket(); s.bind(('', 0)); print(s.getsockname()[1])")}
  local bound
  bound=$(binding "$msrun")
  local hosts=(--worker_num="${WORKER_NUM:-$devices}" --local_worker_num="$devices" --node_rank="${NODE_RANK:-0}")
  echo "$devices workers on this host, logs in $logs"
  set +e
  # in a separate process group, because msrun kills the workers on Ctrl-C before they can save
  set -m
  "$msrun" "${hosts[@]}" $bound --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$port" --log_dir="$logs" --join=True \
    --cluster_time_out="${CLUSTER_TIME_OUT:-300}" --tail_worker_log=0 python3 "$root/$program" "$@" &
  local pid=$! stopped=0 stopping=0 alone=0 ended=0
  set +m
  trap 'stopped=$((stopped + 1)); touch "$MINDI2I_STOP_FILE"' TERM INT HUP
  while kill -0 $pid 2>/dev/null; do
    sleep 1
    if [ $stopped -gt 0 ]; then stopping=$((stopping + 1)); fi
    if has_workers $pid; then alone=0; else alone=$((alone + 1)); fi
    # msrun may wait for ever for a worker that died before all had met; it ends everything on SIGINT, with status 0
    if [ $stopped -gt 1 ] || [ $stopping -gt "${STOP_SECONDS:-100}" ] || [ $alone -gt 40 ]; then
      ended=1
      kill -INT $pid 2>/dev/null
    fi
  done
  wait $pid
  status=$?
  trap - TERM INT HUP
  set -e
  if [ $ended = 1 ]; then
    status=1
    echo "the workers were ended before they were done" >&2
  fi
  if [ $stopped != 0 ]; then exit 143; fi
  if [ $status != 0 ]; then
    echo "the run ended with status $status; the last errors of the logs in $logs:" >&2
    # lines that all workers print are printed once
    for file in "$logs"/*.log; do
      grep -aE "error:|Error|ERROR" "$file" | tail -n 5 | sed "s|^|${file##*/}: |" || true
    done | awk '{ said = $0; sub(/^[^:]*: /, "", said) } !seen[said]++' >&2
  fi
  exit $status
}

# has_workers PID: whether msrun, the process PID, has workers left besides its scheduler.
has_workers() {
  local child children="/proc/$1/task/$1/children"
  # without this list no worker is known and none is ended
  if [ ! -r "$children" ]; then return 0; fi
  for child in $(cat "$children" 2>/dev/null); do
    if grep -qaz "^MS_ROLE=MS_WORKER" "/proc/$child/environ" 2>/dev/null; then return 0; fi
  done
  return 1
}
