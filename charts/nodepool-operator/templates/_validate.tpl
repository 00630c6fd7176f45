{{/* What the schema can't say: values that are required, and values that must fit each other. */}}
{{- define "nodepool-operator.validate" -}}
{{- $wrong := list }}
{{- $id := .Values.clusterResourceId }}
{{- $example := "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.ContainerService/managedClusters/CLUSTER" }}
{{- if not $id }}
{{- $wrong = append $wrong (printf "clusterResourceId is required: set it to what `az aks show --query id --output tsv` prints, %s" $example) }}
{{- else if not (regexMatch "(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\\.ContainerService/managedClusters/[^/]+$" $id) }}
{{- $wrong = append $wrong (printf "clusterResourceId %q is no id of an AKS cluster: set it to what `az aks show --query id --output tsv` prints, %s" $id $example) }}
{{- end }}
{{- if not .Values.image.repository }}
{{- $wrong = append $wrong "image.repository is required: set it to where you pushed the image, without tag, such as example.azurecr.io/nodepool-operator" }}
{{- end }}
{{- with .Values.azure }}
{{- $annotated := hasKey $.Values.serviceAccount.annotations "azure.workload.identity/client-id" }}
{{- if and (eq .auth "workload") (not .clientId) (not $annotated) $.Values.serviceAccount.create }}
{{- $wrong = append $wrong "azure.clientId is required where azure.auth is workload: set it to what `az identity show --query clientId --output tsv` prints" }}
{{- end }}
{{- if eq .auth "secret" }}
{{- range $name, $value := dict "azure.tenantId" .tenantId "azure.clientId" .clientId "azure.clientSecret.secretName" .clientSecret.secretName }}
{{- if not $value }}
{{- $wrong = append $wrong (printf "%s is required where azure.auth is secret" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- $wrong = append $wrong (printf "replicas is %v without leaderElection.enabled: set replicas to 1, or turn the election on" .Values.replicas) }}
{{- end }}
{{- $longest := divf (mulf .Values.leaderElection.leaseSeconds 11) 15 }}
{{- if and .Values.leaderElection.enabled (gt (float64 .Values.arm.writeTimeoutSeconds) (float64 $longest)) }}
{{- $wrong = append $wrong (printf "arm.writeTimeoutSeconds is %v: with leaderElection.leaseSeconds at %v it may be %v at most" .Values.arm.writeTimeoutSeconds .Values.leaderElection.leaseSeconds $longest) }}
{{- end }}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.health.port)) }}
{{- $wrong = append $wrong (printf "metrics.port and health.port are both %v: set them to different ports" .Values.metrics.port) }}
{{- end }}
{{- if and .Values.metrics.podMonitor.enabled (not .Values.metrics.enabled) }}
{{- $wrong = append $wrong "metrics.podMonitor.enabled needs metrics.enabled" }}
{{- end }}
{{- $settings := include "nodepool-operator.settings" . | fromYaml }}
{{- range .Values.extraEnv }}
{{- if or (hasKey $settings .name) (has .name (list "POD_NAME" "POD_NAMESPACE")) }}
{{- $wrong = append $wrong (printf "extraEnv has %s, which a value of its own sets: take it out of extraEnv" .name) }}
{{- end }}
{{- end }}
{{- if $wrong }}
{{- fail (printf "\n\n  %s\n\nAll values: values.yaml of the chart." (join "\n  " $wrong)) }}
{{- end }}
{{- end }}
