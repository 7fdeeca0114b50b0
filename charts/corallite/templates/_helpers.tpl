{{/* Name of the chart, as labels have it. */}}
{{- define "corallite.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What names of objects begin with: short enough for every suffix used here. */}}
{{- define "corallite.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "corallite.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "corallite.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "corallite.operator" -}}
{{- include "corallite.fullname" . }}-operator
{{- end -}}

{{- define "corallite.selector" -}}
app.kubernetes.io/name: corallite-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "corallite.labels" -}}
{{ include "corallite.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: corallite
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "corallite.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "corallite.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image as nodes pull it; takes (context, image). */}}
{{- define "corallite.image" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $root.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}
