//! Volumes behind the claims of pods, and what nodes can attach. Never guesses where a volume would be made.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::storage::v1 as storage;
use nodepool_kernel::placement::{Claim, Drivers, Obstacle, Volume, zone_labels};

use super::non_empty;
use super::selectors::node_terms;

/// The storage objects of a cluster that placement reads. What is missing here counts as not there.
#[derive(Debug, Default)]
pub struct Storage {
    claims: BTreeMap<(String, String), core::PersistentVolumeClaim>,
    volumes: BTreeMap<String, core::PersistentVolume>,
    nodes: BTreeMap<String, storage::CSINode>,
    attachments: Vec<storage::VolumeAttachment>,
}

/// The annotation of a claim whose binding is complete.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

/// What one volume of a pod means for its placement.
pub(super) enum Use {
    /// Nothing.
    Free,
    /// A volume through a claim.
    Claimed(Claim),
    /// One that may have to be attached and can't be traced.
    Untraced(Obstacle),
}

impl Storage {
    /// Adds a `PersistentVolumeClaim`.
    pub fn add_claim(&mut self, claim: core::PersistentVolumeClaim) {
        let metadata = &claim.metadata;
        let key = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        self.claims.insert(key, claim);
    }

    /// Adds a `PersistentVolume`.
    pub fn add_volume(&mut self, volume: core::PersistentVolume) {
        self.volumes.insert(volume.metadata.name.clone().unwrap_or_default(), volume);
    }

    /// Adds a `CSINode`.
    pub fn add_node(&mut self, node: storage::CSINode) {
        self.nodes.insert(node.metadata.name.clone().unwrap_or_default(), node);
    }

    /// Adds a `VolumeAttachment`.
    pub fn add_attachment(&mut self, attachment: storage::VolumeAttachment) {
        self.attachments.push(attachment);
    }

    /// The volume drivers of a node with their limits; `None` when its `CSINode` is missing.
    pub(super) fn drivers(&self, node: &str) -> Option<Drivers> {
        let drivers = &self.nodes.get(node)?.spec.drivers;
        // A limit below zero is refused by the API server; it attaches nothing.
        let limit = |driver: &storage::CSINodeDriver| {
            let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
            count.map(|count| u32::try_from(count).unwrap_or(0))
        };
        Some(drivers.iter().map(|driver| (driver.name.clone(), limit(driver))).collect())
    }

    /// The volumes that attachments name on a node (upstream `getNodeVolumeAttachmentInfo`). One whose volume is gone
    /// still takes a place.
    pub(super) fn attached(&self, node: &str) -> BTreeSet<Volume> {
        let here = self.attachments.iter().filter(|attachment| attachment.spec.node_name == node);
        let volume = |attachment: &storage::VolumeAttachment| {
            let name = attachment.spec.source.persistent_volume_name.as_ref()?;
            let csi = self.volumes.get(name).and_then(|volume| volume.spec.as_ref()).and_then(|spec| spec.csi.as_ref());
            let handle = csi.map_or_else(|| name.clone(), |csi| csi.volume_handle.clone());
            Some(Volume { driver: attachment.spec.attacher.clone(), handle })
        };
        here.filter_map(volume).collect()
    }

    /// What a volume of a pod means for its placement. `pod` is the pod's name when it exists: then volumes that live as
    /// long as the pod have a claim.
    pub(super) fn usage(&self, namespace: &str, pod: Option<&str>, volume: &core::Volume) -> Use {
        if let Some(claim) = &volume.persistent_volume_claim {
            return self.claimed(namespace, &claim.claim_name);
        }
        match (&volume.ephemeral, pod) {
            (Some(_), Some(pod)) => return self.claimed(namespace, &format!("{pod}-{}", volume.name)),
            (Some(_), None) => {
                let problem =
                    "does not exist before the pod does, so where its volume would be is not known".to_owned();
                return Use::Untraced(Obstacle::Claim { name: volume.name.clone(), problem });
            }
            _ => {}
        }
        // Sources that the scheduler counts, or keeps apart, by rules of their own.
        let old = volume.aws_elastic_block_store.is_some()
            || volume.azure_disk.is_some()
            || volume.azure_file.is_some()
            || volume.cinder.is_some()
            || volume.gce_persistent_disk.is_some()
            || volume.iscsi.is_some()
            || volume.portworx_volume.is_some()
            || volume.rbd.is_some()
            || volume.vsphere_volume.is_some();
        if old {
            Use::Untraced(Obstacle::NotModelled(format!("the kind of its volume {}", volume.name)))
        } else {
            Use::Free
        }
    }

