#!/usr/bin/env bash
# Writes long random secrets, and how this machine is shared out, into a file for `docker compose --env-file`.
#
#   infra/secrets.sh [FILE]   infra/.env unless told otherwise; a file that is there stays as it is
set -euo pipefail
file=${1:-$(dirname "$0")/.env}
[ ! -e "$file" ] || exit 0

# 48 of 62 characters: letters and digits need no quoting in URLs and files.
secret() { head -c 400 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 48; }
cores=$(nproc)

umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
# No name is one that Ray, MLflow or an S3 client reads: what a shell exports for them would win over this file.
cat >"$new" <<END
# Secrets of this stack; docs/compose.md says how to change them.
RAY_TOKEN=$(secret)
MLFLOW_PASSWORD=$(secret)
MLFLOW_SESSION_KEY=$(secret)
DATABASE_PASSWORD=$(secret)
S3_ACCESS_KEY=$(secret)
S3_SECRET_KEY=$(secret)

# Sizes: this machine's $cores cores, shared between two workers.
RAY_WORKERS=2
RAY_WORKER_CPUS=$((cores > 3 ? cores / 2 : 1))
RAY_WORKER_MEMORY=4g
END
ln "$new" "$file" # never over another's, made meanwhile
