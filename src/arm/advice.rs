//! What an error of Azure calls for: one table from status and code to a class, with what a person can do. Never decides
//! when a write is repeated.

use super::error::ArmError;

/// What an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Another operation runs, or too many requests were made: it passes by itself.
    Wait,
    /// Azure could not answer now.
    RetryLater,
    /// What the policy asks for is not accepted.
    FixPolicy,
    /// The operator's identity may not do this, or is not who it should be.
    FixPermissions,
    /// Quota, or machines and addresses that are not there.
    FixCapacity,
    /// The request itself is wrong, which no policy and no permission can mend.
    Report,
}

/// Codes of which more is known than their status tells. Sources: recorded error bodies and the troubleshooting manuals
/// of AKS, one group a line of the manual.
const CODES: [(Class, &[&str], &str); 14] = [
    (
        Class::FixCapacity,
        &["ErrCode_InsufficientVCPUQuota", "QuotaExceeded", "InsufficientVCPUQuota", "PublicIPCountLimitReached"],
        "have the quota of the subscription raised (az vm list-usage shows it), or ask for less; surge nodes count too",
    ),
    (
        Class::FixCapacity,
        &[
            "SkuNotAvailable",
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
        ],
        "Azure has no such machines there now: the operator tries again; if it lasts, use another VM size or other zones",
    ),
    (
        Class::FixCapacity,
        &["InsufficientSubnetSize", "SubnetIsFull", "SubnetWithFullIPs"],
        "free addresses in the pool's subnet, or enlarge it",
    ),
    (
        Class::FixPermissions,
        &["RequestDisallowedByPolicy", "RequestDisallowedByAzure", "ScopeLocked"],
        "an Azure Policy or a lock forbids it: ask its owner for an exemption, or ask for something that it allows",
    ),
    (
        Class::FixPermissions,
        &[
            "InvalidAuthenticationToken",
            "AuthenticationFailed",
            "ExpiredAuthenticationToken",
            "InvalidAuthenticationTokenTenant",
        ],
        "check the client id, the tenant and --arm-endpoint: Azure does not take the operator's token",
    ),
    (
        Class::FixPolicy,
        &["MustDefineAtLeastOneSystemPool", "SystemPoolHasRestrictedTaint", "CanNotTaintAllAgentPools"],
        "correct the policy, which is tried at once: Azure would be left without a pool for the add-ons",
    ),
    (
        Class::FixPolicy,
        &[
            "NodePoolMcVersionIncompatible",
            "AgentPoolK8sVersionNotSupported",
            "K8sVersionNotSupported",
            "AgentPoolUpgradeVersionNotAllowed",
        ],
        "the pool's Kubernetes version is not one that Azure accepts for changes: upgrade it (az aks nodepool upgrade)",
    ),
    (
        Class::RetryLater,
        &["NoRegisteredProviderFound"],
        "the region does not serve this api-version: if it lasts, choose another with --arm-api-version",
    ),
    (
        Class::FixCapacity,
        &["PodDrainFailure", "UnsatisfiablePDB"],
        "look at the pods that the message names: a disruption budget that allows nothing, or a pod that does not end, \
         holds up the drain",
    ),
    (
        Class::RetryLater,
        &["NodesNotReady", "VMExtensionProvisioningError", "VMExtensionProvisioningTimeout"],
        "look why new nodes do not become Ready: egress, DNS and the subnet's routes are the usual causes (az aks \
         nodepool show; kubectl describe node)",
    ),
    (
        Class::RetryLater,
        &["OperationPreempted", "AKSOperationPreempted", "AKSOperationPreemptedByDelete", "OriginalEtagNotExpect"],
        "nothing: somebody else's operation came in between, and the operator tries again",
    ),
    (Class::RetryLater, &["InternalOperationError", "InternalServerError"], RETRY_LATER),
    (
        Class::RetryLater,
        &[ArmError::NO_CODE],
        "check --arm-endpoint and what is between, such as a proxy: this is no answer of Azure Resource Manager",
    ),
    (
        Class::Report,
        &[
            "UnmarshalError",
            "InvalidRequestContent",
            "InvalidResourceType",
            "InvalidApiVersionParameter",
            "MissingApiVersionParameter",
        ],
        REPORT,
    ),
];

const RETRY_LATER: &str = "nothing: the operator tries again; if it lasts, look at the health of Azure in the region";
const REPORT: &str = "report it as a defect of the operator, with this message and the correlation id";

impl Class {
    /// The class of an error answer.
    fn of(status: u16, code: &str) -> Self {
        match status {
            // A code can't make a conflict or a throttled request anything else than a wait.
            409 | 412 | 429 => Self::Wait,
            _ => row(code).map_or_else(|| Self::of_status(status), |(class, _)| class),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::RetryLater => "retry_later",
            Self::FixPolicy => "fix_policy",
            Self::FixPermissions => "fix_permissions",
            Self::FixCapacity => "fix_capacity",
            Self::Report => "report",
        }
    }

    const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::FixPermissions,
            408 | 500..=599 => Self::RetryLater,
            405 | 406 | 411 | 413 | 415 => Self::Report,
            _ => Self::FixPolicy,
        }
    }
}

/// What an error calls for, as logs and metrics name it.
pub(super) fn class(error: &ArmError) -> &'static str {
    let class = match error {
        ArmError::Answered { status, code, .. } => Class::of(*status, code),
        ArmError::OverBudget { .. } => Class::Wait,
        ArmError::NotSent { .. } | ArmError::Lost { .. } => Class::RetryLater,
        ArmError::SignIn { .. } => Class::FixPermissions,
        ArmError::Malformed { .. } | ArmError::Redirected { .. } => Class::Report,
    };
    class.name()
}

