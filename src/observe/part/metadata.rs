//! What is read of the metadata of any object. Never reads who manages its fields, which is much of its text.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::message::{Time, messages};

messages! {
    ObjectMeta of meta::ObjectMeta {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "3")]
        namespace: String,
        #[prost(string, tag = "5")]
        uid: String,
        #[prost(string, tag = "6")]
        resource_version: String,
        #[prost(message, required, tag = "8")]
        creation_timestamp: Time,
        #[prost(message, required, tag = "9")]
        deletion_timestamp: Time,
        #[prost(btree_map = "string, string", tag = "11")]
        labels: BTreeMap<String, String>,
        #[prost(btree_map = "string, string", tag = "12")]
        annotations: BTreeMap<String, String>,
        #[prost(message, repeated, tag = "13")]
        owner_references: Vec<OwnerReference>,
    }

    OwnerReference of meta::OwnerReference {
        #[prost(string, tag = "5")]
        api_version: String,
        #[prost(string, tag = "1")]
        kind: String,
        #[prost(string, tag = "3")]
        name: String,
        #[prost(bool, optional, tag = "6")]
        controller: Option<bool>,
    }

    LabelSelector of meta::LabelSelector {
        #[prost(btree_map = "string, string", tag = "1")]
        match_labels: BTreeMap<String, String>,
        #[prost(message, repeated, tag = "2")]
        match_expressions: Vec<LabelSelectorRequirement>,
    }

    LabelSelectorRequirement of meta::LabelSelectorRequirement {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(string, tag = "2")]
        operator: String,
        #[prost(string, repeated, tag = "3")]
        values: Vec<String>,
    }
}
