{{/* The fewest and the most workers of a group. */}}
{{- define "trainers.ray.least" -}}
{{- ternary .replicas .minReplicas (kindIs "invalid" .minReplicas) -}}
{{- end }}
{{- define "trainers.ray.most" -}}
{{- ternary .replicas .maxReplicas (kindIs "invalid" .maxReplicas) -}}
{{- end }}

{{/* A quantity of cores as Ray gets it from the operator: rounded up to a whole number. */}}
{{- define "trainers.ray.cores" -}}
{{- $quantity := toString . -}}
{{- if hasSuffix "m" $quantity -}}
{{- divf (trimSuffix "m" $quantity | float64) 1000 | ceil -}}
{{- else -}}
{{- float64 $quantity | ceil -}}
{{- end -}}
{{- end }}

{{/* A size in bytes. */}}
{{- define "trainers.bytes" -}}
{{- $number := regexFind "^[0-9.]+" (toString .) | float64 -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf $number (get $factors (regexFind "[A-Za-z]*$" (toString .))) | floor | int64 -}}
{{- end }}

{{/* Half of /dev/shm is for Ray's objects, the rest for data loaders; what does not fit there would lie on the disk. */}}
{{- define "trainers.ray.objects" -}}
{{- div (include "trainers.bytes" . | int64) 2 -}}
{{- end }}

{{/* What the cluster can ever have, for `plan`; JSON. */}}
{{- define "trainers.ray.limits" -}}
{{- $limits := list -}}
{{- range $group, $set := .Values.ray.workers -}}
{{- $quantity := dig "limits" "cpu" "" $set.resources | default (dig "requests" "cpu" "" $set.resources) -}}
{{- $gpus := 0 -}}
{{- range $resource, $count := dig "limits" dict $set.resources -}}
{{- if regexMatch "(gpu|nvidia\\.com/mig-\\d+g\\.\\d+gb)$" $resource -}}
{{- $gpus = int $count -}}
{{- end -}}
{{- end -}}
{{- $cores := include "trainers.ray.cores" $quantity | int -}}
{{- $limits = append $limits (dict "name" $group "cpus" $cores "gpus" $gpus "max" (include "trainers.ray.most" $set | int)) -}}
{{- end -}}
{{- toJson $limits -}}
{{- end }}
