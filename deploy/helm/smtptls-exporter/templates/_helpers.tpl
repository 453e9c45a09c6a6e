{{/* The name of everything: that of the release, with that of the chart where it is not in it. */}}
{{- define "smtptls-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "smtptls-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "smtptls-exporter.labels" -}}
{{ include "smtptls-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The configuration as the monitor reads it. What the number of pods decides is not written twice. */}}
{{- define "smtptls-exporter.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not (or $config.domains $config.domain_files $config.http_sd) -}}
{{- fail "config.domains is empty: name your domains there, or a source of them in config.domain_files or config.http_sd" -}}
{{- end -}}
{{- if .Values.sharded.enabled -}}
{{- if or $config.shard $config.state -}}
{{- fail "config.shard and config.state are written by the chart where sharded.enabled is true: take them out of config" -}}
{{- end -}}
{{- $_ := set $config "shard" (dict "index" "auto" "total" (int .Values.sharded.replicas)) -}}
{{- $_ := set $config "state" (dict "url" .Values.sharded.databaseURL) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "smtptls-exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "smtptls-exporter.webConfigFile" -}}
/etc/smtptls-exporter-web/{{ .Values.webConfig.key }}
{{- end -}}

{{/* How it is asked whether all is well, for one path. The kubelet has no password and no certificate: where one may be asked for, the program itself asks. */}}
{{- define "smtptls-exporter.probe" -}}
{{- if .root.Values.webConfig.secret -}}
exec:
  command:
    - /usr/local/bin/smtptls-exporter
    - healthcheck
    - --web.config.file={{ include "smtptls-exporter.webConfigFile" .root }}
    {{- with .root.Values.routePrefix }}
    - --web.route-prefix={{ . }}
    {{- end }}
{{- else -}}
httpGet:
  path: {{ .root.Values.routePrefix }}{{ .path }}
  port: http
{{- end -}}
{{- end -}}
