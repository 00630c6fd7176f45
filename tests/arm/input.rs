//! Input of any form, without a fuzzer: what the fuzz targets hold the client to, on their seeds and on much more.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::hold;

/// Names that the client looks for.
const NAMES: [&str; 26] = [
    "agentPoolProfiles",
    "code",
    "count",
    "currentOrchestratorVersion",
    "eTag",
    "enableAutoScaling",
    "error",
    "id",
    "maxCount",
    "maxUnavailable",
    "message",
    "minCount",
    "mode",
    "name",
    "nodeImageVersion",
    "nodeLabels",
    "nodeTaints",
    "orchestratorVersion",
    "osType",
    "powerState",
    "properties",
    "provisioningError",
    "provisioningState",
    "status",
    "tags",
    "upgradeSettings",
];
/// Texts that mean something.
const TEXTS: [&str; 12] = [
    "Succeeded",
    "Failed",
    "Canceled",
    "InProgress",
    "System",
    "User",
    "VirtualMachineScaleSets",
    "Linux",
    "Running",
    "a=b:NoSchedule",
    "AuthorizationFailed",
    "perform action 'a' over scope 'b'",
];

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => ".{0,6}"]
}

/// Any JSON, with names and values that mean something more often than chance would have it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Two bytes that mean a status, and a body.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        3 => any_json().prop_map(|json| json.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..400),
    ];
    let status = prop_oneof![1 => Just(100_u16), 1 => 0_u16..500];
    (status, body).prop_map(|(status, body)| [&status.to_be_bytes()[..], &body].concat())
}

fn document() -> impl Strategy<Value = Value> {
    let properties = prop::collection::btree_map(name(), any_json(), 0..16);
    let properties = properties.prop_map(|properties| properties.into_iter().collect::<Map<_, _>>());
    prop_oneof![properties.prop_map(|properties| json!({"name": "apps", "properties": properties})), any_json()]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn documents_of_any_form(document in document()) {
        hold::pool_document::hold(document.to_string().as_bytes());
    }

    #[test]
    fn bodies_of_errors_of_any_form(input in answer()) {
        hold::error_body::hold(&input);
    }

    #[test]
    fn answers_about_operations_of_any_form(input in answer()) {
        hold::operation_answer::hold(&input);
    }
}

#[test]
fn the_seeds_of_the_fuzz_targets() {
    type Hold = fn(&[u8]);
    let targets: [(&str, Hold); 3] = [
        ("pool_document", hold::pool_document::hold),
        ("error_body", hold::error_body::hold),
        ("operation_answer", hold::operation_answer::hold),
    ];
    for (target, hold) in targets {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(seeds.len() > 5, "{target}");
        for seed in seeds {
            hold(&std::fs::read(seed).unwrap());
        }
    }
}
