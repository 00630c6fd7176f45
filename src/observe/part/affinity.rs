//! What is read of where pods may run: affinity, spreading, tolerations. Never reads what they only prefer.

use k8s_openapi::api::core::v1 as core;

use super::message::messages;
use super::metadata::LabelSelector;

messages! {
    Affinity of core::Affinity {
        #[prost(message, optional, tag = "1")]
        node_affinity: Option<NodeAffinity>,
        #[prost(message, optional, tag = "2")]
        pod_affinity: Option<PodAffinity>,
        #[prost(message, optional, tag = "3")]
        pod_anti_affinity: Option<PodAntiAffinity>,
    }

    NodeAffinity of core::NodeAffinity {
        #[prost(message, optional, tag = "1")]
        required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    }

    NodeSelector of core::NodeSelector {
        #[prost(message, repeated, tag = "1")]
        node_selector_terms: Vec<NodeSelectorTerm>,
    }

    NodeSelectorTerm of core::NodeSelectorTerm {
        #[prost(message, repeated, tag = "1")]
        match_expressions: Vec<NodeSelectorRequirement>,
        #[prost(message, repeated, tag = "2")]
        match_fields: Vec<NodeSelectorRequirement>,
    }

    NodeSelectorRequirement of core::NodeSelectorRequirement {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(string, tag = "2")]
        operator: String,
        #[prost(string, repeated, tag = "3")]
        values: Vec<String>,
    }

    PodAffinity of core::PodAffinity {
        #[prost(message, repeated, tag = "1")]
        required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
    }

    PodAntiAffinity of core::PodAntiAffinity {
        #[prost(message, repeated, tag = "1")]
        required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
    }

    PodAffinityTerm of core::PodAffinityTerm {
        #[prost(message, optional, tag = "1")]
        label_selector: Option<LabelSelector>,
        #[prost(string, repeated, tag = "2")]
        namespaces: Vec<String>,
        #[prost(string, tag = "3")]
        topology_key: String,
        #[prost(message, optional, tag = "4")]
        namespace_selector: Option<LabelSelector>,
        #[prost(string, repeated, tag = "5")]
        match_label_keys: Vec<String>,
        #[prost(string, repeated, tag = "6")]
        mismatch_label_keys: Vec<String>,
    }

    TopologySpreadConstraint of core::TopologySpreadConstraint {
        #[prost(int32, tag = "1")]
        max_skew: i32,
        #[prost(string, tag = "2")]
        topology_key: String,
        #[prost(string, tag = "3")]
        when_unsatisfiable: String,
        #[prost(message, optional, tag = "4")]
        label_selector: Option<LabelSelector>,
        #[prost(int32, optional, tag = "5")]
        min_domains: Option<i32>,
        #[prost(string, optional, tag = "6")]
        node_affinity_policy: Option<String>,
        #[prost(string, optional, tag = "7")]
        node_taints_policy: Option<String>,
        #[prost(string, repeated, tag = "8")]
        match_label_keys: Vec<String>,
    }

    Toleration of core::Toleration {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(string, tag = "2")]
        operator: String,
        #[prost(string, tag = "3")]
        value: String,
        #[prost(string, tag = "4")]
        effect: String,
        #[prost(int64, optional, tag = "5")]
        toleration_seconds: Option<i64>,
    }
}
