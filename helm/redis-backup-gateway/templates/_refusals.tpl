{{/*
What values.schema.json cannot say: values that contradict each other, or would be unsafe together. All of them are told at
once. Each is a sentence that says what is wrong and what to do.
*/}}
{{- define "redis-backup-gateway.refuse" -}}
{{- $refusals := include "redis-backup-gateway.refusals" . | trim -}}
{{- if $refusals -}}
{{- fail (printf "\n\nthe values do not fit together:\n%s\n" $refusals) -}}
{{- end -}}
{{- end -}}

{{- define "redis-backup-gateway.refusals" -}}
{{- $config := .Values.config | default dict -}}
{{- $replicas := include "redis-backup-gateway.replicas" . | int -}}
{{- $store := dig "shared" "url" "" $config -}}

{{- if and (gt $replicas 1) (not $store) }}
- {{ .Values.autoscaling.enabled | ternary "autoscaling.maxReplicas" "replicaCount" }} is {{ $replicas }}, but config.shared names no store: each replica would count the cloud's calls for itself, so that together they would make {{ $replicas }} times as many as the cloud accepts, and nobody would be served fairly. Set config.shared.url to a Redis that all replicas use, or run one replica.
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
- autoscaling.minReplicas is {{ .Values.autoscaling.minReplicas }} and more than autoscaling.maxReplicas, {{ .Values.autoscaling.maxReplicas }}.
{{- end }}
{{- with dig "shared" "replicas" "" $config }}
{{- $most := include "redis-backup-gateway.mostReplicas" $ | int }}
{{- if lt (int .) $most }}
- config.shared.replicas is {{ . }}, but {{ $most }} replicas may run, those that a rollout adds included: while the store is away each would take a larger share of the quota than there is. Leave it out; the chart derives it.
{{- end }}
{{- end }}
{{- if and .Values.shared.existingSecret (not $store) }}
- shared.existingSecret opens a store, but config.shared.url names none.
{{- end }}

{{- include "redis-backup-gateway.refusals.secrets" (dict "path" "config" "value" $config) }}
{{- range $index, $variable := .Values.extraEnv }}
{{- if and (hasPrefix "TENCENTCLOUD_" (upper $variable.name)) (hasKey $variable "value") }}
- extraEnv[{{ $index }}] writes the value of {{ $variable.name }} into the Deployment, which is no place for a key: take it from a Secret by valueFrom.secretKeyRef, or name the Secret in credentials.existingSecret.
{{- end }}
{{- end }}
{{- include "redis-backup-gateway.refusals.twice" (dict "path" "config" "written" $config "mounted" (include "redis-backup-gateway.mounted" . | fromJson)) }}

{{- if and .Values.credentials.existingSecret .Values.serviceAccount.tkeRoleArn }}
- credentials.existingSecret and serviceAccount.tkeRoleArn both say where the key to the cloud comes from: leave one out.
{{- end }}
{{- if and .Values.policies.files .Values.policies.existingConfigMap }}
- policies.files and policies.existingConfigMap both say what the policies are: leave one out.
{{- end }}
{{- if and (dig "policy" "dir" "" $config) (or .Values.policies.files .Values.policies.existingConfigMap) }}
- config.policy.dir names a folder of your own, so the policies of policies.files or policies.existingConfigMap would not be read: leave one out.
{{- end }}

{{- $sink := dig "audit" "sink" "" $config }}
{{- if and (eq $sink "file") (not .Values.audit.existingSecret) (not (dig "audit" "key_file" "" $config)) }}
- config.audit.sink is file, which needs a key that outlives the process, or the records cannot be verified: put 32 bytes in base64 into a Secret and name it in audit.existingSecret.
{{- end }}
{{- if and .Values.audit.volume.existingClaim (ne $sink "file") }}
- audit.volume.existingClaim names a volume, but config.audit.sink is not file: nothing would be written there.
{{- end }}
{{- if and .Values.auth.revokedKey (not .Values.auth.existingSecret) }}
- auth.revokedKey is a key of a Secret, but auth.existingSecret names none.
{{- end }}
{{- if and .Values.tls.clientCaKey (not .Values.tls.existingSecret) }}
- tls.clientCaKey is a key of a Secret, but tls.existingSecret names none.
{{- end }}

{{- $ports := list }}
{{- range $key := list "listen" "admin_listen" }}
{{- $listen := include "redis-backup-gateway.setting" (dict "root" $ "section" "server" "key" $key) }}
{{- $port := include "redis-backup-gateway.port" (dict "root" $ "key" $key) }}
{{- $ports = append $ports $port }}
{{- if or (not $port) (eq (int $port) 0) }}
- config.server.{{ $key }} is {{ $listen | quote }}, which has no port that a Service could lead to. Write it as "0.0.0.0:8080".
{{- else if regexMatch "^(127\\.|\\[::1\\]|\\[::ffff:127\\.)" $listen }}
- config.server.{{ $key }} is {{ $listen | quote }}: nothing outside the container could reach it, neither the kubelet nor a Service. Listen on the pod's address, "0.0.0.0:{{ $port }}".
{{- end }}
{{- end }}
{{- if eq (first $ports) (last $ports) }}
- config.server.listen and config.server.admin_listen have one port, {{ first $ports }}: callers would be led to the metrics.
{{- end }}
{{- range $key := list "drain_delay" "shutdown_grace" }}
{{- $setting := include "redis-backup-gateway.setting" (dict "root" $ "section" "server" "key" $key) }}
{{- if not (include "redis-backup-gateway.millis" $setting) }}
- config.server.{{ $key }} is {{ $setting | quote }} and no duration, so that the pod's grace period cannot be computed. Write it as "30s".
{{- end }}
{{- end }}
{{- end -}}

{{/* Settings that would put a secret into a ConfigMap: {path, value}. The gateway knows none of them; by then it has leaked. */}}
{{- define "redis-backup-gateway.refusals.secrets" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- if regexMatch "(?i)^(.*_)?(password|secret|secret_id|secret_key|token|encryption_key|private_key)$" $key }}
- {{ $path }}.{{ $key }} is a secret, and a ConfigMap is no place for one: put it into a Secret, and name that in credentials, shared, audit or auth.
{{- end }}
{{- include "redis-backup-gateway.refusals.secrets" (dict "path" (printf "%s.%s" $path $key) "value" $value) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "redis-backup-gateway.refusals.secrets" (dict "path" (printf "%s[%d]" $path $index) "value" $value) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- if regexMatch "(?is)^\\s*[a-z][a-z0-9+.-]*://.*@" .value }}
- {{ $path }} holds a user or a password, and a ConfigMap is no place for it. Write the URL without them{{ if eq $path "config.shared.url" }}, the user as config.shared.username, and the password into the Secret that shared.existingSecret names{{ end }}; an @ in a path is %40.
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings that a Secret is mounted for and that are written as well: {path, written, mounted}. */}}
{{- define "redis-backup-gateway.refusals.twice" -}}
{{- $path := .path -}}
{{- $written := .written -}}
{{- range $key, $mounted := .mounted -}}
{{- if and (kindIs "map" $written) (hasKey $written $key) -}}
{{- $value := get $written $key -}}
{{- if and (kindIs "map" $mounted) (kindIs "map" $value) -}}
{{- include "redis-backup-gateway.refusals.twice" (dict "path" (printf "%s.%s" $path $key) "written" $value "mounted" $mounted) -}}
{{- else if and (not (kindIs "invalid" $value)) (ne (toJson $value) (toJson $mounted)) }}
- {{ $path }}.{{ $key }} is {{ toJson $value }}, but other values make it {{ toJson $mounted }}: leave one of them out.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
