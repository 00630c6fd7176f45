//! The settings of `nodepool-operator run`: flags and environment variables. Never holds a secret.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nodepool_kernel::{Settings, Span};
use url::Url;

use super::logging::LogFormat;
use crate::arm::{ArmOptions, Authentication, Cloud, ClusterId, SignIn};
use crate::listen::ListenAddress;

/// Settings of `run`. Each can be given as a flag or as the environment variable that is named beside it.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Resource id of the AKS cluster that the operator runs in, as `az aks show --query id` prints it
    #[arg(long, env = "CLUSTER_RESOURCE_ID", value_name = "ID")]
    pub cluster_resource_id: ClusterId,

    /// Endpoint of the Azure Resource Manager, if not that of --azure-cloud
    #[arg(
        long,
        env = "ARM_ENDPOINT",
        value_name = "URL",
        default_value = "https://management.azure.com",
        default_value_ifs = [
            ("azure_cloud", "usgovernment", Some("https://management.usgovcloudapi.net")),
            ("azure_cloud", "china", Some("https://management.chinacloudapi.cn")),
        ]
    )]
    pub arm_endpoint: Url,

    /// api-version of all requests to the Azure Resource Manager
    #[arg(long, env = "ARM_API_VERSION", value_name = "VERSION", default_value = "2025-10-01")]
    pub arm_api_version: String,

    /// Who the operator is in Azure
    #[command(flatten)]
    pub azure: AzureArguments,

    /// Usable system nodes that must always remain in the cluster, over all system pools
    #[arg(long, env = "MIN_READY_SYSTEM_NODES", value_name = "NODES", default_value_t = 2)]
    pub min_ready_system_nodes: u32,

    /// How long a system node must have been Ready before it counts
    #[arg(long, env = "SYSTEM_NODE_READY_SECONDS", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub system_node_ready_seconds: Duration,

    /// Namespaces whose pods are protected from eviction
    #[arg(
        long,
        env = "PROTECTED_NAMESPACES",
        value_name = "NAMESPACES",
        value_delimiter = ',',
        default_value = "kube-system"
    )]
    pub protected_namespaces: Vec<String>,

    /// Deployments in the protected namespaces that must run as wished before a system pool is disturbed; empty for none
    #[arg(
        long,
        env = "REQUIRED_ADD_ONS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "coredns,konnectivity-agent,metrics-server"
    )]
    pub required_add_ons: Vec<String>,

    /// How long the required add-ons must have run as wished before a system pool is disturbed
    #[arg(long, env = "ADD_ONS_STABLE_SECONDS", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub add_ons_stable_seconds: Duration,

    /// Namespace that the operator itself runs in, and its lease is in; its pods are protected too
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// Name of the operator's own pod, by which people know which replica holds the lease
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,

    /// Lease that replicas agree by on which of them works; empty if there is never more than one
    #[arg(long, env = "LEASE_NAME", value_name = "NAME", default_value = "nodepool-operator")]
    pub lease_name: String,

    /// How long after the last word of the replica that works another one takes over
    #[arg(long, env = "LEASE_SECONDS", value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u16).range(3..))]
    pub lease_seconds: u16,

    /// How old a node image may be before the inventory tells of it
    #[arg(long, env = "NODE_IMAGE_MAX_AGE_DAYS", value_name = "DAYS", default_value_t = 30)]
    pub node_image_max_age_days: u32,

    /// How often ARM is read while nothing happens, to see edits made elsewhere
    #[arg(long, env = "ARM_REFRESH_SECONDS", value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub arm_refresh_seconds: Duration,

    /// How often ARM is read while an operation runs
    #[arg(long, env = "ARM_POLL_SECONDS", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub arm_poll_seconds: Duration,

    /// Share of the request budgets that AKS publishes which the operator may use, so that other tools have the rest
    #[arg(long, env = "ARM_REQUEST_SHARE", value_name = "SHARE", default_value = "0.8", value_parser = share)]
    pub arm_request_share: f64,

    /// How long a read of ARM may take, its repetitions included
    #[arg(long, env = "ARM_READ_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub arm_read_timeout_seconds: Duration,

    /// How long a write to ARM may take before its outcome counts as unknown
    #[arg(long, env = "ARM_WRITE_TIMEOUT_SECONDS", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub arm_write_timeout_seconds: Duration,

    /// The oldest view that a decision may rest on
    #[arg(long, env = "STALE_AFTER_SECONDS", value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub stale_after_seconds: Duration,

    /// How long no policy may have changed before a refusal is reported as Stalled
    #[arg(long, env = "SETTLE_SECONDS", value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub settle_seconds: Duration,

    /// How long a policy may wait without progress before it is reported as Stalled
    #[arg(long, env = "PROGRESS_DEADLINE_SECONDS", value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub progress_deadline_seconds: Duration,

    /// Wait after a write that Azure refused or an operation that failed; doubles with each, up to an hour
    #[arg(long, env = "RETRY_SECONDS", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub retry_seconds: Duration,

    /// How often a failed operation is tried again before somebody has to look; 0 leaves a failed pool as it is
    #[arg(long, env = "REPAIRS", value_name = "TIMES", default_value_t = 3)]
    pub repairs: u32,

    /// How many times as long as usual an operation in Azure may take before it is reported as Stalled
    #[arg(long, env = "OPERATION_PATIENCE", value_name = "FACTOR", default_value = "1", value_parser = patience)]
    pub operation_patience: f64,

    /// How many steps may run side by side
    #[arg(long, env = "STEPS_IN_PARALLEL", value_name = "STEPS", default_value = "10", value_parser = clap::value_parser!(u16).range(1..))]
    pub steps_in_parallel: u16,

    /// How long a step that takes away system capacity may wait before no other disruptive step begins before it
    #[arg(long, env = "PRIORITY_AFTER_SECONDS", value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub priority_after_seconds: Duration,

    /// How long nodes may be cordoned for a drain before it is given up and they are opened again
    #[arg(long, env = "DRAIN_DEADLINE_SECONDS", value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub drain_deadline_seconds: Duration,

    /// How many pools may be deleted, stopped or scaled to zero within the window before a person has to let more pass
    #[arg(long, env = "BULK_CHANGES", value_name = "POOLS", default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    pub bulk_changes: u16,

    /// The window of time for --bulk-changes
    #[arg(long, env = "BULK_WINDOW_SECONDS", value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub bulk_window_seconds: Duration,

    /// IP address and port that metrics are served on, at `/metrics`; empty serves none
    #[arg(long, env = "METRICS_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_address: ListenAddress,

    /// IP address and port that kubelet's probes are answered on, at `/startupz`, `/livez` and `/readyz`; empty answers none
    #[arg(long, env = "HEALTH_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_address: ListenAddress,

    /// How long the operator's loop may give no sign of life before it is reported as hanging
    #[arg(long, env = "LIVENESS_SECONDS", value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub liveness_seconds: Duration,

    /// What is logged, for example `info` or `nodepool_operator=debug`
    #[arg(long, env = "LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// How it is logged: an object a line, or words
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Who the operator is in Azure, and in which cloud.
#[derive(Debug, Clone, Args)]
pub struct AzureArguments {
    /// How to sign in to Azure
    #[arg(
        long = "azure-auth",
        id = "azure_auth",
        env = "AZURE_AUTH",
        value_name = "WAY",
        value_enum,
        default_value = "workload"
    )]
    pub auth: Authentication,

    /// Azure cloud of the cluster
    #[arg(
        long = "azure-cloud",
        id = "azure_cloud",
        env = "AZURE_CLOUD",
        value_name = "CLOUD",
        value_enum,
        default_value = "public"
    )]
    pub cloud: Cloud,

    /// Authority that gives tokens, if not that of --azure-cloud
    #[arg(long = "azure-authority", id = "azure_authority", env = "AZURE_AUTHORITY_HOST", value_name = "URL")]
    pub authority: Option<Url>,

    /// Tenant of the operator's identity
    #[arg(long = "azure-tenant-id", id = "azure_tenant_id", env = "AZURE_TENANT_ID", value_name = "ID")]
    pub tenant_id: Option<String>,

    /// Client id of the operator's identity; without one `managed` takes the system-assigned identity
    #[arg(long = "azure-client-id", id = "azure_client_id", env = "AZURE_CLIENT_ID", value_name = "ID")]
    pub client_id: Option<String>,

    /// File with the client secret, for `secret`
    #[arg(
        long = "azure-client-secret-file",
        id = "azure_client_secret_file",
        env = "AZURE_CLIENT_SECRET_FILE",
        value_name = "PATH"
    )]
    pub client_secret_file: Option<PathBuf>,

    /// File with the projected service account token, for `workload`
    #[arg(
        long = "azure-federated-token-file",
        id = "azure_federated_token_file",
        env = "AZURE_FEDERATED_TOKEN_FILE",
        value_name = "PATH"
    )]
    pub federated_token_file: Option<PathBuf>,

    /// File of certificates (PEM) of authorities to trust beside those of the system
    #[arg(long = "azure-ca-file", id = "azure_ca_file", env = "AZURE_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
}

