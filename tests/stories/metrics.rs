//! What the operator tells about itself to whoever reads its metrics, and what its log never tells.

use std::time::Duration;

use aks_emulator::{Action, Matcher, PoolSpec};
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Operator, Testbed, wait_for};

use super::inventory::pause;
use super::support::{DEADLINE, QUICK, Scene, Story, binary, plain_cluster, plain_cluster_with, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("metrics_tell_each_request_and_the_log_no_signature", metrics),
        story("metrics_tell_how_policies_and_system_pools_stand", phases),
        story("metrics_age_while_arm_can_not_be_read", blind),
        story("say_that_the_port_of_the_metrics_is_taken", taken),
    ]
}

/// A cluster whose operator is quick and is started with further arguments, `--log` among them.
async fn begin(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let quick: Vec<&str> = QUICK.into_iter().take_while(|argument| *argument != "--log").collect();
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let bed = builder.pool(PoolSpec::user("apps", 1)).start().await?;
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&quick).arguments(arguments)).await?;
    Ok(Scene::of(bed, operator))
}

/// The metrics as they are served where the log says.
pub async fn served(scene: &Scene) -> anyhow::Result<String> {
    served_by(&scene.operator).await
}

/// The same of one replica.
pub async fn served_by(operator: &Operator) -> anyhow::Result<String> {
    let log = operator.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Of its last start.
    let mut told = lines.map(|line| line["fields"].clone()).filter(|it| it["message"] == "metrics are served");
    let told = told.next_back().context("no address in the log")?;
    let address = told["address"].as_str().context("no address")?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    Ok(client.get(format!("http://{address}/metrics")).send().await?.error_for_status()?.text().await?)
}

/// The value of one series.
pub fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