/// What a person can do about an error answer.
#[must_use]
pub fn remedy(status: u16, code: &str, message: &str) -> String {
    let class = Class::of(status, code);
    if class == Class::FixPermissions
        && let Some(missing) = missing_permission(message)
    {
        return missing;
    }
    if class != Class::Wait
        && let Some((_, remedy)) = row(code)
    {
        return remedy.to_owned();
    }
    match class {
        Class::Wait => "nothing: the operator waits until the other operation has ended",
        Class::RetryLater => RETRY_LATER,
        Class::FixPolicy => "correct the policy, which is tried at once",
        Class::FixPermissions => "give the operator's identity the role of docs/operations.md on the cluster",
        Class::FixCapacity => "ask for less, or have more provided",
        Class::Report => REPORT,
    }
    .to_owned()
}

fn row(code: &str) -> Option<(Class, &'static str)> {
    let known = CODES.iter().find(|(_, codes, _)| codes.contains(&code));
    known.map(|(class, _, remedy)| (*class, *remedy))
}

/// The remedy that names the action and the scope, which Azure's texts of `AuthorizationFailed` and
/// `LinkedAuthorizationFailed` do.
pub(super) fn missing_permission(message: &str) -> Option<String> {
    let quoted = |after: &str| message.split_once(after)?.1.split_once('\'').map(|(text, _)| text);
    let linked = quoted("permission to perform action(s) '").zip(quoted("on the linked scope(s) '"));
    let (action, scope) = linked.or_else(|| quoted("perform action '").zip(quoted("over scope '")))?;
    Some(format!(
        "give the operator's identity the action {action} on {scope}; a role that was just assigned counts after some \
         minutes, and the operator tries again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_from_status_and_code() {
        for (status, code, class) in [
            (409, "OperationNotAllowed", Class::Wait),
            (409, "QuotaExceeded", Class::Wait),
            (429, "Throttled", Class::Wait),
            (412, "PreconditionFailed", Class::Wait),
            (400, "ErrCode_InsufficientVCPUQuota", Class::FixCapacity),
            (400, "SomethingNew", Class::FixPolicy),
            (400, "NoRegisteredProviderFound", Class::RetryLater),
            (400, "UnmarshalError", Class::Report),
            (401, "SomethingNew", Class::FixPermissions),
            (403, "RequestDisallowedByPolicy", Class::FixPermissions),
            (404, "ResourceNotFound", Class::FixPolicy),
            (500, "SomethingNew", Class::RetryLater),
            (503, "", Class::RetryLater),
            (403, ArmError::NO_CODE, Class::RetryLater),
            (429, ArmError::NO_CODE, Class::Wait),
            (415, "", Class::Report),
        ] {
            assert_eq!(Class::of(status, code), class, "{status} {code}");
        }
    }

    #[test]
    fn what_got_no_answer_has_a_class_too() {
        let endpoint = || "e".to_owned();
        assert_eq!(class(&ArmError::answered(400, br#"{"code":"QuotaExceeded","message":"M"}"#, None)), "fix_capacity");
        assert_eq!(
            class(&ArmError::Lost { what: "w".into(), endpoint: endpoint(), detail: "d".into(), correlation: None }),
            "retry_later"
        );
        assert_eq!(class(&ArmError::OverBudget { after: std::time::Duration::ZERO }), "wait");
        let odd = ArmError::Malformed { what: "w".into(), endpoint: endpoint(), detail: "d".into(), correlation: None };
        assert_eq!(class(&odd), "report");
        let refused = azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, "AADSTS7000215:");
        assert_eq!(class(&ArmError::unanswered("w", "e", refused)), "fix_permissions");
    }

    #[test]
    fn a_missing_permission_is_named_with_its_scope() {
        let plain = "The client 'c' with object id 'o' does not have authorization to perform action \
            'Microsoft.ContainerService/managedClusters/agentPools/write' over scope '/subscriptions/s' or the scope is \
            invalid. If access was recently granted, please refresh your credentials.";
        let said = remedy(403, "AuthorizationFailed", plain);
        assert!(
            said.starts_with(
                "give the operator's identity the action Microsoft.ContainerService/managedClusters/agentPools/write on \
                 /subscriptions/s;"
            ),
            "{said}"
        );
        let linked = "The client 'c' with object id 'o' has permission to perform action 'a/write' on scope '/x'; however, \
            it does not have permission to perform action(s) 'n/subnets/join/action' on the linked scope(s) '/vnet' \
            (respectively) or the linked scope(s) are invalid.";
        let said = remedy(403, "LinkedAuthorizationFailed", linked);
        assert!(said.contains("the action n/subnets/join/action on /vnet"), "{said}");
        let body = serde_json::json!({"error": {"code": "AuthorizationFailed", "message": plain}}).to_string();
        let short = ArmError::answered(403, body.as_bytes(), None).in_short();
        let expected = "Azure answered 403 AuthorizationFailed: give the operator's identity the action \
            Microsoft.ContainerService/managedClusters/agentPools/write on /subscriptions/s;";
        assert!(short.starts_with(expected), "{short}");
        let other = ArmError::answered(403, br#"{"code":"ScopeLocked","message":"M"}"#, None);
        assert_eq!(other.in_short(), other.to_string());
        assert!(remedy(403, "AuthorizationFailed", "no").contains("docs/operations.md"));
    }

    #[test]
    fn no_code_is_in_two_rows() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|(_, codes, _)| codes.iter().copied()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
