{{/* Each setting of `nodepool-operator run` by its environment variable. One that is null is left to the operator's default. */}}
{{- define "nodepool-operator.settings" -}}
CLUSTER_RESOURCE_ID: {{ .Values.clusterResourceId | quote }}
{{- with .Values.azure }}
AZURE_AUTH: {{ .auth | quote }}
AZURE_CLOUD: {{ .cloud | quote }}
AZURE_CLIENT_ID: {{ .clientId | default nil | toJson }}
AZURE_TENANT_ID: {{ .tenantId | default nil | toJson }}
AZURE_AUTHORITY_HOST: {{ .authority | default nil | toJson }}
AZURE_FEDERATED_TOKEN_FILE: {{ .federatedTokenFile | default nil | toJson }}
AZURE_CLIENT_SECRET_FILE: {{ ternary (printf "/etc/nodepool-operator/client-secret/%s" .clientSecret.key) nil (ne .clientSecret.secretName "") | toJson }}
AZURE_CA_FILE: {{ ternary (printf "/etc/nodepool-operator/ca/%s" .ca.key) nil (ne .ca.configMapName "") | toJson }}
{{- end }}
{{- with .Values.arm }}
ARM_ENDPOINT: {{ .endpoint | default nil | toJson }}
ARM_API_VERSION: {{ .apiVersion | quote }}
ARM_REFRESH_SECONDS: {{ .refreshSeconds | toJson | quote }}
ARM_POLL_SECONDS: {{ .pollSeconds | toJson | quote }}
ARM_REQUEST_SHARE: {{ .requestShare | toJson | quote }}
ARM_READ_TIMEOUT_SECONDS: {{ .readTimeoutSeconds | toJson | quote }}
ARM_WRITE_TIMEOUT_SECONDS: {{ .writeTimeoutSeconds | toJson | quote }}
{{- end }}
{{- with .Values.safety }}
MIN_READY_SYSTEM_NODES: {{ .minReadySystemNodes | toJson | quote }}
SYSTEM_NODE_READY_SECONDS: {{ .systemNodeReadySeconds | toJson | quote }}
PROTECTED_NAMESPACES: {{ join "," .protectedNamespaces | quote }}
REQUIRED_ADD_ONS: {{ join "," .requiredAddOns | quote }}
ADD_ONS_STABLE_SECONDS: {{ .addOnsStableSeconds | toJson | quote }}
STALE_AFTER_SECONDS: {{ .staleAfterSeconds | toJson | quote }}
BULK_CHANGES: {{ .bulkChanges | toJson | quote }}
BULK_WINDOW_SECONDS: {{ .bulkWindowSeconds | toJson | quote }}
DRAIN_DEADLINE_SECONDS: {{ .drainDeadlineSeconds | toJson | quote }}
{{- end }}
{{- with .Values.steps }}
STEPS_IN_PARALLEL: {{ .inParallel | toJson | quote }}
PRIORITY_AFTER_SECONDS: {{ .priorityAfterSeconds | toJson | quote }}
RETRY_SECONDS: {{ .retrySeconds | toJson | quote }}
REPAIRS: {{ .repairs | toJson | quote }}
{{- end }}
{{- with .Values.reporting }}
SETTLE_SECONDS: {{ .settleSeconds | toJson | quote }}
PROGRESS_DEADLINE_SECONDS: {{ .progressDeadlineSeconds | toJson | quote }}
OPERATION_PATIENCE: {{ .operationPatience | toJson | quote }}
NODE_IMAGE_MAX_AGE_DAYS: {{ .nodeImageMaxAgeDays | toJson | quote }}
{{- end }}
LOG: {{ .Values.log.filter | quote }}
LOG_FORMAT: {{ .Values.log.format | quote }}
LEASE_NAME: {{ ternary .Values.leaderElection.leaseName "" .Values.leaderElection.enabled | quote }}
LEASE_SECONDS: {{ .Values.leaderElection.leaseSeconds | toJson | quote }}
LIVENESS_SECONDS: {{ .Values.health.livenessSeconds | toJson | quote }}
HEALTH_ADDRESS: {{ printf "0.0.0.0:%v" .Values.health.port | quote }}
METRICS_ADDRESS: {{ ternary (printf "0.0.0.0:%v" .Values.metrics.port) "" .Values.metrics.enabled | quote }}
{{- end }}
