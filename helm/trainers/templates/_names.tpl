{{/* The name from which all others are made. */}}
{{- define "trainers.name" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/* What selects the pods of one component; takes (list ROOT COMPONENT). */}}
{{- define "trainers.selector" -}}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Labels of an object that belongs to a component; takes (list ROOT COMPONENT).
     Not on Ray's pods: there the operator's own app.kubernetes.io/name is part of its head service's selector. */}}
{{- define "trainers.labels" -}}
{{- $root := first . -}}
{{ include "trainers.selector" . }}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* What keeps an object at `helm uninstall`. */}}
{{- define "trainers.keep" -}}
{{- if .Values.keepData -}}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{/* A reference to an image; takes its values and a tag for where there is none. */}}
{{- define "trainers.imageOf" -}}
{{- $image := first . -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (last .) }}
{{- end -}}
{{- end }}

{{/* The service's own image. */}}
{{- define "trainers.image" -}}
{{- include "trainers.imageOf" (list .Values.image .Chart.AppVersion) -}}
{{- end }}

{{/* Names of secrets: the user's, or ours. */}}
{{- define "trainers.secret.ray" -}}
{{- .Values.ray.existingSecret | default (printf "%s-ray" (include "trainers.name" .)) -}}
{{- end }}
{{- define "trainers.secret.mlflow" -}}
{{- .Values.mlflow.existingSecret | default (printf "%s-mlflow" (include "trainers.name" .)) -}}
{{- end }}
{{- define "trainers.secret.storage" -}}
{{- .Values.storage.existingSecret | default (printf "%s-storage" (include "trainers.name" .)) -}}
{{- end }}
{{- define "trainers.secret.database" -}}
{{- .Values.database.existingSecret | default (printf "%s-database" (include "trainers.name" .)) -}}
{{- end }}

{{/* A secret's value: what it is already, else a new random one; takes (list ROOT SECRET KEY). */}}
{{- define "trainers.generated" -}}
{{- $root := index . 0 -}}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (index . 1) | default dict -}}
{{- $kept := get ($secret.data | default dict) (index . 2) -}}
{{- if $kept -}}
{{- $kept | b64dec -}}
{{- else -}}
{{- randAlphaNum 40 -}}
{{- end -}}
{{- end }}

{{/* Words, each quoted for a shell. */}}
{{- define "trainers.quoted" -}}
{{- $quoted := list -}}
{{- range . -}}
{{- $quoted = append $quoted (printf "'%s'" (replace "'" "'\\''" (toString .))) -}}
{{- end -}}
{{- join " " $quoted -}}
{{- end }}
