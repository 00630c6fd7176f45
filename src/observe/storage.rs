//! The storage objects of the cluster and lists of whole kinds, read on demand. Never keeps what it has read.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::storage::v1 as storage;
use kube::Api;
use kube::api::ListParams;

use super::fresh::rows_of;
use super::part::{Part, Partly};
use super::scheduling::Storage;
use super::{Observer, PAGE};

/// Claims by namespace and name.
pub(super) type LocalClaims = BTreeSet<(String, String)>;

impl Observer {
    /// The storage objects of the cluster, and the claims whose volumes are on disks of nodes.
    pub(super) async fn storage(&self) -> kube::Result<(Storage, LocalClaims)> {
        let (mut storage, mut local) = (Storage::default(), LocalClaims::new());
        let volumes = self.listed::<core::PersistentVolume, _>(Some).await?;
        for volume in volumes {
            let spec = volume.spec.as_ref();
            let is_local = spec.is_some_and(|spec| spec.local.is_some() || spec.host_path.is_some());
            let claim = spec.and_then(|spec| spec.claim_ref.as_ref()).filter(|_| is_local);
            local.extend(claim.and_then(|claim| Some((claim.namespace.clone()?, claim.name.clone()?))));
            storage.add_volume(volume);
        }
        for claim in self.listed::<core::PersistentVolumeClaim, _>(Some).await? {
            storage.add_claim(claim);
        }
        for node in self.listed::<storage::CSINode, _>(Some).await? {
            storage.add_node(node);
        }
        for attachment in self.listed::<storage::VolumeAttachment, _>(Some).await? {
            storage.add_attachment(attachment);
        }
        Ok((storage, local))
    }

    /// A row of each object of a kind in the cluster, read page by page.
    pub(super) async fn listed<K, T>(&self, row: impl FnMut(K) -> Option<T>) -> kube::Result<Vec<T>>
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        rows_of(&Api::<K>::all(self.client.clone()), ListParams::default().limit(PAGE), row).await
    }

    /// The same of pods or nodes.
    pub(super) async fn parts<K, T>(&self, row: impl FnMut(Part<K>) -> Option<T>) -> kube::Result<Vec<T>>
    where
        K: Partly + Clone + std::fmt::Debug,
    {
        rows_of(&self.lists.all::<K>(), ListParams::default().limit(PAGE), row).await
    }
}
