//! What the provider refuses on whole clusters and single machines. Never decides when a refusal is due.

use jiff::Timestamp;

use super::Refusal;

impl Refusal {
    /// A start or stop while something runs on a pool.
    pub(crate) fn pool_blocks_cluster(state: &str, pool: &str) -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            format!(
                "Managed Cluster operation is not allowed: Another operation ({state}) is in progress on agent pool \
                 ({pool}), please wait for it to finish before starting a new operation. See \
                 https://aka.ms/aks-pending-operation for more details"
            ),
        )
    }

    /// A start of a cluster that is not stopped. The end of the sentence is not known.
    pub(crate) fn not_stopped(state: &str, power: &str) -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            format!(
                "managed cluster is in Provisioning State({state}) and Power State({power}), starting cannot be \
                 performed"
            ),
        )
    }

    /// A stop of a cluster that is stopped, since a time if that is known.
    pub(crate) fn not_running(since: Option<Timestamp>, now: Timestamp) -> Self {
        let mut message = "managed cluster is not currently running, stopping cannot be performed".to_owned();
        if let Some(since) = since {
            let (started, elapsed) = (super::second(since), super::elapsed(since, now));
            message = format!("{message}; The stop operation started at '{started}' and elapsed time is: '{elapsed}'");
        }
        Self::provider(409, "OperationNotAllowed", message)
    }

    /// A write of a pool on a stopped cluster. That it is refused follows from the manual; the text is not known.
    pub(crate) fn cluster_stopped() -> Self {
        Self::provider(
            409,
            "OperationNotAllowed",
            "managed cluster is not currently running, agent pool operations cannot be performed. Start the managed \
             cluster first.",
        )
    }

    /// A GET of a machine that the pool does not have, in the form of that of a pool. The text is not recorded.
    pub(crate) fn machine(subscription: &str, group: &str, cluster: &str, pool: &str, machine: &str) -> Self {
        Self::provider(
            404,
            "NotFound",
            format!(
                "Could not find the machine: {machine} in subscription: {subscription}, resourceGroup: {group}, \
                 resourceName: {cluster}, agentPoolName: {pool}."
            ),
        )
    }

    /// A deletion of a machine that the pool does not have. The text is not recorded.
    pub(crate) fn unknown_machine(name: &str) -> Self {
        Self::provider(
            400,
            "InvalidParameter",
            format!("The value of parameter machineNames is invalid. Error details: machine '{name}' was not found."),
        )
        .at("machineNames")
    }

    /// A deletion of machines of a system pool whose pods a budget keeps. The text is not recorded.
    pub(crate) fn budgets_disagree(budgets: &[String]) -> Self {
        Self::provider(
            400,
            "OperationNotAllowed",
            format!(
                "Deleting these machines of a system pool is not allowed: it would violate the disruption budgets {}.",
                budgets.join(", ")
            ),
        )
    }
}
