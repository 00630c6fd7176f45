//! Upgrades on nodes that write down what is done to them: the order of steps, drains that fail, resumption, restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aks_emulator::{ClusterSpec, PoolSpec, Settings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Machine};
use crate::support::{FAST, Local, start_on};

/// A pool that could be upgraded.
fn old_pool(count: u32) -> ClusterSpec {
    let apps = PoolSpec::user("apps", count).versions("1.32", "1.32.9");
    ClusterSpec::with_pools([PoolSpec::system("system", 1), apps])
}

async fn started(count: u32) -> (Local, Arc<Fleet>) {
    let fleet = Arc::new(Fleet::default());
    let local = start_on(Settings::with_time_scale(FAST), old_pool(count), fleet.clone()).await;
    fleet.log();
    (local, fleet)
}

async fn upgrade(local: &Local, settings: Value) -> Value {
    let put = local.put("apps", json!({"orchestratorVersion": "1.33", "upgradeSettings": settings})).await;
    assert_eq!((put.status, put.state()), (200, "Upgrading"), "{put:?}");
    local.follow(&put).await
}

async fn current(local: &Local) -> (String, String) {
    let pool = local.get_pool("apps").await;
    let version = pool.body["properties"]["currentOrchestratorVersion"].as_str().unwrap().to_owned();
    (pool.state().to_owned(), version)
}

fn pair(state: &str, version: &str) -> (String, String) {
    (state.to_owned(), version.to_owned())
}

fn versions(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect()
}

/// Waits until something was done to the nodes.
async fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nodes_are_replaced_one_by_one_behind_a_surge_node() {
    let (local, fleet) = started(2).await;
    assert_eq!(upgrade(&local, json!({})).await["status"], "Succeeded");
    assert_eq!(
        fleet.log(),
        [
            "create apps2",
            "cordon apps0",
            "drain apps0",
            "replace apps0",
            "cordon apps1",
            "drain apps1",
            "replace apps1",
            "cordon apps2",
            "drain apps2",
            "delete apps2",
        ]
    );
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
    assert!(fleet.of("apps").values().all(|machine| !machine.cordoned));
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn surge_and_unavailability_say_how_many_go_at_once() {
    for (settings, first) in [
        (
            json!({"maxSurge": "2"}),
            &["create apps3", "create apps4", "cordon apps0", "cordon apps1", "drain apps0"][..],
        ),
        (json!({"maxSurge": "100%"}), &["create apps3", "create apps4", "create apps5", "cordon apps0"]),
        (json!({"maxSurge": "9"}), &["create apps3", "create apps4", "create apps5", "cordon apps0"]),
        (json!({"maxSurge": "0", "maxUnavailable": "2"}), &["cordon apps0", "cordon apps1", "drain apps0"]),
    ] {
        let (local, fleet) = started(3).await;
        assert_eq!(upgrade(&local, settings.clone()).await["status"], "Succeeded");
        let log = fleet.log();
        assert_eq!(&log[..first.len()], first, "{settings}");
        assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 3)]), "{settings}");
    }
}

#[tokio::test]
async fn spot_nodes_are_not_drained() {
    let fleet = Arc::new(Fleet::default());
    let local = start_on(Settings::with_time_scale(FAST), old_pool(1), fleet.clone()).await;
    let spot = json!({"count": 2, "scaleSetPriority": "Spot", "orchestratorVersion": "1.32.9"});
    local.put_and_follow("spot", spot).await;
    fleet.log();
    local.put_and_follow("spot", json!({"orchestratorVersion": "1.33"})).await;
    assert_eq!(fleet.log(), ["cordon spot0", "replace spot0", "cordon spot1", "replace spot1"]);
}

