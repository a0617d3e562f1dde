#!/usr/bin/env bash
# Trains on a Cloud TPU slice, one process per host, without Kubernetes.
#
#   TPU=my-slice ZONE=us-east5-a REPO=https://github.com/me/coderl.git \
#     WORKDIR=/mnt/shared/run launch/tpu_pod.sh \
#     --config=configs/coderl_train.py:path=/mnt/shared/qwen2.5-coder-7b
#
# WORKDIR and the weights must be on a file system that all hosts mount. After a
# preemption the same command resumes from the last checkpoint.
set -euo pipefail
: "${TPU:?name of the slice}" "${ZONE:?its zone}" "${WORKDIR:?shared folder}"
: "${REPO:?where git finds this repository}"

on_every_host() {
  gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="$1"
}

on_every_host "
  set -e
  test -d coderl-checkout || git clone --quiet '$REPO' coderl-checkout
  cd coderl-checkout && git pull --quiet
  test -d .venv || python3 -m venv .venv
  .venv/bin/pip install --quiet -c constraints.txt -e '.[train,tpu]'"

on_every_host "cd coderl-checkout && .venv/bin/python -m main \
  --config.hosts.coordinator=auto --workdir='$WORKDIR' $(printf '%q ' "$@")"
