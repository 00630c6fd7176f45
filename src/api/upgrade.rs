//! How upgrades go, as people write it. Never holds AKS's own settings: one that is absent is left alone.

use kube::KubeSchema;
use nodepool_kernel as kernel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How AKS takes upgrades through the pool.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.maxSurge) || !(self.maxSurge in ['0', '0%']) || (has(self.maxUnavailable) && !(self.maxUnavailable in ['0', '0%']))").message("spec.upgrade.maxSurge 0 needs maxUnavailable of at least 1: without a node more or a node less AKS has no room for an upgrade"))]
pub struct Upgrade {
    /// How many nodes more than its count the pool gets during an upgrade: a number, or a percentage of its nodes, which is
    /// rounded up. They count against the quota. Example: `33%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), schema_with = "amount")]
    pub max_surge: Option<String>,
    /// How many nodes may be missing at once during an upgrade: a number, or a percentage, which is rounded up. `0` on system
    /// pools. Example: `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), schema_with = "amount")]
    pub max_unavailable: Option<String>,
    /// How long the pods of a node may take to leave it, 5 to 1440 minutes; after that the upgrade fails. Example: `30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 1440))]
    pub drain_timeout_minutes: Option<i32>,
    /// How long AKS waits after each node, 0 to 30 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 30))]
    pub node_soak_minutes: Option<i32>,
    /// What becomes of a node whose pods do not leave in time: `Schedule` leaves it in use and ends the upgrade, `Cordon` keeps
    /// it cordoned and goes on with the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undrainable_nodes: Option<UndrainableNodes>,
}

/// What becomes of a node whose pods do not leave in time.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UndrainableNodes {
    /// It stays in use, and the upgrade ends.
    Schedule,
    /// It stays cordoned, and the upgrade goes on.
    Cordon,
}

/// A number of nodes or a percentage of them, as text.
fn amount(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": "^((0|[1-9][0-9]{0,2}|1000)|(0|[1-9][0-9]?|100)%)$",
    })
}

/// The settings as the kernel compares them.
pub(super) fn upgrade(upgrade: &Upgrade) -> kernel::UpgradeSettings {
    let minutes = |minutes: Option<i32>| minutes.and_then(|minutes| u32::try_from(minutes).ok());
    let undrainable = |nodes| match nodes {
        UndrainableNodes::Schedule => "Schedule".to_owned(),
        UndrainableNodes::Cordon => "Cordon".to_owned(),
    };
    kernel::UpgradeSettings {
        max_surge: upgrade.max_surge.clone(),
        max_unavailable: upgrade.max_unavailable.clone(),
        drain_timeout_minutes: minutes(upgrade.drain_timeout_minutes),
        node_soak_minutes: minutes(upgrade.node_soak_minutes),
        undrainable_nodes: upgrade.undrainable_nodes.map(undrainable),
    }
}

/// The version that the policy names.
pub(super) fn version(text: &str) -> Option<kernel::WantedVersion> {
    if text == "ControlPlane" {
        return Some(kernel::WantedVersion::ControlPlane);
    }
    kernel::Version::parse(text).map(kernel::WantedVersion::Exactly)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NodePoolPolicy, NodePoolPolicySpec, intent};

    #[test]
    fn what_is_written_is_what_is_asked_for() {
        let spec: NodePoolPolicySpec = serde_json::from_value(serde_json::json!({
            "kubernetesVersion": "1.34.2",
            "upgrade": {"maxSurge": "33%", "drainTimeoutMinutes": 45, "undrainableNodes": "Cordon"},
        }))
        .unwrap();
        let intent = intent(&NodePoolPolicy::new("apps", spec));
        assert_eq!(intent.version, kernel::Version::parse("1.34.2").map(kernel::WantedVersion::Exactly));
        assert_eq!(intent.upgrade.to_string(), "maxSurge 33%, drainTimeoutMinutes 45, undrainableNodes Cordon");
        assert_eq!(version("ControlPlane"), Some(kernel::WantedVersion::ControlPlane));
        assert_eq!(version("newest"), None);
    }
}
