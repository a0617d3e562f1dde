#!/usr/bin/env bash
# Trains on a TPU slice of a GKE cluster, through XPK (pip install xpk).
#
#   CLUSTER=my-cluster TPU_TYPE=v5p-128 WORKDIR=/mnt/shared/run launch/xpk.sh \
#     --config=configs/coderl_train.py:path=/mnt/shared/qwen2.5-coder-7b
#
# WORKDIR and the weights must be in storage that the cluster mounts (xpk storage
# attach). The job runs the repository that holds this script.
set -euo pipefail
: "${CLUSTER:?name of the cluster}" "${TPU_TYPE:?such as v5p-128}"
: "${WORKDIR:?shared folder}"

exec xpk workload create \
  --cluster="$CLUSTER" \
  --workload="${WORKLOAD:-coderl}" \
  --tpu-type="$TPU_TYPE" \
  --num-slices=1 \
  --base-docker-image="${IMAGE:-python:3.12}" \
  --script-dir="$(cd "$(dirname "$0")/.." && pwd)" \
  --max-restarts="${RESTARTS:-3}" \
  --command="pip install -q -c constraints.txt -e '.[train,tpu]' && python -m \
    main --config.hosts.coordinator=auto --workdir='$WORKDIR' $(printf '%q ' "$@")"
