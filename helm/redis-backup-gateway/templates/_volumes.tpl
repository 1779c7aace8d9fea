{{/* A volume with a Secret, or with some of its keys: {name, secret, keys}. Readable by the group that fsGroup names. */}}
{{- define "redis-backup-gateway.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    {{- with compact (.keys | default list) }}
    items:
      {{- range uniq . | sortAlpha }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
    {{- end }}
{{- end -}}