#[tokio::test]
async fn a_drain_that_fails_stops_the_upgrade_and_any_put_resumes_it() {
    let (local, fleet) = started(3).await;
    fleet.stick(&["apps1"]);
    let failed = upgrade(&local, json!({"drainTimeoutInMinutes": 90})).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("Failed"), &json!("PodDrainFailure")));
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("failed to be drained with error: 'Drain did not complete pods [web-0] within 1h30m0s'"));
    assert_eq!(current(&local).await, pair("Failed", "1.32.9"));
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 2), ("1.33.5", 1)]));
    assert!(fleet.of("apps").values().all(|machine| !machine.cordoned), "all are schedulable");
    let noted = local.get_pool("apps").await.body["properties"]["status"]["provisioningError"]["code"].clone();
    assert_eq!(noted, "PodDrainFailure");
    fleet.stick(&[]);
    fleet.log();
    let put = local.put_and_follow("apps", json!({"nodeLabels": {"a": "b"}})).await;
    assert_eq!(put.state(), "Updating");
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 3)]));
    assert!(!fleet.log().contains(&"drain apps0".to_owned()), "it was done before");
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn a_quarantined_node_is_stood_in_for_until_somebody_releases_it() {
    let (local, fleet) = started(3).await;
    fleet.stick(&["apps0"]);
    let failed = upgrade(&local, json!({"maxSurge": "1", "undrainableNodeBehavior": "Cordon"})).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("Failed"), &json!("PodDrainFailure")));
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 1), ("1.33.5", 3)]));
    let quarantined = fleet.of("apps")["apps0"].clone();
    assert!(quarantined.quarantined && quarantined.cordoned && quarantined.version == "1.32.9");
    assert_eq!(current(&local).await, pair("Failed", "1.32.9"));

    fleet.log();
    local.put_and_follow("apps", json!({})).await;
    assert_eq!(fleet.log(), [""; 0], "it is left alone");
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));

    fleet.stick(&[]);
    fleet.release_quarantine();
    local.put_and_follow("apps", json!({})).await;
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 3)]));
    fleet.log();
    local.put_and_follow("apps", json!({})).await;
    assert_eq!(fleet.log(), [""; 0], "nothing is left of it");
}

#[tokio::test]
async fn more_quarantined_nodes_than_surge_ones_cancel_the_upgrade() {
    let (local, fleet) = started(4).await;
    fleet.stick(&["apps0", "apps1"]);
    let ended = upgrade(&local, json!({"maxSurge": "1", "undrainableNodeBehavior": "Cordon"})).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("Canceled"), &json!("PodDrainFailure")));
    assert_eq!(current(&local).await, pair("Canceled", "1.32.9"));
    assert_eq!(fleet.of("apps").values().filter(|machine| machine.quarantined).count(), 2);
    assert_eq!(fleet.versions("apps")["1.32.9"], 4, "the others were not tried");

    let (local, fleet) = started(3).await;
    fleet.stick(&["apps0"]);
    let settings = json!({"maxSurge": "0", "maxUnavailable": "1", "undrainableNodeBehavior": "Cordon"});
    assert_eq!(upgrade(&local, settings).await["status"], "Canceled", "nothing stands in");
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 1), ("1.33.5", 2)]));
}

#[tokio::test]
async fn a_scale_in_takes_quarantined_nodes_first() {
    let (local, fleet) = started(3).await;
    fleet.stick(&["apps0"]);
    upgrade(&local, json!({"maxSurge": "1", "undrainableNodeBehavior": "Cordon"})).await;
    fleet.stick(&[]);
    local.put_and_follow("apps", json!({"count": 2})).await;
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
    assert!(!fleet.of("apps").contains_key("apps0"));
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn a_surge_node_that_is_never_ready_fails_the_upgrade_and_is_taken_over_later() {
    let fleet = Arc::new(Fleet::default());
    let settings = Settings { ready_timeout: Some(Duration::from_millis(50)), ..Settings::with_time_scale(FAST) };
    let local = start_on(settings, old_pool(2), fleet.clone()).await;
    fleet.break_new(true);
    let failed = upgrade(&local, json!({})).await;
    assert_eq!(failed["error"]["code"], "NodesNotReady");
    assert_eq!(failed["error"]["message"], "Not all nodes reached Ready state. Expected: 1, Actual: 0");
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 2), ("1.33.5", 1)]));
    fleet.break_new(false);
    fleet.log();
    local.put_and_follow("apps", json!({})).await;
    assert!(!fleet.log().iter().any(|step| step.starts_with("create")), "the surge node is there");
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
}

