{{/* What every pod has: the restricted security standard, no token of Kubernetes;
     takes (list ROOT ACCOUNT USER). */}}
{{- define "trainers.pod" -}}
{{- $root := first . -}}
serviceAccountName: {{ include "trainers.name" $root }}-{{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ last . }}
  runAsGroup: {{ last . }}
  fsGroup: {{ last . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- if eq (index . 1) "service" }}
{{- with $root.Values.placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every container has. */}}
{{- define "trainers.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A variable from a secret; takes (list VARIABLE SECRET KEY). */}}
{{- define "trainers.env.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{/* How the store is reached. */}}
{{- define "trainers.env.storage" -}}
{{- $secret := include "trainers.secret.storage" . -}}
{{- $bundled := printf "http://%s-storage:7070" (include "trainers.name" .) -}}
{{- with ternary $bundled .Values.storage.endpoint .Values.storage.bundled.enabled -}}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{ end -}}
- name: AWS_DEFAULT_REGION
  value: {{ .Values.storage.region | quote }}
{{ include "trainers.env.secret" (list "AWS_ACCESS_KEY_ID" $secret "AWS_ACCESS_KEY_ID") }}
{{ include "trainers.env.secret" (list "AWS_SECRET_ACCESS_KEY" $secret "AWS_SECRET_ACCESS_KEY") }}
{{- end }}

{{/* How MLflow is reached. */}}
{{- define "trainers.env.tracking" -}}
{{- $secret := include "trainers.secret.mlflow" . -}}
- name: MLFLOW_TRACKING_URI
  value: {{ printf "http://%s-mlflow:5000" (include "trainers.name" .) | quote }}
{{ include "trainers.env.secret" (list "MLFLOW_TRACKING_USERNAME" $secret "username") }}
{{ include "trainers.env.secret" (list "MLFLOW_TRACKING_PASSWORD" $secret "password") }}
{{- end }}

{{/* How Ray is reached. */}}
{{- define "trainers.env.ray" -}}
- name: RAY_AUTH_MODE
  value: token
{{ include "trainers.env.secret" (list "RAY_AUTH_TOKEN" (include "trainers.secret.ray" .) "auth_token") }}
{{- end }}
