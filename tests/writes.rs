//! What a write of the operator changes on a pool of the AKS emulator: the property that the step is about and nothing
//! else, whatever the pool's document, with eTags and without. Never goes through the operator's loop.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a failure is to end the test with its place"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use aks_emulator::{ClusterSpec, Emulator, NoNodes, PoolSpec, Settings};
use nodepool_kernel::{Autoscaling, Change, Mode, NewPool, TEMPLATE_FIELDS, Taint, Template};
use nodepool_operator::api::PoolTemplate;
use nodepool_operator::arm::{PoolDocument, PoolWrite};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Client, Response};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// Which of the service's unconfirmed ways the emulator takes.
const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];
/// Properties that every operation moves.
const MOVED_BY_ITSELF: [&str; 2] = ["eTag", "provisioningState"];

/// An emulator with a system pool and the pool `apps`, and a client of it.
struct Arm {
    emulator: Emulator,
    client: Client,
}

impl Arm {
    async fn start(etags: bool, omission_retains_collections: bool) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap());
        let mut settings = Settings::with_time_scale(1e6);
        settings.switches.etags = etags;
        settings.switches.omission_retains_collections = omission_retains_collections;
        let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 1)]);
        let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
        Self { emulator, client: Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap() }
    }

    fn url(&self) -> String {
        let endpoint = self.emulator.endpoint().as_str().trim_end_matches('/');
        format!("{endpoint}{}/agentPools/apps?api-version=2025-10-01", self.emulator.cluster_id())
    }

    async fn read(&self) -> Value {
        let response = self.client.get(self.url()).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// Creates the pool `spot`, if there is none of its name.
    async fn create(&self, body: &Value) -> Response {
        let url = self.url().replace("/apps?", "/spot?");
        let request = self.client.put(url).header("if-none-match", "*").body(body.to_string());
        let response = request.send().await.unwrap();
        self.emulator.idle().await;
        response
    }

    async fn put(&self, body: &Value, if_match: Option<&str>) -> Response {
        let mut request = self.client.put(self.url()).body(body.to_string());
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        let response = request.send().await.unwrap();
        self.emulator.idle().await;
        response
    }

    /// Makes the pool look like this, on top of what it is from the start.
    fn seed(&self, start: &Map<String, Value>, properties: &Map<String, Value>) {
        self.emulator.edit(|cluster| {
            let pool = cluster.pool_mut("apps").unwrap();
            pool.properties.clone_from(start);
            pool.properties.extend(properties.clone());
        });
    }
}

fn properties(document: &Value) -> Map<String, Value> {
    document["properties"].as_object().unwrap().clone()
}

/// What is compared: all but what moves by itself and what the change is about; an empty collection is as good as none.
fn all_else(document: &Value, about: &[(&str, Value)]) -> Map<String, Value> {
    let mut all = properties(document);
    all.retain(|name, value| {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        !(empty || about.iter().any(|(about, _)| name == about) || MOVED_BY_ITSELF.contains(&name.as_str()))
    });
    all
}

fn any_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z]{1,3}", "[a-z0-9]{0,3}", 0..4)
}

