{{/* The environment of head, workers and submitter alike. */}}
{{- define "trainers.ray.env" -}}
- name: TRAINERS__STORAGE__PATH
  value: {{ printf "s3://%s/runs" .Values.storage.bucket | quote }}
- name: TRAINERS__STORAGE__CACHE
  value: /cache
{{ include "trainers.env.storage" . }}
{{ include "trainers.env.tracking" . }}
{{ include "trainers.env.ray" . }}
{{- range $name, $value := .Values.ray.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* A volume of the cache. */}}
{{- define "trainers.ray.cache" -}}
{{- if eq .Values.cache.mode "shared" -}}
persistentVolumeClaim:
  claimName: {{ .Values.cache.existingClaim | default (printf "%s-cache" (include "trainers.name" .)) }}
{{- else if eq .Values.cache.mode "ephemeral" -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      {{- include "trainers.claim" (list .Values.cache "ReadWriteOnce") | nindent 6 }}
{{- else -}}
emptyDir:
  sizeLimit: {{ .Values.cache.size }}
{{- end }}
{{- end }}

{{/* The spec of a claim; takes (list VALUES ACCESS). */}}
{{- define "trainers.claim" -}}
{{- $values := first . -}}
accessModes: [{{ last . }}]
{{- with $values.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ $values.size }}
{{- end }}

{{/* Ray's own health: HTTP on the port of the agent, on head and workers alike. */}}
{{- define "trainers.ray.probe" -}}
httpGet:
  path: /api/healthz
  port: 52365
timeoutSeconds: 10
periodSeconds: 10
{{- end }}

{{/* A pod of the cluster; takes (dict "root" "name" "set" "component" "env"). */}}
{{- define "trainers.ray.pod" -}}
{{- $root := .root -}}
{{- $set := .set -}}
metadata:
  labels:
    {{- include "trainers.selector" (list $root "ray") | nindent 4 }}
  annotations:
    # The operator leaves the command as it is, and gives its own as KUBERAY_GEN_RAY_START_CMD.
    ray.io/overwrite-container-cmd: "true"
    {{- with $set.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "trainers.pod" (list $root .name 1000) | nindent 2 }}
  terminationGracePeriodSeconds: {{ $root.Values.ray.terminationGracePeriodSeconds }}
  {{- with $set.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $set.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $set.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $set.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "trainers.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [/bin/bash, -c]
      args:
        - |
          {{- $root.Files.Get "files/start_ray.sh" | nindent 10 }}
      env:
        {{- include "trainers.ray.env" $root | nindent 8 }}
        {{- range $name, $value := .env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      {{- with $root.Values.ray.envSecrets }}
      envFrom:
        {{- range . }}
        - secretRef:
            name: {{ . }}
        {{- end }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: 8080
        {{- range $name, $port := .ports }}
        - name: {{ $name }}
          containerPort: {{ $port }}
        {{- end }}
      resources:
        {{- toYaml $set.resources | nindent 8 }}
      securityContext:
        {{- include "trainers.container.security" $root | nindent 8 }}
      {{- with .preStop }}
      lifecycle:
        preStop:
          exec:
            command: {{ toJson . }}
      {{- end }}
      startupProbe:
        {{- include "trainers.ray.probe" $root | nindent 8 }}
        failureThreshold: 30
      readinessProbe:
        {{- include "trainers.ray.probe" $root | nindent 8 }}
        failureThreshold: 3
      livenessProbe:
        {{- include "trainers.ray.probe" $root | nindent 8 }}
        failureThreshold: 30
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        - name: shared-mem
          mountPath: /dev/shm
        - name: cache
          mountPath: /cache
  volumes:
    - name: tmp
      emptyDir: {}
    - name: shared-mem
      emptyDir:
        medium: Memory
        sizeLimit: {{ $set.sharedMemory }}
    - name: cache
      {{- include "trainers.ray.cache" $root | nindent 6 }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* The spec of a RayCluster: of the standing one and of the job's. */}}
{{- define "trainers.ray.cluster" -}}
{{- $ray := .Values.ray -}}
rayVersion: {{ $ray.version | quote }}
authOptions:
  mode: token
  secretName: {{ include "trainers.secret.ray" . }}
{{- with $ray.faultTolerance.redisAddress }}
gcsFaultToleranceOptions:
  redisAddress: {{ . | quote }}
  {{- with $ray.faultTolerance.existingSecret }}
  redisPassword:
    valueFrom:
      secretKeyRef:
        name: {{ . }}
        key: {{ $ray.faultTolerance.passwordKey }}
  {{- end }}
{{- end }}
{{- if $ray.autoscaling.enabled }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ $ray.autoscaling.idleTimeoutSeconds }}
  upscalingMode: {{ $ray.autoscaling.upscalingMode }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  resources:
    {{- toYaml $ray.autoscaling.resources | nindent 4 }}
  securityContext:
    {{- include "trainers.container.security" . | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    # The one container with a token of Kubernetes.
    - name: kubernetes-token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end }}
headGroupSpec:
  rayStartParams:
    num-cpus: "0"
    dashboard-host: 0.0.0.0
    object-store-memory: {{ include "trainers.ray.objects" $ray.head.sharedMemory | quote }}
  template:
    {{- $env := dict "TRAINERS_CLUSTER_LIMITS" (include "trainers.ray.limits" .) "RAY_JOB_STOP_WAIT_TIME_S" $ray.jobStopSeconds }}
    {{- /* Its jobs have been stopped by then. */}}
    {{- $_ := set $env "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S" 10 }}
    {{- $ports := dict "gcs" 6379 "dashboard" 8265 }}
    {{- $stop := list "python" "-c" (.Files.Get "files/stop_jobs.py") (toString $ray.jobStopSeconds) }}
    {{- $volumes := "" }}
    {{- if $ray.autoscaling.enabled }}
    {{- $volumes = include "trainers.ray.token" . }}
    {{- end }}
    {{- include "trainers.ray.pod" (dict "root" . "name" "ray-head" "set" $ray.head "env" $env "ports" $ports "preStop" $stop "volumes" $volumes) | nindent 4 }}
workerGroupSpecs:
  {{- /* A worker that must go trains on for so long, so that an epoch may end and be saved; Ray gives it no new work. */}}
  {{- $env := dict "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S" (sub $ray.terminationGracePeriodSeconds 20) }}
  {{- range $group, $set := $ray.workers }}
  - groupName: {{ $group }}
    replicas: {{ $set.replicas }}
    minReplicas: {{ include "trainers.ray.least" $set }}
    maxReplicas: {{ include "trainers.ray.most" $set }}
    {{- if not (kindIs "invalid" $set.idleTimeoutSeconds) }}
    idleTimeoutSeconds: {{ $set.idleTimeoutSeconds }}
    {{- end }}
    rayStartParams:
      object-store-memory: {{ include "trainers.ray.objects" $set.sharedMemory | quote }}
    template:
      {{- include "trainers.ray.pod" (dict "root" $ "name" "ray-worker" "set" $set "env" $env) | nindent 6 }}
  {{- end }}
{{- end }}

{{/* What Kubernetes would mount into every container by itself, as a volume that only the autoscaler mounts. */}}
{{- define "trainers.ray.token" -}}
- name: kubernetes-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}
