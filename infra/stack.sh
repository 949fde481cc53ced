#!/usr/bin/env bash
# The service on this host, in containers: `make up`, `make down`, `make logs`. docs/compose.md says more.
#
#   up     builds the image if it is missing, makes the secrets, starts all, says what to do next (GPU=1: with GPUs)
#   down   stops all; data stays (DATA=delete: it does not)
#   logs   of all, or of the service that SERVICE names, until Ctrl-C
#
# A second stack beside the first: COMPOSE_PROJECT_NAME, TRAINERS_ENV_FILE, RAY_DASHBOARD_PORT and MLFLOW_PORT of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
docker=${TRAINERS_DOCKER:-docker}
secrets=${TRAINERS_ENV_FILE:-infra/.env}
token=$(dirname "$secrets")/ray-token
files=(--file infra/compose.yaml)
[ -z "${GPU:-}" ] || files+=(--file infra/compose.gpu.yaml)

compose() { "$docker" compose --env-file "$secrets" "${files[@]}" "$@"; }
fail() { echo "error: $*" >&2 && exit "${code:-2}"; }

up() {
    "$docker" compose version >/dev/null 2>&1 || fail "there is no \`$docker compose\`; it comes with Docker"
    "$docker" info >/dev/null 2>&1 || fail "no Docker engine answers \`$docker info\`"
    infra/secrets.sh "$secrets"
    # An image that TRAINERS_IMAGE names is pulled if need be.
    if [ -z "${TRAINERS_IMAGE:-}" ]; then
        TRAINERS_IMAGE=trainers:$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
        export TRAINERS_IMAGE
        "$docker" image inspect "$TRAINERS_IMAGE" >/dev/null 2>&1 || infra/build.sh
    fi
    SECONDS=0
    compose up --detach --wait --wait-timeout 300 --remove-orphans \
        || code=1 fail "not all of it is healthy; \`make logs\` has what it says"
    (umask 077 && sed -n 's/^RAY_TOKEN=//p' "$secrets" >"$token")
    local ray mlflow
    ray=http://$(compose port head 8265) mlflow=http://$(compose port mlflow 5000)
    cat <<END

ready after $SECONDS s
  train   python jobs/catsdogs.py --on $ray --token $token
  look    $mlflow   MLflow: user admin, password MLFLOW_PASSWORD of $secrets
          $ray   Ray: its token is in $token
  stop    make down
END
}

down() {
    [ -e "$secrets" ] || fail "there is no $secrets, so nothing was started from here"
    local volumes=()
    [ "${DATA:-}" != delete ] || volumes=(--volumes)
    compose down --remove-orphans "${volumes[@]}"
}

logs() { compose logs --follow --tail 100 ${SERVICE:+"$SERVICE"}; }

case ${1:-} in
    up | down | logs) "$1" ;;
    *) fail "usage: infra/stack.sh up|down|logs" ;;
esac
