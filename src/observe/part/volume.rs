//! What is read of a pod's volumes: of which kind each is. Never reads where it is.

use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Deserializer, Serialize};

use super::message::{There, Whole, messages};

/// A volume, whose source is beside its name in JSON.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct Volume {
    #[prost(string, tag = "1")]
    #[serde(default, deserialize_with = "super::message::or_default")]
    name: String,
    #[prost(message, optional, tag = "2")]
    #[serde(flatten, deserialize_with = "source")]
    source: Option<VolumeSource>,
}

fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<VolumeSource>, D::Error> {
    VolumeSource::deserialize(deserializer).map(Some)
}

impl Whole<core::Volume> for Volume {
    fn whole(self) -> core::Volume {
        let source = self.source.map(VolumeSource::whole).unwrap_or_default();
        core::Volume { name: self.name, ..source }
    }
}

messages! {
    VolumeSource of core::Volume {
        #[prost(message, optional, tag = "1")]
        host_path: Option<There>,
        #[prost(message, optional, tag = "3")]
        gce_persistent_disk: Option<There>,
        #[prost(message, optional, tag = "4")]
        aws_elastic_block_store: Option<There>,
        #[prost(message, optional, tag = "8")]
        iscsi: Option<There>,
        #[prost(message, optional, tag = "10")]
        persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
        #[prost(message, optional, tag = "11")]
        rbd: Option<There>,
        #[prost(message, optional, tag = "13")]
        cinder: Option<There>,
        #[prost(message, optional, tag = "18")]
        azure_file: Option<There>,
        #[prost(message, optional, tag = "20")]
        vsphere_volume: Option<There>,
        #[prost(message, optional, tag = "22")]
        azure_disk: Option<There>,
        #[prost(message, optional, tag = "24")]
        portworx_volume: Option<There>,
        #[prost(message, optional, tag = "29")]
        ephemeral: Option<There>,
    }

    PersistentVolumeClaimVolumeSource of core::PersistentVolumeClaimVolumeSource {
        #[prost(string, tag = "1")]
        claim_name: String,
    }
}
