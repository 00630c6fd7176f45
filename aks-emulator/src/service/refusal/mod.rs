//! The catalogue of refusals: status, code and text as recorded or reported. Never decides when one is due.

mod access;
mod capacity;
mod cluster;
mod gateway;
mod upgrades;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// An error answer, in one of the two shapes of the service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// By the resource provider: top-level members.
    Provider {
        status: u16,
        code: &'static str,
        message: String,
        details: Value,
        subcode: &'static str,
        target: Option<String>,
    },
    /// By the gateway in front of it: wrapped in `error`, with `x-ms-failure-cause: gateway`.
    Gateway { status: u16, code: &'static str, message: String },
}

impl Refusal {
    fn provider(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self::Provider { status, code, message: message.into(), details: Value::Null, subcode: "", target: None }
    }

    fn gateway(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self::Gateway { status, code, message: message.into() }
    }

    fn at(mut self, place: impl Into<String>) -> Self {
        if let Self::Provider { target, .. } = &mut self {
            *target = Some(place.into());
        }
        self
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Provider { status, .. } | Self::Gateway { status, .. } => *status,
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Provider { message, .. } | Self::Gateway { message, .. } => message,
        }
    }

    /// What it is about, if it says.
    pub(crate) fn target(&self) -> Option<&str> {
        match self {
            Self::Provider { target, .. } => target.as_deref(),
            Self::Gateway { .. } => None,
        }
    }

    pub(crate) fn body(&self) -> Value {
        match self {
            Self::Gateway { code, message, .. } => {
                json!({"error": {"code": code, "message": message}})
            }
            Self::Provider { code, message, details, subcode, target, .. } => {
                let mut body = Map::new();
                body.insert("code".to_owned(), json!(code));
                body.insert("details".to_owned(), details.clone());
                body.insert("message".to_owned(), json!(message));
                body.insert("subcode".to_owned(), json!(subcode));
                if let Some(target) = target {
                    body.insert("target".to_owned(), json!(target));
                }
                Value::Object(body)
            }
        }
    }

    // The provider: absence, conflict and excess.

    /// A request budget is spent. The form is published; of handlers only the name of the cluster's PUT is.
    pub(crate) fn throttled(handler: &str, subscription: &str, seconds: u64) -> Self {
        Self::provider(
            429,
            "Throttled",
            format!(
                "The {handler} request limit has been exceeded for SubID='{subscription}', please retry again in \
                 {seconds} seconds. For more information, please visit aka.ms/aks/throttling"
            ),
        )
    }

    pub(crate) fn pool(subscription: &str, group: &str, cluster: &str, pool: &str) -> Self {
        Self::Provider {
            status: 404,
            code: "NotFound",
            message: format!(
                "Could not find the agentpool: {pool} in subscription: {subscription}, resourceGroup: {group}, \
                 resourceName: {cluster}."
            ),
            details: json!([{
                "code": "Unspecified",
                "message": "rpc error: code = NotFound desc = Agent Pool not found",
            }]),
            subcode: "GetAgentPool_NotFound_HCPServerError",
            target: None,
        }
    }

    pub(crate) fn pool_busy(pool: &str, state: &str) -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            format!(
                "Operation is not allowed: Another agentpool operation ({pool} - {state}) is in progress, please wait \
                 for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more \
                 details"
            ),
        )
    }

    pub(crate) fn cluster_busy(state: &str) -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            format!(
                "Operation is not allowed: Another operation ({state}) is in progress, please wait for it to finish \
                 before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
            ),
        )
    }

    pub(crate) fn being_deleted(wanted: &str, pool: &str, since: Timestamp, now: Timestamp) -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            format!(
                "Unable to perform '{wanted}' operation on '{pool}' since deletion was issued on '{pool}'. The only \
                 allowed operation is deletion once deletion has started. The delete operation started at '{}' and \
                 elapsed time is: '{}' (RFC3339 format)",
                second(since),
                elapsed(since, now)
            ),
        )
    }

    /// Documented as 409; the text is not known.
    pub(crate) fn nothing_to_abort(pool: &str) -> Self {
        Self::provider(409, "OperationNotAllowed", format!("There is no operation in progress on agent pool '{pool}'."))
    }

    pub(crate) fn etag_without_resource() -> Self {
        Self::provider(
            412,
            "PreconditionFailed",
            "Resource not found but ETag header is provided. If this is a request to create, please do not provide \
             ETag.",
        )
    }

    /// `If-Match` names another version, or `If-None-Match` a pool that exists. The text is not recorded.
    pub(crate) fn precondition(sent: &str) -> Self {
        Self::provider(
            412,
            "PreconditionFailed",
            format!("The ETag '{sent}' does not match the current version of the resource."),
        )
    }

    /// Documented as `BadRequest`; the text is not known.
    pub(crate) fn if_none_match(sent: &str) -> Self {
        Self::provider(400, "BadRequest", format!("The If-None-Match header is '{sent}': it can only be empty or '*'."))
    }

    /// Documented as `BadRequest`; the text is not known.
    pub(crate) fn both_preconditions() -> Self {
        Self::provider(400, "BadRequest", "The If-Match and If-None-Match headers cannot be used at the same time.")
    }

    // The provider: rules.

    pub(crate) fn invalid(parameter: &str, details: Option<&str>) -> Self {
        let reason = details.map_or_else(String::new, |text| format!(" Error details: {text}"));
        Self::provider(
            400,
            "InvalidParameter",
            format!(
                "The value of parameter {parameter} is invalid.{reason} Please see \
                 https://aka.ms/aks-naming-rules for more details."
            ),
        )
        .at(parameter)
    }

    pub(crate) fn required(parameter: &str) -> Self {
        Self::provider(400, "InvalidParameter", format!("Required parameter {parameter} is missing (null)."))
            .at(parameter)
    }

    pub(crate) fn count(parameter: &str, count: i64, least: i64) -> Self {
        Self::provider(
            400,
            "InvalidParameter",
            format!(
                "{parameter} was {count}. It must be greater or equal to minCount:{least} and less than or equal to \
                 maxCount:1000. If allowedMinCount was expected to be 0 but is 1: 1) The nodepool is a VMAS pool. 2) \
                 api Version is less than 2020-03-01. 3) The node is a system pool."
            ),
        )
        .at(parameter)
    }

    pub(crate) fn restricted_taint() -> Self {
        Self::provider(
            400,
            "SystemPoolHasRestrictedTaint",
            "Placing custom taints on system pool is not supported(except 'CriticalAddonsOnly' taint or taint effect \
             is 'PreferNoSchedule'). Please refer to https://aka.ms/aks/system-taints for detail",
        )
        .at("agentPoolProfile.nodeTaints")
    }

    pub(crate) fn no_system_pool() -> Self {
        Self::provider(400, "MustDefineAtLeastOneSystemPool", "Must define at least one system pool.")
    }

    pub(crate) fn last_pool() -> Self {
        Self::provider(400, "OperationNotAllowed", "There has to be at least one agent pool.")
    }

    /// The rest of the sentence, if there is one, is not known.
    pub(crate) fn last_system_pool() -> Self {
        Self::provider(400, "OperationNotAllowed", "There has to be at least one system agent pool.")
    }

    /// The code is known, the text is not.
    pub(crate) fn not_as_system(what: &str) -> Self {
        Self::provider(400, "MustNotBeTheSystemPool", format!("{what} node pools can't be system node pools."))
            .at("agentPoolProfile.mode")
    }

    pub(crate) fn small_machine(pool: &str) -> Self {
        Self::provider(
            400,
            "SystemPoolSkuTooLow",
            format!("System node pool must use VM sku with more than 2 cores and 4GB memory. Nodepool name: {pool}."),
        )
    }

    pub(crate) fn machine_size() -> Self {
        Self::provider(
            400,
            "PropertyChangeNotAllowed",
            "Changing property \"agentPoolProfile.vmSize\" is not allowed in an api-version before \
             \"2026-01-02-preview\".",
        )
        .at("agentPoolProfile.vmSize")
    }

    pub(crate) fn immutable(property: &str) -> Self {
        let target = format!("properties.{property}");
        Self::provider(400, "PropertyChangeNotAllowed", format!("Changing property '{target}' is not allowed."))
            .at(target)
    }

    pub(crate) fn reserved_label(key: &str) -> Self {
        Self::provider(
            400,
            "BadRequest",
            format!(
                "Invalid node label key {key}. The 'kubernetes.azure.com' prefix is preserved by aks system labels"
            ),
        )
    }

    pub(crate) fn kubernetes_label(key: &str) -> Self {
        Self::provider(
            400,
            "BadRequest",
            "For Kubernetes version greater than or equal to 1.16, node label keys in the 'kubernetes.io' or 'k8s.io' \
             namespace must begin with an allowed prefix (kubelet.kubernetes.io, node.kubernetes.io). For more \
             information, please check https://aka.ms/aks-node-labels-116.",
        )
        .at(key)
    }

    pub(crate) fn version_above(pool: &str, cluster: &str) -> Self {
        Self::provider(
            400,
            "NodePoolMcVersionIncompatible",
            format!(
                "Node pool version {pool} and control plane version {cluster} are incompatible. Minor version of node \
                 pool version {} is bigger than control plane version {}. For more information, please check \
                 https://aka.ms/version-skew-policy.",
                minor_of(pool),
                minor_of(cluster)
            ),
        )
    }

    pub(crate) fn version_below(pool: &str, cluster: &str) -> Self {
        Self::provider(
            400,
            "NodePoolMcVersionIncompatible",
            format!(
                "Minor version of node pool cannot be more than 3 versions less than control plane's version. Minor \
                 version of node pool is {} and control plane is {}.",
                minor_of(pool),
                minor_of(cluster)
            ),
        )
    }

    /// Since 2024-01-01 unknown fields are rejected; the text is not recorded.
    pub(crate) fn unknown_field(field: &str) -> Self {
        Self::provider(
            400,
            "UnmarshalError",
            format!("converting the request body failed: json: unknown field \"{field}\""),
        )
    }
}

fn minor_of(version: &str) -> &str {
    version.split('.').nth(1).unwrap_or(version)
}

/// A time as texts have it, to the second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How long ago a time was, as texts have it.
fn elapsed(since: Timestamp, now: Timestamp) -> String {
    let elapsed = now.duration_since(since).as_secs().max(0);
    format!("{:02}:{:02}:{:02}", elapsed / 3600, elapsed / 60 % 60, elapsed % 60)
}
