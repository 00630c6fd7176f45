//! The example of a cluster's description, as a cluster.

use std::path::Path;

use aks_emulator::{ClusterSpec, Settings};
use serde_json::json;

use crate::support::{FAST, start};

#[tokio::test]
async fn the_example_becomes_a_cluster_with_all_that_it_says() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cluster.yaml"));
    let spec = ClusterSpec::read(path).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), ClusterSpec::example());
    let local = start(Settings::with_time_scale(FAST), spec).await;
    let properties = |pool: &str| local.emulator.pool(pool).unwrap()["properties"].clone();
    let apps = properties("apps");
    assert_eq!(apps["upgradeSettings"]["drainTimeoutInMinutes"], 30);
    assert_eq!((&apps["tags"], &apps["osDiskType"]), (&json!({"cost-center": "42"}), &json!("Ephemeral")));
    let cheap = properties("cheap");
    assert_eq!((&cheap["scaleSetPriority"], &cheap["spotMaxPrice"]), (&json!("Spot"), &json!(-1)));
    assert_eq!(cheap["nodeLabels"]["kubernetes.azure.com/scalesetpriority"], "spot");
    assert_eq!((&properties("burst")["minCount"], &properties("burst")["maxCount"]), (&json!(1), &json!(10)));
    assert_eq!(properties("old")["currentOrchestratorVersion"], "1.33.3");
    let nightly = properties("nightly");
    assert_eq!((&nightly["powerState"]["code"], &nightly["count"]), (&json!("Stopped"), &json!(0)));
    local.put_and_follow("nightly", json!({"powerState": {"code": "Running"}})).await;
    assert_eq!(properties("nightly")["count"], 2);
}

#[tokio::test]
async fn the_program_prints_the_example() {
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_aks-emulator"));
    let output = program.arg("--print-example-cluster").output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), ClusterSpec::example().trim());
}
