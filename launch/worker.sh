#!/usr/bin/env bash
# The part of tpu.py that runs on each machine of a slice; it lies in ~/motion-jax there, beside the
# wheel, constraints.txt, the mounting of buckets and job.sh (the training and its environment).
#
#   worker.sh install DATA_BUCKET RUNS_BUCKET SETUP    any of them may be empty
#   worker.sh run       begins the training in the background; leaves it where it runs
#   worker.sh status    running, stopped, or the exit status
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# A number alone may be another process's after the machine was started anew.
running() {
  [[ -f pid ]] && grep --quiet --text job.sh "/proc/$(cat pid)/cmdline" 2> /dev/null
}

case $1 in
  install)
    if [[ -n $4 ]]; then bash -c "$4"; fi
    # The machines come with an older Python; uv fetches one of its own.
    python3 -m pip install --quiet --user --upgrade uv
    uv=$(python3 -m site --user-base)/bin/uv
    [[ -d env ]] || "$uv" venv --quiet --python 3.11 env
    wheel=$(echo motion_jax-*.whl)
    "$uv" pip install --quiet --python env/bin/python --constraint constraints.txt --reinstall-package motion-jax "motion-jax[tpu] @ file://$PWD/$wheel"
    if [[ -n $2 ]]; then bash bucket.sh data "$2" /tmp/data; fi
    if [[ -n $3 ]]; then bash bucket.sh runs "$3" /tmp/runs; fi
    ;;
  run)
    if running; then exit 0; fi
    rm -f status
    nohup setsid bash -c 'bash job.sh; echo $? > status.new; mv status.new status' >> log 2>&1 < /dev/null &
    echo $! > pid
    ;;
  status)
    [[ -x env/bin/motion-jax ]]
    if running; then
      echo running
    elif [[ -f status ]]; then
      cat status
    else
      echo stopped
    fi
    ;;
  *)
    echo "worker.sh: error: there is no verb $1." >&2
    exit 2
    ;;
esac
