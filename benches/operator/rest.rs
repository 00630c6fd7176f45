//! Processor time at rest, with the settings that the operator has by default. Never changes what a policy asks for.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use testbed::Operator;

/// How long it is watched.
const LOOK: Duration = Duration::from_mins(1);
/// A kubelet reports its node's conditions this often when nothing else changes: `nodeStatusReportFrequency`.
const REPORT: Duration = Duration::from_mins(5);

/// Thousandths of a core.
pub(crate) async fn at_rest(operator: &Operator) -> anyhow::Result<String> {
    let (began, before) = (Instant::now(), operator.processor_time()?);
    tokio::time::sleep(LOOK).await;
    told(operator, began, before)
}

/// The same while the kubelets of these nodes report.
pub(crate) async fn while_nodes_report(
    operator: &Operator,
    client: Client,
    nodes: &[String],
) -> anyhow::Result<String> {
    let (began, before) = (Instant::now(), operator.processor_time()?);
    let api: Api<Node> = Api::all(client);
    let each = REPORT / u32::try_from(nodes.len())?;
    let due = nodes.iter().enumerate().map_while(|(number, node)| {
        let due = each * u32::try_from(number).ok()?;
        (due < LOOK).then_some((began + due, node))
    });
    let reports = futures::stream::iter(due).map(async |(due, node): (Instant, &String)| {
        tokio::time::sleep_until(due.into()).await;
        let conditions = json!([{"type": "Ready", "lastHeartbeatTime": Timestamp::now()}]);
        let report = Patch::Strategic(json!({"status": {"conditions": conditions}}));
        api.patch_status(node, &PatchParams::default(), &report).await.map(drop).context("a node can't be written")
    });
    reports.buffer_unordered(64).try_collect::<()>().await?;
    told(operator, began, before)
}

fn told(operator: &Operator, began: Instant, before: Duration) -> anyhow::Result<String> {
    let took = operator.processor_time()?.saturating_sub(before);
    let share = took.as_secs_f64() / began.elapsed().as_secs_f64();
    Ok(format!("{:.1} thousandths of a core", share * 1000.0))
}