fn any_taints() -> impl Strategy<Value = Vec<Taint>> {
    let effect = prop::sample::select(vec!["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    let taints = prop::collection::btree_map(("[a-z]{1,3}", effect), "[a-z0-9]{1,3}", 0..4);
    taints.prop_map(|taints| {
        let text = |((key, effect), value): ((String, &str), String)| format!("{key}={value}:{effect}");
        taints.into_iter().map(|taint| text(taint).parse().unwrap()).collect()
    })
}

fn any_properties() -> impl Strategy<Value = Map<String, Value>> {
    let settings = (any_labels(), any_taints(), any_labels(), 0u32..8, any::<bool>());
    let rarer = (5u32..60, prop::option::of(1u32..4), any::<bool>(), 0u32..30, any::<bool>());
    (settings, rarer).prop_map(
        |((labels, taints, tags, count, autoscaled), (drain, surge, deallocate, soak, tunnel))| {
            let taints: Vec<String> = taints.iter().map(ToString::to_string).collect();
            let mut all = json!({
                "nodeLabels": labels, "nodeTaints": taints, "tags": tags, "count": count,
                "scaleDownMode": if deallocate { "Deallocate" } else { "Delete" },
                "upgradeSettings": {"drainTimeoutInMinutes": drain, "nodeSoakDurationInMinutes": soak},
                "securityProfile": {"sshAccess": if tunnel { "Disabled" } else { "LocalUser" }},
                "linuxOSConfig": {"sysctls": {"netCoreSomaxconn": 4096}},
                "nodeImageVersion": "an-older-image",
            });
            if let Some(surge) = surge {
                all["upgradeSettings"]["maxSurge"] = json!(surge.to_string());
            }
            if autoscaled {
                // The service raises a pool to its minimum by itself.
                all["count"] = json!(count.max(1));
                all["enableAutoScaling"] = json!(true);
                all["minCount"] = json!(1);
                all["maxCount"] = json!(9);
            }
            all.as_object().unwrap().clone()
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1u32..9).prop_map(|to| Change::Count { from: 1, to }),
        any_labels().prop_map(|to| Change::Labels { from: [].into(), to }),
        any_labels().prop_map(|to| Change::Tags { from: [].into(), to }),
        any_taints().prop_map(|to| Change::Taints { from: vec![], to }),
        Just(Change::Mode { from: Mode::User, to: Mode::User }),
        prop::option::of(Just(Autoscaling { min: 0, max: 9 })).prop_map(|to| Change::Autoscaling { from: None, to }),
        Just(Change::Repair { code: String::new() }),
        Just(Change::Start),
    ]
}

/// What is to be found afterwards, and where; a repair changes nothing, and a deletion is no PUT. Upgrades, and what they are
/// made with, are none of the changes here: AKS shows them when the nodes have them.
fn wanted(change: &Change) -> Vec<(&'static str, Value)> {
    match change {
        Change::Mode { to, .. } => vec![("mode", json!(to.to_string()))],
        Change::Count { to, .. } => vec![("count", json!(to))],
        Change::Taints { to, .. } => vec![("nodeTaints", to.iter().map(ToString::to_string).collect())],
        Change::Labels { to, .. } => vec![("nodeLabels", json!(to))],
        Change::Tags { to, .. } => vec![("tags", json!(to))],
        Change::Autoscaling { to, .. } => vec![
            ("enableAutoScaling", json!(to.is_some())),
            ("minCount", to.map_or(json!({}), |bounds| json!(bounds.min))),
            ("maxCount", to.map_or(json!({}), |bounds| json!(bounds.max))),
        ],
        Change::Stop => vec![("powerState", json!({"code": "Stopped"}))],
        Change::Start => vec![("powerState", json!({"code": "Running"}))],
        Change::Version { .. }
        | Change::NodeImage { .. }
        | Change::UpgradeSettings { .. }
        | Change::Repair { .. }
        | Change::Create(_)
        | Change::Delete
        | Change::Drain(_) => vec![],
    }
}

fn found(document: &Value, name: &str) -> Value {
    let empty = if name == "nodeTaints" { json!([]) } else { json!({}) };
    document["properties"].get(name).cloned().unwrap_or(empty)
}

fn write_for(document: &Value, change: &Change) -> PoolWrite {
    PoolWrite::new(&PoolDocument::parse(document.clone()).unwrap(), change)
}

#[test]
fn a_write_changes_what_it_is_about_and_nothing_else() {
    let runtime = Runtime::new().unwrap();
    for (etags, retained) in WAYS {
        let arm = runtime.block_on(Arm::start(etags, retained));
        let start = properties(&runtime.block_on(arm.read()));
        let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
        let cases = (any_properties(), any_change());
        let outcome = runner.run(&cases, |(properties, change)| {
            // The count of an autoscaled pool is nobody's step.
            prop_assume!(!(properties.contains_key("minCount") && matches!(change, Change::Count { .. })));
            arm.seed(&start, &properties);
            let before = runtime.block_on(arm.read());
            let write = write_for(&before, &change);
            prop_assert_eq!(write.if_match.is_some(), etags);
            let answer = runtime.block_on(arm.put(&write.body, write.if_match.as_deref()));
            prop_assert!(answer.status().is_success(), "{}", runtime.block_on(answer.text()).unwrap());
            let after = runtime.block_on(arm.read());
            let wanted = wanted(&change);
            prop_assert_eq!(all_else(&after, &wanted), all_else(&before, &wanted));
            for (name, value) in wanted {
                prop_assert_eq!(found(&after, name), value);
            }
            Ok(())
        });
        assert!(outcome.is_ok(), "etags {etags}, omission retains {retained}: {}", outcome.unwrap_err());
    }
}

#[tokio::test]
async fn with_an_etag_a_write_that_comes_after_somebody_elses_has_no_effect() {
    let arm = Arm::start(true, true).await;
    let write = write_for(&arm.read().await, &Change::Count { from: 1, to: 4 });
    let theirs = json!({"properties": {"nodeLabels": {"by": "hand"}}});
    assert!(arm.put(&theirs, None).await.status().is_success());
    let before = arm.read().await;
    assert_eq!(arm.put(&write.body, write.if_match.as_deref()).await.status(), 412);
    assert_eq!(arm.read().await, before);
}

/// A value within AKS's limits for every setting of the kernel.
fn sysctls() -> Value {
    let mut all = json!({"netIpv4IpLocalPortRange": "32000 60000", "netIpv4TcpTwReuse": true});
    for field in &TEMPLATE_FIELDS {
        let name = field.name.strip_prefix("linuxOSConfig.sysctls.").unwrap_or_default();
        if let Some((_, value)) = SYSCTLS.iter().find(|(names, _)| names.contains(&name)) {
            all[name] = json!(value);
        }
    }
    all
}

/// Values that fit these settings.
const SYSCTLS: [(&[&str], i64); 6] = [
    (&["fsAioMaxNr", "fsFileMax", "fsNrOpen", "vmMaxMapCount", "netNetfilterNfConntrackBuckets"], 100_000),
    (&["fsInotifyMaxUserWatches", "netNetfilterNfConntrackMax"], 1_000_000),
    (&["netCoreRmemDefault", "netCoreRmemMax", "netCoreWmemDefault", "netCoreWmemMax", "netCoreOptmemMax"], 300_000),
    (
        &[
            "netIpv4NeighDefaultGcThresh1",
            "netIpv4NeighDefaultGcThresh2",
            "netIpv4NeighDefaultGcThresh3",
            "netIpv4TcpMaxSynBacklog",
            "netIpv4TcpMaxTwBuckets",
            "netCoreNetdevMaxBacklog",
            "netCoreSomaxconn",
            "kernelThreadsMax",
        ],
        20_000,
    ),
    (
        &[
            "netIpv4TcpFinTimeout",
            "netIpv4TcpkeepaliveIntvl",
            "netIpv4TcpKeepaliveTime",
            "vmSwappiness",
            "vmVfsCachePressure",
        ],
        60,
    ),
    (&["netIpv4TcpKeepaliveProbes"], 5),
];

#[tokio::test]
async fn every_field_of_a_template_is_what_a_new_pool_has_and_a_second_creation_has_no_effect() {
    let arm = Arm::start(false, true).await;
    let resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
    let kubelet = json!({
        "allowedUnsafeSysctls": ["net.*", "kernel.msg*"], "containerLogMaxFiles": 3, "containerLogMaxSizeMB": 20,
        "cpuCfsQuota": false, "cpuCfsQuotaPeriod": "200ms", "cpuManagerPolicy": "static", "failSwapOn": false,
        "imageGcHighThreshold": 90, "imageGcLowThreshold": 70, "podMaxPids": 500, "topologyManagerPolicy": "best-effort",
    });
    let os = json!({
        "swapFileSizeMB": 1500, "transparentHugePageDefrag": "defer+madvise", "transparentHugePageEnabled": "madvise",
        "sysctls": sysctls(),
    });
    let written: PoolTemplate = serde_json::from_value(json!({
        "capacityReservationGroupID": resource, "enableEncryptionAtHost": true, "enableFIPS": true,
        "enableNodePublicIP": true, "enableUltraSSD": true, "evictionPolicy": "Deallocate", "gpuInstanceProfile": "MIG1g",
        "hostGroupID": resource, "kubeletConfig": kubelet, "kubeletDiskType": "Temporary", "linuxOSConfig": os, "maxPods": 40, "nodePublicIPPrefixID": resource,
        "osDiskSizeGB": 64, "osDiskType": "Ephemeral", "osSKU": "AzureLinux", "osType": "Linux", "podSubnetID": resource,
        "priority": "Spot", "proximityPlacementGroupID": resource, "scaleDownMode": "Deallocate",
        "spotMaxPrice": "0.05", "vmSize": "Standard_D4ds_v5", "vnetSubnetID": resource, "zones": ["2", "1"],
    }))
    .unwrap();
    let template = Arc::new(Template::from_fields(|field| written.value(field.name)));
    assert_eq!(template.values().count(), TEMPLATE_FIELDS.len(), "a field is missing here");
    let new = NewPool::new(Mode::User, 1, Arc::clone(&template));
    let write = PoolWrite::creation(&new);
    assert!(write.if_none_match && write.if_match.is_none());
    let answer = arm.create(&write.body).await;
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let shown = PoolDocument::parse(arm.emulator.pool("spot").unwrap()).unwrap().pool();
    assert_eq!(template.drift(&shown.settings, "2025-10-01"), []);
    assert_eq!(Template::default().drift(&shown.settings, "2025-10-01"), [], "what is left out is not compared");
    let bare = arm.emulator.pool("apps").unwrap();
    let drift = template.drift(&PoolDocument::parse(bare).unwrap().pool().settings, "2025-10-01");
    assert!(drift.len() > 15, "another pool differs: {drift:?}");
    assert_eq!(arm.create(&write.body).await.status(), 412);
}
