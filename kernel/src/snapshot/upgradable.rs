//! What an upgrade of a pool depends on besides: what AKS offers it, and what runs on its nodes. Read only while one is
//! planned that nothing else stands against.

use super::occupancy::Occupancy;
use crate::version::Version;

/// What AKS and Kubernetes tell of a pool that is to be upgraded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upgradable {
    /// The versions that AKS offers the pool (`upgradeProfiles/default`), in ascending order.
    pub offered: Vec<Version>,
    /// The latest node image that AKS has for the pool (`latestNodeImageVersion` there), if it tells.
    pub latest_image: Option<String>,
    /// All pods on the pool's nodes, with their disruption budgets.
    pub occupancy: Occupancy,
}