async fn metrics(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(lane, &["--log", "trace"]).await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    scene.is_quiet().await?;
    let metrics = served(&scene).await?;
    let writes = r#"nodepool_operator_arm_requests_total{kind="write_pool",status="200",class="ok"}"#;
    ensure!(value(&metrics, writes) == Some(1.0), "{metrics}");
    let polls = r#"nodepool_operator_arm_requests_total{kind="read_operation",status="200",class="ok"}"#;
    ensure!(value(&metrics, polls).is_some_and(|polls| polls >= 1.0), "{metrics}");
    let reads = r#"nodepool_operator_arm_requests_total{kind="read_cluster",status="200",class="ok"}"#;
    let attempts = r#"nodepool_operator_arm_request_attempts_total{kind="read_cluster"}"#;
    ensure!(value(&metrics, reads).is_some_and(|reads| reads > 3.0), "{metrics}");
    ensure!(value(&metrics, reads) == value(&metrics, attempts), "{metrics}");

    let journal = scene.bed.emulator.journal().by_user_agent("nodepool-operator");
    let write = journal.writes().iter().next().cloned().context("no write")?;
    let operation = write.response_headers.get("azure-asyncoperation").context("no operation")?;
    let signature = operation.split("&s=").nth(1).and_then(|rest| rest.split('&').next()).context("no signature")?;
    let log = scene.operator.log();
    ensure!(
        log.contains(r#""message":"request""#) && log.contains("typespec_client_core"),
        "the log is not that of level TRACE"
    );
    ensure!(!log.contains(signature), "the log holds a signature");
    Ok(scene)
}

async fn taken(lane: Lane) -> anyhow::Result<Scene> {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = port.local_addr()?.to_string();
    let mut scene = begin(lane, &["--log", "info", "--metrics-address", &address]).await?;
    let code = scene.operator.wait(DEADLINE).await?;
    let log = scene.operator.log();
    ensure!(code == 1 && log.contains(&format!("nodepool-operator: --metrics-address {address} can't be")), "{log}");
    drop(port);
    scene.operator.restart().await?;
    wait_for("the metrics to be served", DEADLINE, async || {
        Ok(served(&scene).await.map_err(|error| error.to_string()))
    })
    .await?;
    Ok(scene)
}

/// The value of one of the operator's series, without the beginning of its name.
fn figure(metrics: &str, series: &str) -> Option<f64> {
    value(metrics, &format!("nodepool_operator_{series}"))
}

/// Waits until each of these series has its value, and that of `None` is not there. Gives all that is told then.
async fn tells(scene: &Scene, when: &str, wanted: &[(&str, Option<f64>)]) -> anyhow::Result<String> {
    let what = format!("the metrics {when}");
    let found = wait_for(&what, DEADLINE, async || {
        let metrics = served(scene).await?;
        let differs = |(series, wanted): &&(&str, Option<f64>)| figure(&metrics, series) != *wanted;
        let wrong = wanted.iter().find(differs);
        Ok(match wrong {
            Some((series, wanted)) => Err(format!("{series} is {:?}, not {wanted:?}", figure(&metrics, series))),
            None => Ok(metrics),
        })
    });
    found.await.map_err(|error| error.context(format!("the operator's log ends: {}", scene.operator.log_tail(20))))
}

/// How many policies are in each state. They are in no other.
fn states(metrics: &str) -> Vec<(&str, f64)> {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(r#"nodepool_operator_policies{state=""#));
    let series = series.filter_map(|line| line.split_once(r#""} "#));
    let counts = series.filter_map(|(state, count)| Some((state, count.parse().ok()?)));
    counts.filter(|(_, count)| *count != 0.0).collect()
}

/// What the nodes of a pool take together: pods.
fn pods_that_fit(nodes: &[Node]) -> Option<f64> {
    let of = |node: &Node| node.status.as_ref()?.allocatable.as_ref()?.get("pods")?.0.parse::<f64>().ok();
    nodes.iter().map(of).sum()
}

const REFUSED: &str = r#"policies_refused{rule="LastHealthySystemPool",standing="lasting"}"#;

async fn phases(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("system", json!({"mode": "System"}))).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("system").await?;
    scene.ready("apps").await?;
    at_rest(&scene).await?;
    step_made(&scene).await?;
    step_refused(&scene).await?;
    paused_and_over(&scene).await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn at_rest(scene: &Scene) -> anyhow::Result<()> {
    let room = pods_that_fit(&scene.nodes("system").await?);
    ensure!(room.is_some_and(|pods| pods > 0.0), "the system nodes take {room:?} pods");
    let at_rest = [
        ("leader", Some(1.0)),
        (r#"policies{state="ready"}"#, Some(2.0)),
        (REFUSED, Some(0.0)),
        (r#"refusals_total{rule="LastHealthySystemPool"}"#, Some(0.0)),
        (r#"policies_out_of_sync{reason="drifted"}"#, Some(0.0)),
        (r#"policy_state_age_seconds{state="refused"}"#, Some(0.0)),
        (r#"operations_running{started_by="operator"}"#, Some(0.0)),
        (r#"operations_running{started_by="others"}"#, Some(0.0)),
        (r#"steps_total{field="count",outcome="started"}"#, None),
        ("drains_running", Some(0.0)),
        (r#"pools{mode="system"}"#, Some(1.0)),
        (r#"pools{mode="user"}"#, Some(1.0)),
        ("pools_without_policy", Some(0.0)),
        ("paused", Some(0.0)),
        ("system_pools_healthy", Some(1.0)),
        ("system_nodes_usable", Some(2.0)),
        ("system_nodes_floor", Some(2.0)),
        ("system_nodes_guaranteed", Some(2.0)),
        ("system_allocatable_pods", room),
        ("system_headroom_pods", room),
        (r#"observation_age_seconds{source="nodes"}"#, Some(0.0)),
        ("observation_age_limit_seconds", Some(300.0)),
    ];
    let metrics = tells(scene, "to be those of a cluster at rest", &at_rest).await?;
    ensure!(states(&metrics) == [("ready", 2.0)], "{metrics}");
    ensure!(!metrics.contains("apps"), "no pool and no policy is named:\n{metrics}");
    Ok(())
}

async fn step_made(scene: &Scene) -> anyhow::Result<()> {
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    let made = [
        (r#"steps_total{field="count",outcome="started"}"#, Some(1.0)),
        (r#"steps_total{field="count",outcome="succeeded"}"#, Some(1.0)),
        (r#"policies{state="ready"}"#, Some(2.0)),
    ];
    tells(scene, "to count the step", &made).await?;
    Ok(())
}

async fn step_refused(scene: &Scene) -> anyhow::Result<()> {
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    scene.stalled("system", "LastHealthySystemPool").await?;
    let refused = [
        (REFUSED, Some(1.0)),
        (r#"refusals_total{rule="LastHealthySystemPool"}"#, Some(1.0)),
        (r#"refusals_total{rule="WrongCluster"}"#, Some(0.0)),
        (r#"policies_out_of_sync{reason="drifted"}"#, Some(1.0)),
        (r#"policies{state="refused"}"#, Some(1.0)),
        (r#"steps_total{field="mode",outcome="started"}"#, None),
    ];
    let metrics = tells(scene, "to count the refusal", &refused).await?;
    ensure!(states(&metrics) == [("ready", 1.0), ("refused", 1.0)], "{metrics}");
    let since = figure(&metrics, r#"policy_state_age_seconds{state="refused"}"#);
    ensure!(since.is_some_and(|age| age > 0.0 && age < DEADLINE.as_secs_f64()), "{metrics}");
    Ok(())
}

async fn paused_and_over(scene: &Scene) -> anyhow::Result<()> {
    pause(scene, true).await?;
    let paused = [("paused", Some(1.0)), (r#"policies{state="paused"}"#, Some(2.0)), (REFUSED, Some(1.0))];
    let metrics = tells(scene, "to tell the pause", &paused).await?;
    ensure!(states(&metrics) == [("paused", 2.0)], "{metrics}");
    pause(scene, false).await?;
    scene.apply(policy("system", json!({"mode": "System"}))).await?;
    scene.ready("system").await?;
    let over = [
        ("paused", Some(0.0)),
        (REFUSED, Some(0.0)),
        (r#"policies{state="ready"}"#, Some(2.0)),
        // That it was there in the pause too is no news.
        (r#"refusals_total{rule="LastHealthySystemPool"}"#, Some(1.0)),
    ];
    tells(scene, "to be at rest again", &over).await?;
    Ok(())
}

async fn blind(lane: Lane) -> anyhow::Result<Scene> {
    const AGE: &str = r#"observation_age_seconds{source="arm"}"#;
    let scene = plain_cluster_with(lane, &["--stale-after-seconds", "5"]).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    tells(&scene, "to tell the capacity", &[("system_nodes_usable", Some(2.0))]).await?;
    let reads = Matcher::method("GET").user_agent("nodepool-operator");
    let cut = scene.bed.emulator.fault(reads, Action::DropBefore, None);
    let stale = [
        ("observation_age_limit_seconds", Some(5.0)),
        (r#"policies{state="waiting"}"#, Some(1.0)),
        (r#"observation_age_seconds{source="nodes"}"#, Some(0.0)),
        // What can't be counted on is not told any more.
        ("system_nodes_usable", None),
        ("system_headroom_pods", None),
        ("system_nodes_floor", Some(2.0)),
    ];
    let metrics = tells(&scene, "to be those of an operator that is blind", &stale).await?;
    let before = figure(&metrics, AGE).context("no age")?;
    ensure!(before > 5.0, "ARM was seen {before} s ago");
    let later = figure(&served(&scene).await?, AGE).context("no age")?;
    ensure!(later > before, "the age does not grow: {before} s, then {later} s");
    drop(cut);
    scene.ready("apps").await?;
    let seen = [(r#"policies{state="ready"}"#, Some(1.0)), ("system_nodes_usable", Some(2.0))];
    let metrics = tells(&scene, "to be those of one that sees", &seen).await?;
    ensure!(figure(&metrics, AGE).is_some_and(|age| age < before), "{metrics}");
    Ok(scene)
}
