{{/* What a bundled server that keeps data is made of, but for its container: a Service and the frame of a StatefulSet;
     takes (dict "root" "component" "user" "port" "values" "container" "volumes"). */}}
{{- define "trainers.store" -}}
{{- $name := printf "%s-%s" (include "trainers.name" .root) .component -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "trainers.labels" (list .root .component) | nindent 4 }}
spec:
  selector:
    {{- include "trainers.selector" (list .root .component) | nindent 4 }}
  ports:
    - name: {{ .component }}
      port: {{ .port }}
      targetPort: {{ .component }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels:
    {{- include "trainers.labels" (list .root .component) | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  persistentVolumeClaimRetentionPolicy:
    whenDeleted: {{ ternary "Retain" "Delete" .root.Values.keepData }}
    whenScaled: Retain
  selector:
    matchLabels:
      {{- include "trainers.selector" (list .root .component) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "trainers.labels" (list .root .component) | nindent 8 }}
    spec:
      {{- include "trainers.pod" (list .root "service" .user) | nindent 6 }}
      terminationGracePeriodSeconds: 60
      containers:
        - name: {{ .component }}
          image: {{ include "trainers.imageOf" (list .values.image "") }}
          imagePullPolicy: IfNotPresent
          {{- .container | nindent 10 }}
          ports:
            - name: {{ .component }}
              containerPort: {{ .port }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "trainers.container.security" .root | nindent 12 }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with .volumes }}
        {{- . | nindent 8 }}
        {{- end }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        {{- include "trainers.claim" (list .values "ReadWriteOnce") | nindent 8 }}
{{- end }}