#[tokio::test]
async fn a_restart_goes_on_where_the_upgrade_was() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { state_file: Some(folder.path().join("state.json")), ..Settings::with_time_scale(FAST) };
    let fleet = Arc::new(Fleet::default());
    let mut local = start_on(settings.clone(), old_pool(3), fleet.clone()).await;
    fleet.log();
    fleet.hold(Some("drain apps0"));
    local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    for (step, reached) in [
        ("drain apps0", "cordon apps0"),
        ("replace apps0", "drain apps0"),
        ("drain apps1", "cordon apps1"),
        ("replace apps2", "drain apps2"),
        ("drain apps3", "cordon apps3"),
    ] {
        fleet.hold(Some(step));
        local.emulator.stop().await;
        local = start_on(settings.clone(), old_pool(3), fleet.clone()).await;
        wait_for(step, || fleet.has(reached)).await;
    }
    fleet.hold(None);
    local.emulator.idle().await;
    let log = fleet.log();
    let times = |step: &str| log.iter().filter(|noted| noted.starts_with(step)).count();
    assert_eq!((times("create"), times("replace"), times("delete")), (1, 3, 1), "{log:?}");
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 3)]));
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn an_abort_ends_an_upgrade_where_it_is() {
    let (local, fleet) = started(2).await;
    fleet.hold(Some("drain apps0"));
    let put = local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    wait_for("a cordon", || fleet.of("apps").values().any(|machine| machine.cordoned)).await;
    let abort = local.send(Method::POST, &local.url(&local.pool_path("apps/abort")), None).await;
    assert_eq!(abort.state(), "Canceling");
    local.follow(&abort).await;
    assert_eq!(local.follow(&put).await["status"], "Canceled");
    assert_eq!(current(&local).await, pair("Canceled", "1.32.9"));
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 2), ("1.33.5", 1)]), "the surge node stays");
    fleet.hold(None);
    local.put_and_follow("apps", json!({"tags": {"a": "b"}})).await;
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn an_abort_lets_a_machine_come_back_that_is_being_reimaged() {
    let (local, fleet) = started(2).await;
    fleet.hold(Some("replace apps0"));
    local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    wait_for("apps0 to go", || !fleet.of("apps").contains_key("apps0")).await;
    let abort = local.send(Method::POST, &local.url(&local.pool_path("apps/abort")), None).await;
    fleet.hold(None);
    assert_eq!(local.follow(&abort).await["status"], "Succeeded");
    assert_eq!(fleet.versions("apps"), versions(&[("1.32.9", 1), ("1.33.5", 2)]));
    local.put_and_follow("apps", json!({})).await;
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
}

#[tokio::test]
async fn a_delete_takes_an_upgrade_and_its_surge_nodes_away() {
    let (local, fleet) = started(2).await;
    fleet.hold(Some("drain apps0"));
    let put = local.put("apps", json!({"orchestratorVersion": "1.33"})).await;
    wait_for("a cordon", || fleet.of("apps").values().any(|machine| machine.cordoned)).await;
    let delete = local.delete("apps").await;
    fleet.hold(None);
    assert_eq!(local.follow(&delete).await["status"], "Succeeded");
    assert_eq!(local.follow(&put).await["error"]["code"], "AKSOperationPreemptedByDelete");
    assert!(fleet.of("apps").is_empty());
}

#[tokio::test]
async fn a_second_change_takes_over_a_failed_one() {
    let (local, fleet) = started(2).await;
    fleet.stick(&["apps1"]);
    assert_eq!(upgrade(&local, json!({})).await["status"], "Failed");
    fleet.stick(&[]);
    let put = local.put_and_follow("apps", json!({"osSKU": "AzureLinux"})).await;
    assert_eq!(put.state(), "Upgrading");
    let all = fleet.of("apps");
    assert_eq!(all.len(), 2);
    let image = "AKSAzureLinux-V3gen2-202601.07.0";
    let is_new = |machine: &Machine| machine.sku == "AzureLinux" && machine.image == image;
    assert!(all.values().all(|machine| is_new(machine) && machine.version == "1.33.5"), "{all:?}");
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}

#[tokio::test]
async fn a_soak_lies_between_drain_and_reimage() {
    let fleet = Arc::new(Fleet::default());
    let local = start_on(Settings::with_time_scale(FAST), old_pool(1), fleet.clone()).await;
    let began = Instant::now();
    upgrade(&local, json!({"nodeSoakDurationInMinutes": 30})).await;
    assert!(began.elapsed() >= Duration::from_mins(30).div_f64(FAST));
}

#[tokio::test]
async fn a_stopped_pool_comes_back_upgraded() {
    let (local, fleet) = started(2).await;
    fleet.stick(&["apps1"]);
    upgrade(&local, json!({})).await;
    fleet.stick(&[]);
    local.put_and_follow("apps", json!({"powerState": {"code": "Stopped"}})).await;
    assert!(fleet.of("apps").is_empty());
    local.put_and_follow("apps", json!({"powerState": {"code": "Running"}})).await;
    assert_eq!(fleet.versions("apps"), versions(&[("1.33.5", 2)]));
    assert_eq!(current(&local).await, pair("Succeeded", "1.33.5"));
}