    fn claimed(&self, namespace: &str, name: &str) -> Use {
        match self.trace(namespace, name) {
            Ok(claim) => Use::Claimed(claim),
            Err(problem) => Use::Untraced(Obstacle::Claim { name: name.to_owned(), problem }),
        }
    }

    /// The volume of a claim, or why it can't be used (upstream `volumebinding` `podHasPVCs`, `GetPodVolumeClaims`).
    fn trace(&self, namespace: &str, name: &str) -> Result<Claim, String> {
        let key = (namespace.to_owned(), name.to_owned());
        let claim = self.claims.get(&key).ok_or("does not exist")?;
        let spec = claim.spec.as_ref().ok_or("has no specification")?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err("is being deleted".to_owned());
        }
        if claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Lost")) {
            return Err("has lost its volume".to_owned());
        }
        let bound = claim.metadata.annotations.iter().flatten().any(|(key, _)| key == BIND_COMPLETED);
        let volume = non_empty(spec.volume_name.as_ref()).filter(|_| bound);
        let volume = volume.ok_or("is not bound to a volume, so where that would be is not known")?;
        let object =
            self.volumes.get(volume).ok_or_else(|| format!("names the volume {volume}, which does not exist"))?;
        let volume = object.spec.as_ref().ok_or_else(|| format!("names the volume {volume} without specification"))?;
        if is_old(volume) {
            return Err("has a volume of a kind that is not modelled".to_owned());
        }
        let required = volume.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        let exclusive = |mode: &String| mode == "ReadWriteOncePod";
        let csi = volume.csi.as_ref();
        Ok(Claim {
            name: name.to_owned(),
            exclusive: spec.access_modes.iter().flatten().any(exclusive),
            node_affinity: required.map(|required| by_labels(&required.node_selector_terms)),
            zones: zones(object),
            volume: csi.map(|csi| Volume { driver: csi.driver.clone(), handle: csi.volume_handle.clone() }),
        })
    }
}

/// The terms that nodes match by their labels. Those that ask for a node's name are left out, although the scheduler
/// ignores such a part: a volume that names a node is not there for others.
fn by_labels(terms: &[core::NodeSelectorTerm]) -> Vec<nodepool_kernel::placement::NodeTerm> {
    node_terms(terms).into_iter().filter(|term| term.names.is_empty()).collect()
}

/// Volumes that the scheduler translates to a CSI driver's.
const fn is_old(volume: &core::PersistentVolumeSpec) -> bool {
    volume.aws_elastic_block_store.is_some()
        || volume.azure_disk.is_some()
        || volume.azure_file.is_some()
        || volume.cinder.is_some()
        || volume.gce_persistent_disk.is_some()
        || volume.portworx_volume.is_some()
        || volume.vsphere_volume.is_some()
}

/// The zones and regions that the volume's labels tie it to (upstream `volumezone` `getPVTopologies`): several are
/// separated by `__`, and a label with an empty one is ignored.
fn zones(volume: &core::PersistentVolume) -> BTreeMap<String, BTreeSet<String>> {
    let labels = volume.metadata.labels.as_ref();
    let values = |key: &'static str| {
        let values: BTreeSet<String> = labels?.get(key)?.split("__").map(|value| value.trim().to_owned()).collect();
        (!values.contains("")).then(|| (key.to_owned(), values))
    };
    zone_labels().filter_map(values).collect()
}
