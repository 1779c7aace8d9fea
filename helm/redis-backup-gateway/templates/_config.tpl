{{/* What the gateway assumes where the configuration is silent, as far as the chart has to know it. */}}
{{- define "redis-backup-gateway.defaults" -}}
server:
  listen: "0.0.0.0:8080"
  admin_listen: "127.0.0.1:9090"
  drain_delay: "5s"
  shutdown_grace: "30s"
audit:
  sink: "stdout"
{{- end -}}

{{/* Where things are mounted. Each has a folder of its own: nothing can be mounted inside a ConfigMap's volume. */}}
{{- define "redis-backup-gateway.paths" -}}
config: /etc/redis-backup-gateway/config
policies: /etc/redis-backup-gateway/policies
secrets: /run/secrets/gateway
audit: /var/log/redis-backup-gateway
{{- end -}}

{{/* The most replicas that these values allow. */}}
{{- define "redis-backup-gateway.replicas" -}}
{{- if .Values.autoscaling.enabled -}}{{ int .Values.autoscaling.maxReplicas }}{{- else -}}{{ int .Values.replicaCount }}{{- end -}}
{{- end -}}

{{/* The most replicas that run at a time: a rollout adds its surge, a part of them rounded up. */}}
{{- define "redis-backup-gateway.mostReplicas" -}}
{{- $replicas := include "redis-backup-gateway.replicas" . | int -}}
{{- $surge := .Values.rollout.maxSurge -}}
{{- if kindIs "string" $surge -}}
{{- $surge = div (add (mul $replicas (trimSuffix "%" $surge | int)) 99) 100 -}}
{{- end -}}
{{- add $replicas $surge -}}
{{- end -}}

{{/* The configuration as JSON: what the chart derives, under what the values say. */}}
{{- define "redis-backup-gateway.config" -}}
{{- $paths := include "redis-backup-gateway.paths" . | fromYaml -}}
{{- $written := .Values.config | default dict -}}
{{- $derived := include "redis-backup-gateway.mounted" . | fromJson -}}
{{- if not (dig "policy" "dir" "" $written) -}}
{{- $_ := set $derived "policy" (dict "dir" $paths.policies) -}}
{{- end -}}
{{- if dig "shared" "url" "" $written -}}
{{- $replicas := include "redis-backup-gateway.mostReplicas" . | int -}}
{{- $_ := set $derived "shared" (merge ($derived.shared | default dict) (dict "replicas" $replicas)) -}}
{{- end -}}
{{- if eq (dig "audit" "sink" "" $written) "file" -}}
{{- $file := printf "%s/audit.jsonl" $paths.audit -}}
{{- $_ := set $derived "audit" (merge ($derived.audit | default dict) (dict "file" $file)) -}}
{{- end -}}
{{- mergeOverwrite $derived (deepCopy $written) | toJson -}}
{{- end -}}

{{/* The settings, as JSON, that name what the values mount from Secrets or have TKE mount. "redis-backup-gateway.refusals" sees to it that none of
them stands in the values' config, too. */}}
{{- define "redis-backup-gateway.mounted" -}}
{{- $secrets := (include "redis-backup-gateway.paths" . | fromYaml).secrets -}}
{{- $mounted := dict -}}
{{- if .Values.credentials.existingSecret -}}
{{- $file := printf "%s/credentials/%s" $secrets .Values.credentials.key -}}
{{- $_ := set $mounted "tencent" (dict "credentials" (dict "source" "file" "file" $file)) -}}
{{- else if .Values.serviceAccount.tkeRoleArn -}}
{{- /* Named, so that nothing else that is found first takes its place. */ -}}
{{- $_ := set $mounted "tencent" (dict "credentials" (dict "source" "tke_oidc")) -}}
{{- end -}}
{{- if .Values.shared.existingSecret -}}
{{- $files := dict -}}
{{- range $setting, $key := .Values.shared.keys -}}
{{- if $key -}}{{- $_ := set $files $setting (printf "%s/shared/%s" $secrets $key) -}}{{- end -}}
{{- end -}}
{{- $_ := set $mounted "shared" $files -}}
{{- end -}}
{{- if .Values.audit.existingSecret -}}
{{- $_ := set $mounted "audit" (dict "key_file" (printf "%s/audit/%s" $secrets .Values.audit.key)) -}}
{{- end -}}
{{- if and .Values.auth.existingSecret .Values.auth.revokedKey -}}
{{- $_ := set $mounted "auth" (dict "revoked_file" (printf "%s/auth/%s" $secrets .Values.auth.revokedKey)) -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- $tls := dict "cert_file" (printf "%s/tls/tls.crt" $secrets) "key_file" (printf "%s/tls/tls.key" $secrets) -}}
{{- with .Values.tls.clientCaKey -}}{{- $_ := set $tls "client_ca_file" (printf "%s/tls/%s" $secrets .) -}}{{- end -}}
{{- $_ := set $mounted "server" (dict "tls" $tls) -}}
{{- end -}}
{{- $mounted | toJson -}}
{{- end -}}

{{/* A setting that is in force, what the gateway assumes included: {root, section, key}. */}}
{{- define "redis-backup-gateway.setting" -}}
{{- $defaults := include "redis-backup-gateway.defaults" .root | fromYaml -}}
{{- $config := include "redis-backup-gateway.config" .root | fromJson -}}
{{- dig .section .key (dig .section .key "" $defaults) $config -}}
{{- end -}}

{{/* The port of a listener: {root, key}. */}}
{{- define "redis-backup-gateway.port" -}}
{{- include "redis-backup-gateway.setting" (dict "root" .root "section" "server" "key" .key) | regexFind "[0-9]+$" -}}
{{- end -}}

{{/* The milliseconds of a duration in the configuration's own form, empty where it is none. */}}
{{- define "redis-backup-gateway.millis" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- if regexMatch "^[0-9]{1,9}(ms|s|m|h|d)$" . -}}
{{- mul (regexFind "^[0-9]+" .) (get $units (regexFind "[a-z]+$" .)) -}}
{{- end -}}
{{- end -}}

{{/* Whole seconds from SIGTERM to SIGKILL: what the gateway may take to drain and to end, and a margin. */}}
{{- define "redis-backup-gateway.gracePeriod" -}}
{{- $millis := 0 -}}
{{- range list "drain_delay" "shutdown_grace" -}}
{{- $setting := include "redis-backup-gateway.setting" (dict "root" $ "section" "server" "key" .) -}}
{{- $millis = add $millis (include "redis-backup-gateway.millis" $setting | int) -}}
{{- end -}}
{{- add (div (add $millis 999) 1000) .Values.rollout.gracePeriodMarginSeconds -}}
{{- end -}}

{{/* The file of the configuration. */}}
{{- define "redis-backup-gateway.file" -}}
# Made by the chart from the value `config`. A change here is overwritten by the next upgrade.
{{- include "redis-backup-gateway.toml" (dict "path" list "table" (include "redis-backup-gateway.config" . | fromJson)) }}
{{ end -}}
