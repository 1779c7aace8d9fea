{{/*
Peers of a NetworkPolicy: {namespaces, podLabels, cidrs, except}. Empty where nobody is named; a rule without peers would
let everybody through, so whoever uses this leaves out the whole rule then. `except` is taken out of blocks that are the
whole of the internet.
*/}}
{{- define "redis-backup-gateway.peers" -}}
{{- if .namespaces }}
- namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- toYaml .namespaces | nindent 10 }}
  {{- with .podLabels }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end }}
{{- $except := .except }}
{{- range $block := .cidrs }}
- ipBlock:
    cidr: {{ $block | quote }}
    {{- if hasSuffix "/0" $block }}
    {{- /* An exception has to lie inside its block, so the two families of addresses are told apart. */}}
    {{- $inside := list }}
    {{- range $network := $except }}
    {{- if eq (contains ":" $network) (contains ":" $block) }}{{ $inside = append $inside $network }}{{ end }}
    {{- end }}
    {{- with $inside }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
