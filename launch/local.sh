#!/usr/bin/env bash
# Trains on the GPUs of this machine.
#
#   launch/local.sh CONFIG --data DATASET --run RUN [options of motion-jax train]
#   launch/local.sh -n 4 CONFIG ...      four processes with a GPU each
#   launch/local.sh -n 4 -p 12345 ...    where port 12321 is taken
#
# One process drives all GPUs, and is the right choice on one machine. Several processes are what a
# cluster does; here they serve for trying that out. Where a process is lost, all are begun again from
# the last checkpoint (after a crash three times at most); bad input ends it. A stop by Ctrl-C or
# SIGTERM saves first.
set -uo pipefail

processes=1
port=12321
usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
}
# "-:" takes --help for the option "-" with the value "help".
while getopts "n:p:h-:" option; do
  case $option in
    n) processes=$OPTARG ;;
    p) port=$OPTARG ;;
    h) usage && exit 0 ;;
    -)
      [[ $OPTARG == help ]] && usage && exit 0
      echo "local.sh: there is no option --$OPTARG before the config" >&2
      usage >&2
      exit 2
      ;;
    *) usage >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))

fail() {
  echo "local.sh: error: $*" >&2
  exit 2
}
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "-n $processes is no number of processes; give 1 or more."
[[ $port =~ ^[1-9][0-9]*$ ]] || fail "-p $port is no port; give a number such as 12321."
[[ $# -gt 0 ]] || fail "No config was named; see local.sh -h."
command -v motion-jax > /dev/null || fail "There is no motion-jax on the PATH; activate its environment first."
if ((processes > 1)) && command -v nvidia-smi > /dev/null; then
  gpus=$(nvidia-smi --list-gpus | wc -l)
  ((processes <= gpus)) || fail "-n $processes needs as many GPUs; this machine has $gpus."
fi

# shellcheck source=launch/gpu.env
source "$(dirname "${BASH_SOURCE[0]}")/gpu.env"

asked=0
children=()
stop() {
  asked=1
  kill -TERM "${children[@]}" 2> /dev/null
}
trap stop TERM INT USR1

train() {
  local process child status=0 one
  children=()
  if ((processes == 1)); then
    motion-jax train "$@" &
    children+=($!)
  else
    for ((process = 0; process < processes; process++)); do
      CUDA_VISIBLE_DEVICES=$process motion-jax train "$@" \
        --coordinator "localhost:$port" --process "$process" --processes "$processes" &
      children+=($!)
    done
  fi
  for child in "${children[@]}"; do
    wait "$child"
    one=$?
    # A signal to this script interrupts `wait`: the child is still saving.
    while kill -0 "$child" 2> /dev/null; do
      wait "$child"
      one=$?
    done
    # The cause, not its consequence in the others (75).
    if ((one != 0 && (status == 0 || status == 75))); then status=$one; fi
  done
  return $status
}

crashes=0
while true; do
  train "$@"
  status=$?
  case $status in
    0 | 2 | 130) exit $status ;;
    75) ;;
    *) ((++crashes <= 3)) || exit $status ;;
  esac
  if ((asked)); then exit $status; fi
  echo "local.sh: a process was lost (status $status); going on from the last checkpoint." >&2
  sleep "${MOTION_JAX_PAUSE:-5}"
done
