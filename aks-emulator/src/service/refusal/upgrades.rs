//! Refusals of versions: unsupported ones and paths that an upgrade cannot take. Never decides when one is due.

use super::Refusal;

impl Refusal {
    /// Reported word for word, as status 400.
    pub(crate) fn version_unsupported(version: &str) -> Self {
        Self::provider(
            400,
            "AgentPoolK8sVersionNotSupported",
            format!(
                "Version {version} is not supported in this region. Please use [az aks get-versions] command to get \
                 the supported version list in this region. For more information, please check \
                 https://aka.ms/supported-version-list"
            ),
        )
    }

    /// Reported word for word for downgrades and for minors that were skipped, as status 400.
    pub(crate) fn upgrade_path(from: &str, to: &str) -> Self {
        Self::provider(
            400,
            "AgentPoolUpgradeVersionNotAllowed",
            format!(
                "Upgrade agent pool version from {from} to {to} is not allowed, you can only upgrade one minor version \
                 at a time. Please use [az aks get-upgrades] command to get the supported upgrade paths. For more \
                 information, please check https://aka.ms/version-skew-policy"
            ),
        )
    }

    /// The limit is documented and the code is known, the text is not.
    pub(crate) fn too_many_with_surge(nodes: usize, surge: usize) -> Self {
        Self::provider(
            400,
            "AgentPoolMaxCountExceeded",
            format!("{nodes} nodes and {surge} surge nodes are more than the 1000 that an agent pool can have."),
        )
    }

    /// A patch above the control plane's. The rule is documented; the text is that of a minor without its middle.
    pub(crate) fn version_newer(pool: &str, cluster: &str) -> Self {
        Self::provider(
            400,
            "NodePoolMcVersionIncompatible",
            format!(
                "Node pool version {pool} and control plane version {cluster} are incompatible. For more information, \
                 please check https://aka.ms/version-skew-policy."
            ),
        )
    }
}
