#!/usr/bin/env bash
# Mounts a Cloud Storage bucket with gcsfuse.
#
#   launch/bucket.sh data BUCKET FOLDER    datasets: read only, cached on the local disk
#   launch/bucket.sh runs BUCKET FOLDER    runs: written by several machines, nothing cached
#
# The settings, with the reason of each, are in gcsfuse-data.yaml and gcsfuse-runs.yaml.
set -euo pipefail

fail() {
  echo "bucket.sh: error: $*" >&2
  exit 2
}
[[ $# -eq 3 && ($1 == data || $1 == runs) ]] || fail "Usage: bucket.sh data|runs BUCKET FOLDER."
command -v gcsfuse > /dev/null || fail "gcsfuse is not installed on $(hostname); install it as its documentation says."
bucket=${2#gs://}
folder=$3
mkdir -p "$folder"
if mountpoint --quiet "$folder"; then
  echo "$folder is mounted already."
  exit 0
fi
options=(--config-file "$(dirname "${BASH_SOURCE[0]}")/gcsfuse-$1.yaml")
if [[ $1 == data ]]; then options+=(-o ro); fi
said=$(gcsfuse "${options[@]}" "${bucket%/}" "$folder" 2>&1) ||
  fail "gcsfuse could not mount $bucket at $folder: ${said##*$'\n'}"
if [[ $1 == data ]]; then
  # Names and sizes of all files are fetched once, before training asks for them.
  ls -R "$folder" > /dev/null
fi
