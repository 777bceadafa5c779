#!/usr/bin/env bash
# Prepares a dataset of many videos on a Slurm cluster: an array of jobs, then one that joins them.
#
#   launch/slurm/prepare.sh PARTS VIDEO [VIDEO ...] --out DATASET [options of motion-jax prepare]
#
# PARTS jobs share the videos; a video is never divided, so there are at most as many. Activate
# motion-jax's environment first. Videos, DATASET and the cache ($MOTION_JAX_CACHE) must lie where
# all nodes see them. Options for sbatch itself: $SBATCH_PARTITION, $SBATCH_ACCOUNT and so on.
set -euo pipefail

fail() {
  echo "prepare.sh: error: $*" >&2
  exit 2
}
parts=${1:-}
if [[ $parts == -h || $parts == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
  exit 0
fi
[[ $parts =~ ^[1-9][0-9]*$ ]] || fail "The first argument is the number of parts, 1 or more, not '$parts'."
shift
[[ " $* " == *" --out "* || " $* " == *" --out="* ]] || fail "Name the dataset's folder with --out."
command -v sbatch > /dev/null || fail "There is no sbatch on the PATH; run this on a login node of the cluster."

here=$(dirname "${BASH_SOURCE[0]}")
array=$(sbatch --parsable --array="1-$parts" "$here/prepare.sbatch" "$parts" "$@") ||
  fail "sbatch did not take the array of $parts jobs; nothing was submitted."
array=${array%%;*}
merge=$(sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes "$here/prepare.sbatch" merge "$@") ||
  fail "sbatch took the array (job $array) but not the job that joins the parts; when the array is done, run: motion-jax prepare ... --merge."
echo "Job $array makes $parts parts; job ${merge%%;*} joins them when all are done."
