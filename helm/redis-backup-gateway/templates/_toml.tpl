{{/*
A map as TOML. Helm has a function toToml, which is of no use here: every number of values.yaml is a floating-point number
to it, so that 20 becomes 20.0, which the gateway refuses where it wants a whole number.

"redis-backup-gateway.toml" takes {path: the names that lead to the table, table: the map}. What is null was taken away.
*/}}
{{- define "redis-backup-gateway.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table }}
{{- if and (not (kindIs "invalid" $value)) (not (include "redis-backup-gateway.toml.tables" $value)) }}
{{ include "redis-backup-gateway.toml.key" $key }} = {{ include "redis-backup-gateway.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- $inner := append $path (include "redis-backup-gateway.toml.key" $key) }}
{{- if eq (include "redis-backup-gateway.toml.tables" $value) "one" }}

[{{ join "." $inner }}]
{{- include "redis-backup-gateway.toml" (dict "path" $inner "table" $value) }}
{{- else if eq (include "redis-backup-gateway.toml.tables" $value) "many" }}
{{- range $value }}

[[{{ join "." $inner }}]]
{{- include "redis-backup-gateway.toml" (dict "path" $inner "table" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* "one" for a map, "many" for a list of nothing but maps, else empty: such a value stands on one line. */}}
{{- define "redis-backup-gateway.toml.tables" -}}
{{- if kindIs "map" . -}}
one
{{- else if and (kindIs "slice" .) . -}}
{{- $maps := 0 -}}
{{- range . -}}{{- if kindIs "map" . -}}{{- $maps = add1 $maps -}}{{- end -}}{{- end -}}
{{- if eq (int $maps) (len .) -}}many{{- end -}}
{{- end -}}
{{- end -}}

{{- define "redis-backup-gateway.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ include "redis-backup-gateway.toml.value" . }}{{- end -}}
{{- end -}}

{{- define "redis-backup-gateway.toml.value" -}}
{{- if kindIs "string" . -}}
{{- /* A JSON string is a basic string of TOML, but for the one control character that JSON leaves alone. */ -}}
{{- toJson . | replace "\x7f" "\\u007f" -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}{{- $items = append $items (include "redis-backup-gateway.toml.value" .) -}}{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "map" . -}}
{{- $members := list -}}
{{- range $key, $value := . -}}
{{- $members = append $members (printf "%s = %s" (include "redis-backup-gateway.toml.key" $key) (include "redis-backup-gateway.toml.value" $value)) -}}
{{- end -}}
{ {{- join ", " $members -}} }
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}
