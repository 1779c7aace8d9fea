{{/* What things are called. */}}

{{- define "redis-backup-gateway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name is enough where it names the chart already. Room is left for "-policies", the longest suffix. */}}
{{- define "redis-backup-gateway.fullname" -}}
{{- $name := include "redis-backup-gateway.name" . -}}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $both | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis-backup-gateway.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "redis-backup-gateway.fullname" .) "default") -}}
{{- end -}}

{{/* What a pod is found by. It must not change from one version to the next: the selector of a Deployment is for good. */}}
{{- define "redis-backup-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "redis-backup-gateway.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "redis-backup-gateway.labels" -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63)
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | regexFind "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- $own := merge (include "redis-backup-gateway.selectorLabels" . | fromYaml) $labels -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "redis-backup-gateway.metadata" -}}
name: {{ include "redis-backup-gateway.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge (dict) (.labels | default dict) (include "redis-backup-gateway.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "redis-backup-gateway.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
