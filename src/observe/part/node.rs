//! What is read of a node. Never reads its images, which are most of its text.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::message::{Quantity, Time, messages};
use super::metadata::ObjectMeta;

messages! {
    Node of core::Node {
        #[prost(message, required, tag = "1")]
        metadata: ObjectMeta,
        #[prost(message, optional, tag = "2")]
        spec: Option<NodeSpec>,
        #[prost(message, optional, tag = "3")]
        status: Option<NodeStatus>,
    }

    NodeSpec of core::NodeSpec {
        #[prost(string, tag = "3")]
        #[serde(rename = "providerID")]
        provider_id: String,
        #[prost(bool, tag = "4")]
        unschedulable: bool,
        #[prost(message, repeated, tag = "5")]
        taints: Vec<Taint>,
    }

    Taint of core::Taint {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(string, tag = "2")]
        value: String,
        #[prost(string, tag = "3")]
        effect: String,
    }

    NodeStatus of core::NodeStatus {
        #[prost(btree_map = "string, message", tag = "2")]
        allocatable: BTreeMap<String, Quantity>,
        #[prost(message, repeated, tag = "4")]
        conditions: Vec<NodeCondition>,
        #[prost(message, optional, tag = "7")]
        node_info: Option<NodeSystemInfo>,
    }

    NodeCondition of core::NodeCondition {
        #[prost(string, tag = "1")]
        #[serde(rename = "type")]
        type_: String,
        #[prost(string, tag = "2")]
        status: String,
        #[prost(message, required, tag = "4")]
        last_transition_time: Time,
    }

    NodeSystemInfo of core::NodeSystemInfo {
        #[prost(string, tag = "7")]
        kubelet_version: String,
    }
}
