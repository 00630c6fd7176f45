{{/* The name of all objects. There is one operator in a cluster, so that it is the same for every release: a second is refused. */}}
{{- define "nodepool-operator.name" -}}
nodepool-operator
{{- end }}

{{- define "nodepool-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "nodepool-operator.name" .) }}
{{- end }}

{{- define "nodepool-operator.selector" -}}
app.kubernetes.io/name: {{ include "nodepool-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nodepool-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "nodepool-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "nodepool-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}
