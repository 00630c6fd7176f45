//! What the operator tells about itself to whoever reads its metrics, and what its log never tells.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{DEADLINE, QUICK, Scene, Story, binary, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("metrics_tell_each_request_and_the_log_no_signature", metrics),
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
    let log = scene.operator.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut fields = lines.map(|line| line["fields"].clone());
    let told = fields.find(|fields| fields["message"] == "metrics are served").context("no address in the log")?;
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
