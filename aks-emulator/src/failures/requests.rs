//! Requests that the service or its gateway refuses for reasons of its own. Never handles the request.

use serde::Deserialize;
use serde_json::json;

use crate::{Canned, Exchange};

/// Who the caller is, in texts that name one.
const CLIENT: &str = "00000000-0000-0000-0000-000000000001";

/// An answer by name: status, headers, code and text as recorded or documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum RequestFailure {
    /// 403: the caller has no role for it (recorded).
    AuthorizationFailed,
    /// 403: the caller may do it, but not use the subnet that it refers to. The code is documented.
    LinkedAuthorizationFailed,
    /// 409: another writer came first inside the provider (recorded).
    EtagMismatch,
    /// 404 of the provider for the cluster, as just after it was deleted and before the gateway knows (recorded).
    ClusterNotFound,
    /// 429 of the gateway. The code is documented, the text is not known.
    SubscriptionRequestsThrottled,
    /// 502: the gateway does not reach the provider (recorded).
    BadGatewayConnection,
    /// 504: the provider does not answer the gateway in time (recorded).
    GatewayTimeout,
    /// 500 of the provider, which does not reach the network's (recorded).
    GetVnetError,
}

impl RequestFailure {
    /// The answer to this request.
    pub(crate) fn answer(self, request: &Exchange) -> Canned {
        let names = Names::of(&request.path);
        match self {
            Self::AuthorizationFailed => gateway(403, "AuthorizationFailed", &unauthorized(request)),
            Self::LinkedAuthorizationFailed => gateway(403, "LinkedAuthorizationFailed", &not_linked(request, &names)),
            Self::EtagMismatch => mismatch(&names),
            Self::ClusterNotFound => absent(&names),
            Self::SubscriptionRequestsThrottled => throttled(&names),
            Self::BadGatewayConnection => service(
                502,
                "BadGatewayConnection",
                "The network connectivity issue encountered for 'Microsoft.ContainerService'; cannot fulfill the \
                 request.",
            ),
            Self::GatewayTimeout => service(
                504,
                "GatewayTimeout",
                "The gateway did not receive a response from 'Microsoft.ContainerService' within the specified time \
                 period.",
            ),
            Self::GetVnetError => no_network(&names),
        }
    }
}

fn unauthorized(request: &Exchange) -> String {
    format!(
        "The client '{CLIENT}' with object id '{CLIENT}' does not have authorization to perform action '{}' over scope \
         '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        action(request),
        request.path
    )
}

fn not_linked(request: &Exchange, names: &Names<'_>) -> String {
    let Names { subscription, group, .. } = names;
    let subnet = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/default"
    );
    format!(
        "The client '{CLIENT}' with object id '{CLIENT}' has permission to perform action '{}' on scope '{}'; however, \
         it does not have permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on \
         the linked scope(s) '{subnet}' (respectively) or the linked scope(s) are invalid.",
        action(request),
        request.path
    )
}

fn mismatch(names: &Names<'_>) -> Canned {
    let Names { subscription, group, cluster, .. } = names;
    provider(
        409,
        "EtagMismatch",
        "PutManagedClusterAndAgentPools_FailedPrecondition",
        "rpc error: code = FailedPrecondition desc = Etag mismatched",
        &format!(
            "Failed to save managed cluster {cluster} in subscription {subscription}, resource group {group}. \
             Operation is not allowed: Another operation is in progress"
        ),
    )
}

fn absent(names: &Names<'_>) -> Canned {
    let Names { subscription, group, cluster, .. } = names;
    provider(
        404,
        "NotFound",
        "GetManagedCluster_NotFound_HCPServerError",
        "rpc error: code = NotFound desc = Managed Cluster not found",
        &format!(
            "Could not find managed cluster resource: {cluster} in subscription: {subscription}, resourceGroup: \
             {group}."
        ),
    )
}

fn throttled(names: &Names<'_>) -> Canned {
    let subscription = names.subscription;
    let message = format!("The number of requests for subscription '{subscription}' has exceeded the limit.");
    gateway(429, "SubscriptionRequestsThrottled", &message).header("retry-after", "17")
}

fn no_network(names: &Names<'_>) -> Canned {
    let Names { subscription, group, cluster, .. } = names;
    let message = format!(
        "Get virtual network failed. Subscription: {subscription}; resource group: MC_{group}_{cluster}; virtual network \
         name: aks-vnet-67045100"
    );
    Canned::json(500, &json!({"code": "GetVnetError", "message": message})).header("x-ms-failure-cause", "service")
}

fn gateway(status: u16, code: &str, message: &str) -> Canned {
    wrapped(status, code, message).header("x-ms-failure-cause", "gateway")
}

/// What the gateway says when the provider is at fault.
fn service(status: u16, code: &str, message: &str) -> Canned {
    wrapped(status, code, message).header("x-ms-failure-cause", "service")
}

fn wrapped(status: u16, code: &str, message: &str) -> Canned {
    Canned::json(status, &json!({"error": {"code": code, "message": message}}))
        .header("content-type", "application/json; charset=utf-8")
}

fn provider(status: u16, code: &str, subcode: &str, detail: &str, message: &str) -> Canned {
    let details = json!([{"code": "Unspecified", "message": detail}]);
    Canned::json(status, &json!({"code": code, "details": details, "message": message, "subcode": subcode}))
}

/// The name of the permission that a request needs.
fn action(request: &Exchange) -> String {
    let of_pools = Names::of(&request.path).of_pools;
    let kind = if of_pools { "managedClusters/agentPools" } else { "managedClusters" };
    let verb = match request.method.as_str() {
        "GET" => "read".to_owned(),
        "PUT" => "write".to_owned(),
        "DELETE" => "delete".to_owned(),
        _ => format!("{}/action", request.resource_name()),
    };
    format!("Microsoft.ContainerService/{kind}/{verb}")
}

/// What a path names; empty where it names none.
struct Names<'a> {
    subscription: &'a str,
    group: &'a str,
    cluster: &'a str,
    of_pools: bool,
}

impl<'a> Names<'a> {
    fn of(path: &'a str) -> Self {
        let after = |kind: &str| {
            let mut segments = path.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case(kind));
            segments.nth(1).unwrap_or_default()
        };
        Self {
            subscription: after("subscriptions"),
            group: after("resourceGroups"),
            cluster: after("managedClusters"),
            of_pools: path.split('/').any(|segment| segment.eq_ignore_ascii_case("agentPools")),
        }
    }
}
