//! Volumes that pods use through claims: where they can be reached, and how many a node can attach. Never guesses where
//! a volume that does not exist yet would be made.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Node;
use super::node_affinity::NodeTerm;
use super::pod::Pod;
use super::reason::Misfit;
use super::world::{Site, World};

/// A volume as a driver knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume {
    /// The CSI driver, for example `disk.csi.azure.com`.
    pub driver: String,
    /// The driver's name for the volume.
    pub handle: String,
}

/// CSI drivers on a node, each with how many volumes it can attach there, if it says so (`CSINode`).
pub type Drivers = BTreeMap<String, Option<u32>>;

/// A claim that is bound to a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// `metadata.name`; the namespace is the pod's.
    pub name: String,
    /// Whether only one pod in the cluster may use it (`ReadWriteOncePod`).
    pub exclusive: bool,
    /// The terms of the volume's node affinity, of which one must match; `None` when it can be reached from anywhere.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// The values that zone and region labels of a node must have (labels of the volume).
    pub zones: BTreeMap<String, BTreeSet<String>>,
    /// The volume, when a CSI driver attaches it.
    pub volume: Option<Volume>,
}

/// Labels of zones and regions, and under which other name a node may carry an old one.
const ZONE_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// The labels of a volume that tie it to zones or regions.
pub fn zone_labels() -> impl Iterator<Item = &'static str> {
    ZONE_LABELS.iter().map(|(label, _)| *label)
}

impl Claim {
    /// Whether the volume can be reached from the node (upstream `volumebinding` `checkBoundClaims`, `volumezone`
    /// `Filter`: a node without any zone or region label takes volumes of every zone).
    fn reaches(&self, node: &Node) -> bool {
        let affine = self
            .node_affinity
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)));
        let zoned = ZONE_LABELS.iter().any(|(label, _)| node.labels.contains_key(*label));
        affine && (!zoned || self.zones.iter().all(|(label, values)| in_zone(node, label, values)))
    }
}

fn in_zone(node: &Node, label: &str, values: &BTreeSet<String>) -> bool {
    let newer = ZONE_LABELS.iter().find(|(old, _)| *old == label).map(|(_, new)| *new);
    let value = node.labels.get(label).or_else(|| newer.and_then(|newer| node.labels.get(newer)));
    value.is_some_and(|value| values.contains(value))
}

/// Why the pod's volumes do not fit the node, if they do not.
///
/// Follows upstream `volumerestrictions` `Filter` (claims that one pod may use), `nodevolumelimits` `CSILimits.Filter`
/// and the two above. Stricter in one thing: a node that lacks the driver is refused, because the volume would never be
/// attached there.
pub(super) fn misfit(world: &World, site: &Site, pod: &Pod) -> Option<Misfit> {
    let in_use = |claim: &&Claim| claim.exclusive && world.uses(&pod.namespace, &claim.name);
    if let Some(claim) = pod.claims.iter().find(in_use) {
        return Some(Misfit::ClaimInUse(claim.name.clone()));
    }
    if let Some(misfit) = attach_limit(site, pod) {
        return Some(misfit);
    }
    let elsewhere = pod.claims.iter().find(|claim| !claim.reaches(&site.node));
    elsewhere.map(|claim| Misfit::VolumeElsewhere(claim.name.clone()))
}

fn attach_limit(site: &Site, pod: &Pod) -> Option<Misfit> {
    let wanted: BTreeSet<&Volume> = pod.claims.iter().filter_map(|claim| claim.volume.as_ref()).collect();
    if wanted.is_empty() {
        return None;
    }
    let Some(drivers) = &site.node.drivers else { return Some(Misfit::DriversUnknown) };
    let attached: BTreeSet<&Volume> = site.volumes.keys().chain(&site.node.attached).collect();
    for volume in &wanted {
        let driver = &volume.driver;
        let Some(limit) = drivers.get(driver) else { return Some(Misfit::DriverMissing(driver.clone())) };
        let of_driver = |volume: &&&Volume| volume.driver == *driver;
        let used = attached.iter().filter(of_driver).count();
        // A volume that only an attachment names counts as new here, as it does upstream.
        let new = wanted.iter().filter(of_driver).filter(|volume| !site.volumes.contains_key(**volume)).count();
        let sum = u64::try_from(used.saturating_add(new)).unwrap_or(u64::MAX).saturating_add(site.untraced_volumes);
        if let Some(limit) = limit
            && new > 0
            && sum > u64::from(*limit)
        {
            return Some(Misfit::AttachLimit { driver: driver.clone(), limit: *limit });
        }
    }
    None
}
