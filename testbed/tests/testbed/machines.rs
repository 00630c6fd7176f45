//! Single machines of a pool on a real API server: as ARM shows them, and taken away by name.

use std::time::Duration;

use aks_emulator::{ForeignRequest, PoolSpec};
use anyhow::{Context as _, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use testbed::cluster::{is_of_daemon_set, node_of};
use testbed::{Lanes, Testbed, wait_for};

const DEADLINE: Duration = Duration::from_mins(2);

/// A request to ARM: status and body of the answer.
async fn ask(bed: &Testbed, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<(u16, Value)> {
    let target = format!("{}/{path}?api-version=2025-10-01", bed.emulator.cluster_id());
    let exchange = bed.emulator.as_someone_else(&ForeignRequest::new(method, &target, body)).await;
    let exchange = exchange.context("no request")?;
    Ok((exchange.status.unwrap_or_default(), exchange.response.unwrap_or_default()))
}

async fn delete(bed: &Testbed, pool: &str, names: &[String]) -> anyhow::Result<(u16, Value)> {
    let body = json!({"machineNames": names});
    ask(bed, "POST", &format!("agentPools/{pool}/deleteMachines"), Some(body)).await
}

pub async fn machines_go_without_a_drain_unless_add_ons_need_them(lanes: Lanes) -> anyhow::Result<()> {
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 3).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2))
        .start()
        .await?;
    let apps: Vec<String> = bed.cluster.nodes_of("apps").await?.iter().map(ResourceExt::name_any).collect();
    let (_, machines) = ask(&bed, "GET", "agentPools/apps/machines", None).await?;
    let first = &machines["value"][0];
    ensure!(first["name"] == apps[0].as_str(), "{first}");
    let provider = bed.cluster.nodes_of("apps").await?[0].spec.clone().and_then(|spec| spec.provider_id);
    let resource = first["properties"]["resourceId"].as_str().unwrap_or_default();
    ensure!(provider.as_deref() == Some(format!("azure://{resource}").as_str()), "{first} {provider:?}");

    let (status, body) = delete(&bed, "apps", &apps[..1]).await?;
    ensure!(status == 202, "{status} {body}");
    bed.emulator.idle().await;
    let left: Vec<String> = bed.cluster.nodes_of("apps").await?.iter().map(ResourceExt::name_any).collect();
    ensure!(left == apps[1..], "{left:?}");
    let evicted = bed.audit.departures()?.into_iter().any(|left| left.cause == testbed::audit::Cause::Evicted);
    ensure!(!evicted, "deleteMachines drains nothing");

    let pods = bed.cluster.pods("kube-system").await?;
    let coredns: Vec<String> = pods
        .iter()
        .filter(|pod| pod.name_any().starts_with("coredns-") && !pod.name_any().starts_with("coredns-autoscaler"))
        .filter(|pod| !is_of_daemon_set(pod))
        .filter_map(|pod| node_of(pod).map(str::to_owned))
        .collect();
    ensure!(coredns.len() == 2 && coredns[0] != coredns[1], "{coredns:?}");
    let (status, body) = delete(&bed, "system", &coredns).await?;
    ensure!(
        status == 400 && body["message"].as_str().is_some_and(|text| text.contains("coredns-pdb")),
        "{status} {body}"
    );
    let (status, body) = delete(&bed, "system", &coredns[..1]).await?;
    ensure!(status == 202, "{status} {body}");
    wait_for("the machine's node to go", DEADLINE, async || {
        let left = bed.cluster.nodes_of("system").await?.len();
        Ok(if left == 2 { Ok(()) } else { Err(format!("{left} nodes")) })
    })
    .await
}

pub async fn a_stopped_cluster_has_no_nodes(lanes: Lanes) -> anyhow::Result<()> {
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 2))
        .pool(PoolSpec::user("apps", 1))
        .start()
        .await?;
    for (action, expected) in [("stop", 0), ("start", 3)] {
        let (status, body) = ask(&bed, "POST", action, None).await?;
        ensure!(status == 202, "{status} {body}");
        bed.emulator.idle().await;
        let nodes = bed.cluster.nodes().await?.len();
        ensure!(nodes == expected, "{nodes} nodes after {action}");
    }
    bed.wait_until_settled().await
}
