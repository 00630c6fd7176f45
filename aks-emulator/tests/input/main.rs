//! Any request, however malformed, gets an answer that a client can read: what the fuzz target holds, without a fuzzer.

#[cfg(test)]
#[path = "../../fuzz/request.rs"]
mod request;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::request::hold;

    const CLUSTER: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/local/providers/\
        Microsoft.ContainerService/managedClusters/local";
    /// Names that the emulator looks for in bodies.
    const NAMES: [&str; 24] = [
        "properties",
        "count",
        "mode",
        "vmSize",
        "osType",
        "type",
        "nodeLabels",
        "nodeTaints",
        "tags",
        "powerState",
        "code",
        "enableAutoScaling",
        "minCount",
        "maxCount",
        "orchestratorVersion",
        "upgradeSettings",
        "maxSurge",
        "scaleSetPriority",
        "spotMaxPrice",
        "availabilityZones",
        "maxPods",
        "nodeImageVersion",
        "id",
        "eTag",
    ];

    fn config() -> ProptestConfig {
        ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() }
    }

    /// Any JSON, with names and values that mean something more often than chance would have it.
    fn body() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (0..5_i64).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "System",
                "User",
                "Stopped",
                "Running",
                "Spot",
                "Windows",
                "1.33",
                "a=b:NoSchedule"
            ])
            .prop_map(Value::from),
        ];
        let name = prop_oneof![8 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|map| json!(map)),
            ]
        })
    }

    fn target() -> impl Strategy<Value = String> {
        let below = prop::sample::select(vec![
            "",
            "/agentPools",
            "/agentPools/apps",
            "/agentPools/new",
            "/agentPools/apps/abort",
            "/agentPools/apps/upgradeProfiles/default",
            "/agentPools/apps/upgradeNodeImageVersion",
            "/agentPools/apps/deleteMachines",
            "/agentPools/apps/machines",
            "/agentPools//",
            "/upgradeProfiles/default",
        ]);
        let version = prop::sample::select(vec!["2025-10-01", "2019-02-01", "2024-01-01", "2026-04-01", "x", ""]);
        let query = prop_oneof![
            Just(String::new()),
            "(&[$a-zA-Z-]{1,8}=[^ #]{0,8}){0,2}",
            Just("&$skipToken=99999999999999999999".to_owned())
        ];
        prop_oneof![
            6 => (below, version, query).prop_map(|(below, version, query)| format!("{CLUSTER}{below}?api-version={version}{query}")),
            1 => "/[ -~]{0,40}",
            1 => "/subscriptions(/[a-zA-Z.]{0,12}){0,9}",
            1 => prop::sample::select(vec!["journal?after=-1", "faults", "foreign", "clock", "auto-upgrade", "rules", "rules/x"])
                .prop_map(|rest| format!("/admin/{rest}")),
        ]
    }

    fn request() -> impl Strategy<Value = Vec<u8>> {
        let method = prop_oneof![6 => prop::sample::select(vec!["GET", "PUT", "PUT", "DELETE", "POST", "PATCH", "HEAD"]).prop_map(str::to_owned), 1 => "[A-Z]{1,8}"];
        let header = prop_oneof![
            3 => Just(String::new()),
            1 => "(host|if-match|if-none-match|content-type|user-agent): [ -~]{0,20}",
        ];
        let body = prop_oneof![
            4 => body().prop_map(|body| json!({"properties": body}).to_string().into_bytes()),
            2 => body().prop_map(|body| body.to_string().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..60),
        ];
        (method, target(), header, body).prop_map(|(method, target, header, body)| {
            let separator = if header.is_empty() { "" } else { "\n" };
            [format!("{method} {target}{separator}{header}\n\n").into_bytes(), body].concat()
        })
    }

    fn block_on(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn any_request_gets_an_answer_that_a_client_can_read(input in request()) {
            block_on(hold(&input));
        }

        #[test]
        fn so_do_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
            block_on(hold(&input));
        }
    }

    #[test]
    fn so_do_the_seeds_of_the_fuzzer() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/request");
        let mut count = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            block_on(hold(&std::fs::read(seed.unwrap().path()).unwrap()));
            count += 1;
        }
        assert!(count > 15);
    }
}
