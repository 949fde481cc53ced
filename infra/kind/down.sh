#!/usr/bin/env bash
# Deletes the kind cluster of up.sh with all that is in it, data too; does nothing where there is none.
set -euo pipefail
cluster=${KIND_CLUSTER:-trainers}

command -v kind >/dev/null || { echo "error: kind is not on the PATH" >&2; exit 2; }
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    kind delete cluster --name "$cluster"
else
    echo "there is no kind cluster $cluster"
fi
