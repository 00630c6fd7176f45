//! Nodes as the scheduler's filters read them. Never holds what only scores.

use std::collections::BTreeSet;

use super::labels::Labels;
use super::resources::{Amount, Resources};
use super::volumes::{Drivers, Volume};
use crate::taint::Taint;

/// A node on which pods run or may be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`: somebody cordoned it.
    pub unschedulable: bool,
    /// `status.allocatable`; what is absent or can't be read is zero.
    pub allocatable: Resources,
    /// `status.allocatable.pods`.
    pub max_pods: Amount,
    /// The drivers for volumes that the node has (`CSINode`); `None` when they are unknown.
    pub drivers: Option<Drivers>,
    /// Volumes that are attached to it (`VolumeAttachment`), whether or not a listed pod uses them.
    pub attached: BTreeSet<Volume>,
    /// Why nothing is to be placed here, in words after "is" ("not Ready"), although it stays and counts for spreading
    /// and affinity. `None` when pods may be placed.
    pub unavailable: Option<String>,
    /// Whether every pod that runs here is listed in the world. If not, none is placed here.
    pub all_pods_listed: bool,
}