impl AzureArguments {
    fn sign_in(&self) -> SignIn {
        // A variable that is set to nothing is as good as not set.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        SignIn {
            authentication: self.auth,
            cloud: self.cloud,
            authority: self.authority.clone(),
            tenant: given(&self.tenant_id),
            client_id: given(&self.client_id),
            secret_file: self.client_secret_file.clone(),
            token_file: self.federated_token_file.clone(),
        }
    }
}

/// A positive number of seconds, with fractions.
fn seconds(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a number of seconds above 0, such as 30 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| problem())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero()).ok_or_else(problem)
}

/// A positive number. Below 1 it is only for an emulator, whose time runs faster.
fn patience(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && (0.000_1..=100.0).contains(factor));
    factor.ok_or_else(|| format!("{text:?} is not a factor such as 1 or 2.5"))
}

/// A positive number. Above 1 it is only for an emulator, whose time runs faster.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| share.is_finite() && (0.01..=10_000.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a share such as 0.8, which leaves a fifth to other tools"))
}

impl Arguments {
    /// The kernel's part of the settings.
    #[must_use]
    pub fn kernel_settings(&self) -> Settings {
        let span = |duration: Duration| Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        Settings {
            api_version: self.arm_api_version.clone(),
            min_ready_system_nodes: self.min_ready_system_nodes,
            ready_for: span(self.system_node_ready_seconds),
            stale_after: span(self.stale_after_seconds),
            steps_in_parallel: usize::from(self.steps_in_parallel),
            repairs: self.repairs,
            priority_after: span(self.priority_after_seconds),
            required_add_ons: self.required_add_ons.iter().filter(|name| !name.is_empty()).cloned().collect(),
            add_ons_stable_for: span(self.add_ons_stable_seconds),
            drain_deadline: span(self.drain_deadline_seconds),
            bulk_changes: usize::from(self.bulk_changes),
            bulk_window: span(self.bulk_window_seconds),
        }
    }

