#!/usr/bin/env bash
# Builds the image of the service; says how large it is and how long it took.
#
# TRAINERS_IMAGE        its name (trainers:VERSION)
# TRAINERS_PYTHON_BASE  another base with Python 3.11, as a mirror's (python:3.11-slim-bookworm)
# TORCH_INDEX           an index of PyTorch's CPU wheels, for an image without CUDA
# SSL_CERT_FILE         a CA bundle for the downloads; it does not stay in the image
# TRAINERS_SOURCE       where the code lies, for the image's label
set -euo pipefail
cd "$(dirname "$0")/.."
docker=${TRAINERS_DOCKER:-docker}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
image=${TRAINERS_IMAGE:-trainers:$version}

arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
[ -z "${TRAINERS_PYTHON_BASE:-}" ] || arguments+=(--build-arg "PYTHON_BASE=$TRAINERS_PYTHON_BASE")
[ -z "${TORCH_INDEX:-}" ] || arguments+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
[ -z "${TRAINERS_SOURCE:-}" ] || arguments+=(--build-arg "SOURCE=$TRAINERS_SOURCE")
[ -z "${SSL_CERT_FILE:-}" ] || arguments+=(--secret "id=ca,src=$SSL_CERT_FILE")

echo "building $image (the first time about 3 minutes and 7 GB of downloads and disk, without CUDA less)"
DOCKER_BUILDKIT=1 "$docker" build --progress plain --file infra/Dockerfile --tag "$image" "${arguments[@]}" "$@" .
size=$("$docker" image inspect --format '{{.Size}}' "$image")
echo "built $image: $((size / 1000000)) MB in $SECONDS s"
