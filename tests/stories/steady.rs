//! A cluster in which nothing happens: what the operator reads, and that it writes nothing. Never measures time: it
//! counts by the operator's own timers.

use std::time::{Duration, Instant};

use aks_emulator::PoolSpec;
use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use nodepool_operator::api::{NodePoolPolicy, condition};
use serde_json::{Value, json};
use testbed::{Lane, OPERATOR_USER, Testbed, wait_for};

use super::support::{Scene, Story, binary, holds, policy, story};

/// Beside the system pool.
const USER_POOLS: usize = 99;

/// How often ARM is read in an hour by default: every two minutes, and up to a tenth later.
const REFRESHES: u32 = 30;

/// What is given as `--arm-refresh-seconds`.
const REFRESH: Duration = Duration::from_secs(1);

/// The timers of the operator's defaults at 1/120: an hour of 30 seconds. What a request may cost is left as it is.
const AT_SCALE: [&str; 16] = [
    "--arm-refresh-seconds",
    "1",
    "--arm-poll-seconds",
    "0.04",
    "--stale-after-seconds",
    "2.5",
    "--system-node-ready-seconds",
    "0.5",
    "--settle-seconds",
    "0.1",
    "--progress-deadline-seconds",
    "5",
    "--retry-seconds",
    "0.5",
    "--arm-request-share",
    "96",
];

pub fn stories() -> Vec<Story> {
    vec![story("read_once_a_refresh_and_write_nothing_at_rest", at_rest)]
}

async fn at_rest(lane: Lane) -> anyhow::Result<Scene> {
    let mut builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    for number in 0..USER_POOLS {
        builder = builder.pool(PoolSpec::user(&format!("apps{number}"), 0));
    }
    let bed = builder.start().await?;
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&AT_SCALE)).await?;
    let scene = Scene::of(bed, operator);
    let wanted = policies();
    let applied: Vec<NodePoolPolicy> =
        futures::stream::iter(&wanted).map(|policy| scene.apply(policy.clone())).buffered(8).try_collect().await?;
    ensure!(applied.len() == wanted.len());
    settled(&scene, &wanted).await?;

    let read_before = reads(&scene).len();
    let written_before = scene.bed.audit.writes_by(OPERATOR_USER)?.len();
    let asked_before = scene.bed.api.journal().len();
    let passed_before = scene.bed.arm.journal().len();
    let began = Instant::now();
    wait_for("an hour's worth of refreshes", Duration::from_secs(150), async || {
        let refreshes = scene.bed.arm.journal().len() - passed_before;
        Ok(if refreshes >= usize::try_from(REFRESHES)? { Ok(()) } else { Err(format!("{refreshes} refreshes")) })
    })
    .await?;
    let took = began.elapsed();
    ensure!(took >= REFRESH * (REFRESHES - 1), "{REFRESHES} reads within {took:?}: more than its timer asks for");

    let cluster = scene.bed.emulator.cluster_id().to_ascii_lowercase();
    let since = reads(&scene).split_off(read_before);
    let other: Vec<&String> = since.iter().filter(|request| **request != format!("GET {cluster}")).collect();
    ensure!(other.is_empty(), "ARM was asked for more than the cluster: {other:?}");
    let written = scene.bed.audit.writes_by(OPERATOR_USER)?.split_off(written_before);
    ensure!(written.is_empty(), "it wrote to the API server: {written:?}");
    // Nothing is listed or read beside the watches, which time out and go on now and then, and the lease.
    let asked = scene.bed.api.journal().split_off(asked_before).into_iter().map(|passage| passage.request);
    let asked = asked.filter(|request| !request.query.contains("watch=true") && !request.is_about_a_lease());
    let asked: Vec<String> = asked.map(|request| request.path.clone()).collect();
    ensure!(asked.is_empty(), "it asked the API server for {asked:?}");
    ensure!(scene.writes().is_empty(), "it wrote to ARM: {:?}", scene.writes());
    Ok(scene)
}

/// A policy for each pool that is as asked; and some that can't be fulfilled, which wait for a person, not for a timer.
fn policies() -> Vec<Value> {
    let mut policies = vec![policy("system", json!({"mode": "System", "count": 3, "taints": [], "labels": {}}))];
    policies.extend((0..USER_POOLS).map(|number| {
        policy(&format!("apps{number}"), json!({"mode": "User", "count": 0, "taints": [], "labels": {}}))
    }));
    // The API server tells ages in seconds, so that names decide which of two policies is the older.
    policies.push(policy("younger", json!({"poolName": "system", "count": 2})));
    policies.extend((0..9).map(|number| policy(&format!("absent{number}"), json!({"count": 1}))));
    policies
}

/// Waits until every policy is Ready or waits for a person, and the operator has had some quiet refreshes since.
async fn settled(scene: &Scene, wanted: &[Value]) -> anyhow::Result<()> {
    let api: Api<NodePoolPolicy> = Api::all(scene.bed.cluster.client());
    wait_for("every policy to be at rest", Duration::from_mins(1), async || {
        let all = api.list(&ListParams::default()).await?.items;
        let at_rest = |policy: &&NodePoolPolicy| {
            policy.status.as_ref().is_some_and(|status| {
                let rests = holds(status, condition::READY) || holds(status, condition::STALLED);
                rests && status.observed_generation == policy.metadata.generation
            })
        };
        let moving: Vec<String> = all.iter().filter(|policy| !at_rest(policy)).map(ResourceExt::name_any).collect();
        Ok(if all.len() == wanted.len() && moving.is_empty() { Ok(()) } else { Err(moving.join(", ")) })
    })
    .await?;
    scene.looks_again().await
}

/// Every request of the operator to ARM, in the order of arrival.
fn reads(scene: &Scene) -> Vec<String> {
    let journal = scene.bed.emulator.journal().by_user_agent("nodepool-operator");
    journal.iter().map(|exchange| format!("{} {}", exchange.method, exchange.path.to_ascii_lowercase())).collect()
}