    /// The ARM client's part of the settings.
    #[must_use]
    pub fn arm_options(&self) -> ArmOptions {
        ArmOptions {
            endpoint: self.arm_endpoint.clone(),
            cluster: self.cluster_resource_id.clone(),
            api_version: self.arm_api_version.clone(),
            sign_in: self.azure.sign_in(),
            ca_file: self.azure.ca_file.clone(),
            request_share: self.arm_request_share,
            read_timeout: self.arm_read_timeout_seconds,
            write_timeout: self.arm_write_timeout_seconds,
        }
    }

    /// The protected namespaces, the operator's own among them.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces = self.protected_namespaces.clone();
        namespaces.extend(self.pod_namespace.clone());
        namespaces.retain(|namespace| !namespace.is_empty());
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_endpoint_is_that_of_the_cloud_unless_another_is_given() {
        let cluster = "--cluster-resource-id=/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        for (flags, endpoint) in [
            (&[][..], "https://management.azure.com/"),
            (&["--azure-cloud=usgovernment"], "https://management.usgovcloudapi.net/"),
            (&["--azure-cloud=china"], "https://management.chinacloudapi.cn/"),
            (&["--azure-cloud=china", "--arm-endpoint=https://arm.local"], "https://arm.local/"),
        ] {
            let command = Command::parse_from(["run", cluster].iter().chain(flags));
            assert_eq!(command.arguments.arm_options().endpoint.as_str(), endpoint);
        }
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        for text in ["", "0", "-1", "soon", "NaN", "inf", "1e300"] {
            assert!(seconds(text).unwrap_err().contains("number of seconds"), "{text}");
        }
    }
}
