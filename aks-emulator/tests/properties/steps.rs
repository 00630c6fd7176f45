//! What may happen next: requests, faults, time, restarts.

use proptest::prelude::*;
use serde_json::{Value, json};

/// The pools that requests are about; the first two exist at the start.
pub const POOLS: [&str; 4] = ["system", "apps", "batch", "spare"];

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    Put { pool: &'static str, properties: Value },
    Delete { pool: &'static str },
    Abort { pool: &'static str },
    ForeignPut { pool: &'static str, properties: Value },
    Malformed { method: &'static str, path: &'static str, body: &'static str },
    LoseNext { before: bool },
    AnswerNext { status: u16 },
    FailNext { pool: &'static str },
    Advance { seconds: u64 },
    ToNext,
    Restart,
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (pool(), properties()).prop_map(|(pool, properties)| Step::Put { pool, properties }),
        2 => pool().prop_map(|pool| Step::Delete { pool }),
        1 => pool().prop_map(|pool| Step::Abort { pool }),
        1 => (pool(), properties()).prop_map(|(pool, properties)| Step::ForeignPut { pool, properties }),
        1 => malformed(),
        1 => any::<bool>().prop_map(|before| Step::LoseNext { before }),
        1 => prop::sample::select(vec![429, 500, 502, 504]).prop_map(|status| Step::AnswerNext { status }),
        1 => pool().prop_map(|pool| Step::FailNext { pool }),
        4 => (0..250_u64).prop_map(|seconds| Step::Advance { seconds }),
        4 => Just(Step::ToNext),
        1 => Just(Step::Restart),
    ]
}

fn pool() -> impl Strategy<Value = &'static str> {
    prop::sample::select(POOLS.to_vec())
}

/// Properties of a PUT, some of which the service refuses.
fn properties() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..7_u64).prop_map(|count| json!({"count": count})),
        1 => (1..4_u64, 0..4_u64).prop_map(|(count, more)| json!({
            "count": count, "enableAutoScaling": true, "minCount": count, "maxCount": count + more,
        })),
        1 => Just(json!({"enableAutoScaling": false, "count": 2})),
        1 => prop::sample::select(vec!["Running", "Stopped"]).prop_map(|code| json!({"powerState": {"code": code}})),
        1 => prop::sample::select(vec!["User", "System"]).prop_map(|mode| json!({"mode": mode, "count": 2})),
        1 => "[a-z]{1,3}".prop_map(|key| json!({"nodeLabels": {key: "1"}})),
        1 => prop::sample::select(vec!["a=b:NoSchedule", "CriticalAddonsOnly=true:NoSchedule", "a b"])
            .prop_map(|taint| json!({"nodeTaints": [taint]})),
        1 => Just(json!({})),
        1 => prop::sample::select(vec![
            json!({"count": -1}),
            json!({"count": "two"}),
            json!({"count": 2, "vmSize": "Standard_D8ds_v5"}),
            json!({"unheardOf": 1}),
            json!({"powerState": 7}),
        ]),
    ]
}

fn malformed() -> impl Strategy<Value = Step> {
    let methods = prop::sample::select(vec!["GET", "PUT", "DELETE", "POST", "PATCH"]);
    let paths = prop::sample::select(vec!["/", "/subscriptions", "/subscriptions/x/providers/y", "/admin/none"]);
    let bodies = prop::sample::select(vec!["", "{", "[]", "{\"properties\": []}"]);
    (methods, paths, bodies).prop_map(|(method, path, body)| Step::Malformed { method, path, body })
}
