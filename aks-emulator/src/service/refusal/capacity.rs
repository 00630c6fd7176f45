//! What the provider refuses for want of room, and settings of its network. Never decides when a refusal is due.

use super::Refusal;

impl Refusal {
    /// The text is that of clients of Microsoft's, which know it with the code `BadRequest` too.
    pub(crate) fn size_not_supported(size: &str, subscription: &str, location: &str) -> Self {
        Self::provider(
            400,
            "VMSizeNotSupported",
            format!(
                "Virtual Machine size: '{size}' is not supported for subscription {subscription} in location \
                 '{location}'. Please refer to aka.ms/aks/vm-size-selector to find supported VM sizes in location \
                 '{location}'."
            ),
        )
    }

    pub(crate) fn no_quota(requested: u64, left: u64, family: &str, location: &str) -> Self {
        Self::provider(
            400,
            "ErrCode_InsufficientVCPUQuota",
            format!(
                "Insufficient vcpu quota requested {requested}, remaining {left} for family {family}Family for region \
                 {location}. Surge nodes would also consume vcpu quota."
            ),
        )
    }

    /// The code is known, the text is not.
    pub(crate) fn too_many_pools(most: u64) -> Self {
        Self::provider(
            400,
            "MaxAgentPoolCountReached",
            format!("The managed cluster has {most} agent pools, which is the maximum."),
        )
    }

    /// The code is known, the text is not.
    pub(crate) fn too_many_nodes(nodes: u64, most: u64) -> Self {
        Self::provider(
            400,
            "AgentPoolMaxCountExceeded",
            format!("The managed cluster would have {nodes} nodes, more than the maximum of {most}."),
        )
        .at("agentPoolProfile.count")
    }

    /// The code is known, the text is not.
    pub(crate) fn windows_name(name: &str) -> Self {
        Self::provider(
            400,
            "WindowsAgentPoolNameTooLong",
            format!("The name of Windows agent pool '{name}' is longer than 6 characters."),
        )
        .at("agentPoolProfile.name")
    }

    /// Recorded without the sentence about naming rules that other parameters have.
    pub(crate) fn local_dns(member: &str, problem: &str) -> Self {
        let target = format!("localDNSProfile.{member}");
        let message = format!("The value of parameter {target} is invalid. Error details: {problem}");
        Self::provider(400, "InvalidParameter", message).at(target)
    }
}
