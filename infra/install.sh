#!/usr/bin/env bash
# Installs the locked dependencies into the environment whose python comes first on the PATH; a step of the Dockerfile.
#
# TORCH_INDEX: an index of PyTorch's CPU wheels. The versions stay those of the lock; its hashes are of the CUDA wheels,
# so these two packages are then taken without. Unset, everything comes by the lock, with CUDA, which runs on CPUs too.
set -euo pipefail
lock=$1
ca=/run/secrets/ca # a company's CA bundle, if the builder passed one
[ ! -f "$ca" ] || export PIP_CERT=$ca

install() { python -m pip install --no-cache-dir --disable-pip-version-check --quiet --no-deps "$@"; }

if [ -n "${TORCH_INDEX:-}" ]; then
    # An entry is its first line `NAME==VERSION …` and the indented ones after it.
    rest=$(mktemp)
    awk '/^[a-z]/ { cuda = /^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ && !/^nvidia-ml-py==/ } !cuda' \
        "$lock" >"$rest"
    read -r -a torch < <(grep -oE '^(torch|torchvision)==[^ ]+' "$lock" | paste -sd ' ')
    install --index-url "$TORCH_INDEX" "${torch[@]}"
    lock=$rest
fi
install --require-hashes --requirement "$lock"
