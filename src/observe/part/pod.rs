//! What is read of a pod. Never reads what its containers run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::affinity::{Affinity, Toleration, TopologySpreadConstraint};
use super::message::{Quantity, Time, messages};
use super::metadata::ObjectMeta;
use super::volume::Volume;

messages! {
    Pod of core::Pod {
        #[prost(message, required, tag = "1")]
        metadata: ObjectMeta,
        #[prost(message, optional, tag = "2")]
        spec: Option<PodSpec>,
        #[prost(message, optional, tag = "3")]
        status: Option<PodStatus>,
    }

    PodSpec of core::PodSpec {
        #[prost(message, repeated, tag = "1")]
        volumes: Vec<Volume>,
        #[prost(message, repeated, tag = "2")]
        containers: Vec<Container>,
        #[prost(btree_map = "string, string", tag = "7")]
        node_selector: BTreeMap<String, String>,
        #[prost(string, tag = "10")]
        node_name: String,
        #[prost(bool, tag = "11")]
        host_network: bool,
        #[prost(message, optional, tag = "18")]
        affinity: Option<Affinity>,
        #[prost(string, tag = "19")]
        scheduler_name: String,
        #[prost(message, repeated, tag = "20")]
        init_containers: Vec<Container>,
        #[prost(message, repeated, tag = "22")]
        tolerations: Vec<Toleration>,
        #[prost(btree_map = "string, message", tag = "32")]
        overhead: BTreeMap<String, Quantity>,
        #[prost(message, repeated, tag = "33")]
        topology_spread_constraints: Vec<TopologySpreadConstraint>,
        #[prost(message, repeated, tag = "38")]
        scheduling_gates: Vec<PodSchedulingGate>,
        #[prost(message, repeated, tag = "39")]
        resource_claims: Vec<PodResourceClaim>,
        #[prost(message, optional, tag = "40")]
        resources: Option<ResourceRequirements>,
    }

    Container of core::Container {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "6")]
        ports: Vec<ContainerPort>,
        #[prost(message, optional, tag = "8")]
        resources: Option<ResourceRequirements>,
        #[prost(message, repeated, tag = "9")]
        volume_mounts: Vec<VolumeMount>,
        #[prost(string, optional, tag = "24")]
        restart_policy: Option<String>,
    }

    ContainerPort of core::ContainerPort {
        #[prost(int32, tag = "2")]
        host_port: i32,
        #[prost(int32, tag = "3")]
        container_port: i32,
        #[prost(string, tag = "4")]
        protocol: String,
        #[prost(string, tag = "5")]
        #[serde(rename = "hostIP")]
        host_ip: String,
    }

    ResourceRequirements of core::ResourceRequirements {
        #[prost(btree_map = "string, message", tag = "1")]
        limits: BTreeMap<String, Quantity>,
        #[prost(btree_map = "string, message", tag = "2")]
        requests: BTreeMap<String, Quantity>,
    }

    VolumeMount of core::VolumeMount {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(bool, tag = "2")]
        read_only: bool,
    }

    PodSchedulingGate of core::PodSchedulingGate {
        #[prost(string, tag = "1")]
        name: String,
    }

    PodResourceClaim of core::PodResourceClaim {
        #[prost(string, tag = "1")]
        name: String,
    }

    PodStatus of core::PodStatus {
        #[prost(string, tag = "1")]
        phase: String,
        #[prost(message, repeated, tag = "2")]
        conditions: Vec<PodCondition>,
        #[prost(message, repeated, tag = "8")]
        container_statuses: Vec<ContainerStatus>,
        #[prost(message, repeated, tag = "10")]
        init_container_statuses: Vec<ContainerStatus>,
    }

    PodCondition of core::PodCondition {
        #[prost(string, tag = "1")]
        #[serde(rename = "type")]
        type_: String,
        #[prost(string, tag = "2")]
        status: String,
    }

    ContainerStatus of core::ContainerStatus {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, optional, tag = "2")]
        state: Option<ContainerState>,
        #[prost(message, optional, tag = "3")]
        last_state: Option<ContainerState>,
        #[prost(int32, tag = "5")]
        restart_count: i32,
        #[prost(btree_map = "string, message", tag = "10")]
        allocated_resources: BTreeMap<String, Quantity>,
        #[prost(message, optional, tag = "11")]
        resources: Option<ResourceRequirements>,
    }

    ContainerState of core::ContainerState {
        #[prost(message, optional, tag = "1")]
        waiting: Option<ContainerStateWaiting>,
        #[prost(message, optional, tag = "3")]
        terminated: Option<ContainerStateTerminated>,
    }

    ContainerStateWaiting of core::ContainerStateWaiting {
        #[prost(string, tag = "1")]
        reason: String,
    }

    ContainerStateTerminated of core::ContainerStateTerminated {
        #[prost(message, required, tag = "6")]
        finished_at: Time,
    }
}
