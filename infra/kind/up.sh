#!/usr/bin/env bash
# Brings up the whole service in a kind cluster on this machine; can be run again, and goes on where it stopped.
#
#   KIND_CLUSTER     the cluster's name; trainers
#   TRAINERS_IMAGE   the image, NAME:TAG; trainers:0.1.0, which `make image` builds where it is missing
set -euo pipefail
cd "$(dirname "$0")/../.."
cluster=${KIND_CLUSTER:-trainers}
image=${TRAINERS_IMAGE:-trainers:$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
namespace=trainers
release=trainers
operator=1.7.0

# Never another cluster that this shell may be set up for.
kubectl() { command kubectl --context "kind-$cluster" "$@"; }
helm() { command helm --kube-context "kind-$cluster" "$@"; }

# need PROGRAM WHERE
need() {
    type -P "$1" >/dev/null && return
    step="$1 is not on the PATH; how to get it: $2"
    exit 2
}

begin() {
    step=$1
    echo "== $step"
}

explain() {
    local code=$?
    [ "$code" -ne 0 ] || return 0
    echo "error: this step failed: $step" >&2
    case $step in
        *operator*) kubectl --namespace kuberay-system describe pods >&2 || true ;;
        *chart* | *test*)
            kubectl --namespace "$namespace" get pods,pvc >&2 || true
            # Of what is not ready, why: the events are at the end of what describe prints.
            kubectl --namespace "$namespace" get pods --field-selector status.phase!=Succeeded --output name 2>/dev/null \
                | while read -r pod; do kubectl --namespace "$namespace" describe "$pod" | tail -n 15 >&2; done || true
            ;;
    esac
    echo "when that is mended, run it again: what was done is kept" >&2
}
trap explain EXIT

need docker https://docs.docker.com/engine/install
need kind https://kind.sigs.k8s.io/docs/user/quick-start
need kubectl https://kubernetes.io/docs/tasks/tools
need helm https://helm.sh/docs/intro/install

begin "a Docker engine that runs"
docker info >/dev/null

begin "the image $image"
docker image inspect "$image" >/dev/null 2>&1 || make image

begin "the kind cluster $cluster"
if ! kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    kind create cluster --name "$cluster" --config infra/kind/cluster.yaml --wait 5m
fi

begin "the image in the cluster's nodes"
kind load docker-image "$image" --name "$cluster"

begin "the operator KubeRay $operator"
helm upgrade --install kuberay-operator kuberay-operator --repo https://ray-project.github.io/kuberay-helm/ \
    --version "$operator" --namespace kuberay-system --create-namespace --wait --timeout 5m

begin "the namespace $namespace, which takes only restricted pods"
kubectl create namespace "$namespace" --dry-run=client --output yaml | kubectl apply --filename -
kubectl label namespace "$namespace" --overwrite pod-security.kubernetes.io/enforce=restricted
kubectl apply --namespace "$namespace" --filename infra/kind/ports.yaml

begin "the chart"
helm upgrade --install "$release" helm/trainers --namespace "$namespace" --values helm/trainers/values-kind.yaml \
    --set image.repository="${image%:*}" --set image.tag="${image##*:}" --wait --timeout 10m
# Helm does not know when a RayCluster is ready.
kubectl --namespace "$namespace" wait raycluster "$release" --for=condition=RayClusterProvisioned --timeout=10m

begin "helm test"
helm test "$release" --namespace "$namespace" --logs --timeout 5m

begin "done"
echo "No port need be forwarded here: http://127.0.0.1:8265 is Ray's dashboard, http://127.0.0.1:5000 is MLflow."
helm get notes "$release" --namespace "$namespace"
