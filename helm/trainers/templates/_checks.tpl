{{/* What the schema cannot say; each rule ends the installation with what is wrong, where, what to do. */}}
{{- define "trainers.checks" -}}
{{- include "trainers.checks.names" . -}}
{{- include "trainers.checks.workers" . -}}
{{- include "trainers.checks.ray" . -}}
{{- include "trainers.checks.services" . -}}
{{- end }}

{{- define "trainers.checks.names" -}}
{{- $name := include "trainers.name" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "fullnameOverride: the name %q must begin with a letter and hold only a-z, 0-9 and -; give another one" $name) -}}
{{- end -}}
{{- /* A RayJob's name has 47 characters at most, nine of which are a dash and a hash. */ -}}
{{- if gt (len $name) 38 -}}
{{- fail (printf "fullnameOverride: the name %q has %d characters, 38 are possible; give a shorter one" $name (len $name)) -}}
{{- end -}}
{{- end }}

{{- define "trainers.checks.workers" -}}
{{- if not .Values.ray.workers -}}
{{- fail "ray.workers: there is no group; nothing could train" -}}
{{- end -}}
{{- range $group, $set := .Values.ray.workers -}}
{{- $at := printf "ray.workers.%s" $group -}}
{{- if eq $group "headgroup" -}}
{{- fail (printf "%s: Ray calls its head so; give the group another name" $at) -}}
{{- end -}}
{{- $replicas := int $set.replicas -}}
{{- $min := int (include "trainers.ray.least" $set) -}}
{{- $max := int (include "trainers.ray.most" $set) -}}
{{- if gt $min $max -}}
{{- fail (printf "%s: minReplicas %d is more than maxReplicas %d" $at $min $max) -}}
{{- end -}}
{{- if or (lt $replicas $min) (gt $replicas $max) -}}
{{- fail (printf "%s: replicas %d is not between minReplicas %d and maxReplicas %d" $at $replicas $min $max) -}}
{{- end -}}
{{- if and (not (kindIs "invalid" $set.idleTimeoutSeconds)) (not $.Values.ray.autoscaling.enabled) -}}
{{- fail (printf "%s: idleTimeoutSeconds needs ray.autoscaling.enabled=true" $at) -}}
{{- end -}}
{{- $resources := $set.resources -}}
{{- if not (or (dig "limits" "cpu" "" $resources) (dig "requests" "cpu" "" $resources)) -}}
{{- fail (printf "%s.resources: limits.cpu (or requests.cpu) is missing; Ray takes the number of cores from it" $at) -}}
{{- end -}}
{{- include "trainers.checks.memory" (list $at $set) -}}
{{- end -}}
{{- end }}

{{- define "trainers.checks.memory" -}}
{{- $at := first . -}}
{{- $set := last . -}}
{{- $memory := dig "limits" "memory" "" $set.resources -}}
{{- if not $memory -}}
{{- fail (printf "%s.resources: limits.memory is missing; Ray takes the node's memory from it" $at) -}}
{{- end -}}
{{- $shared := include "trainers.bytes" $set.sharedMemory | int64 -}}
{{- if ge $shared (include "trainers.bytes" $memory | int64) -}}
{{- fail (printf "%s.sharedMemory: %s is not less than limits.memory %s, as which it counts" $at $set.sharedMemory (toString $memory)) -}}
{{- end -}}
{{- /* Half of it is Ray's, whose store has 75 MiB at least. */ -}}
{{- if lt $shared 157286400 -}}
{{- fail (printf "%s.sharedMemory: %s is too little for Ray; give 150Mi at least" $at $set.sharedMemory) -}}
{{- end -}}
{{- end }}

{{- define "trainers.checks.ray" -}}
{{- $ray := .Values.ray -}}
{{- include "trainers.checks.memory" (list "ray.head" $ray.head) -}}
{{- if semverCompare "<2.54.0-0" $ray.version -}}
{{- fail (printf "ray.version: %s is too old; 2.54.0 is the first that keeps its token's promise" $ray.version) -}}
{{- end -}}
{{- $needed := add $ray.jobStopSeconds 30 | int -}}
{{- if lt (int $ray.terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "ray.terminationGracePeriodSeconds: %d is too short to stop jobs in; ray.jobStopSeconds and 30 more are %d" (int $ray.terminationGracePeriodSeconds) $needed) -}}
{{- end -}}
{{- $ours := list "MLFLOW_TRACKING_URI" "MLFLOW_TRACKING_USERNAME" "MLFLOW_TRACKING_PASSWORD" "TRAINERS_CLUSTER_LIMITS" "REDIS_PASSWORD" "REDIS_USERNAME" -}}
{{- range $name, $value := $ray.env -}}
{{- if or (has $name $ours) (regexMatch "^(RAY_(AUTH|REDIS|ADDRESS|CLUSTER|JOB_STOP|GRACEFUL|enable_autoscaler)|TRAINERS__STORAGE__|AWS_(ENDPOINT|ACCESS|SECRET|DEFAULT_REGION))" $name) -}}
{{- fail (printf "ray.env.%s: this variable is set by the chart or the operator; use the value that stands for it" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $ray.faultTolerance.existingSecret (not $ray.faultTolerance.redisAddress) -}}
{{- fail "ray.faultTolerance.existingSecret: there is no redisAddress to use it for" -}}
{{- end -}}
{{- end }}

{{- define "trainers.checks.services" -}}
{{- $storage := .Values.storage -}}
{{- if and $storage.bundled.enabled $storage.endpoint -}}
{{- fail "storage.endpoint: the bundled store would not be used; set storage.bundled.enabled=false as well" -}}
{{- end -}}
{{- if not (or $storage.bundled.enabled $storage.existingSecret) -}}
{{- fail "storage.existingSecret: a store of your own needs a secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" -}}
{{- end -}}
{{- $database := .Values.database -}}
{{- if and $database.bundled.enabled $database.existingSecret -}}
{{- fail "database.existingSecret: the bundled database would not be used; set database.bundled.enabled=false as well" -}}
{{- end -}}
{{- if not (or $database.bundled.enabled $database.existingSecret) -}}
{{- fail "database.existingSecret: a database of your own needs a secret with the key uri (postgresql://…)" -}}
{{- end -}}
{{- if and .Values.cache.existingClaim (ne .Values.cache.mode "shared") -}}
{{- fail (printf "cache.existingClaim: needs cache.mode shared, not %s" .Values.cache.mode) -}}
{{- end -}}
{{- if and .Values.mlflow.ingress.enabled (not .Values.mlflow.ingress.host) -}}
{{- fail "mlflow.ingress.host: an ingress needs the name by which MLflow is reached" -}}
{{- end -}}
{{- if and .Values.metrics.enabled (not .Values.ray.enabled) -}}
{{- fail "metrics.enabled: there are no metrics without ray.enabled=true" -}}
{{- end -}}
{{- end }}
