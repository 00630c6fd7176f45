//! Doors hold, cut and pass, in front of the real servers.

use aks_emulator::PoolSpec;
use anyhow::ensure;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use testbed::door::Fate;
use testbed::{KubeSystem, Lanes, Match, Testbed};

async fn small(lanes: &Lanes) -> anyhow::Result<Testbed> {
    Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 1))
        .kube_system(KubeSystem::None)
        .start()
        .await
}

fn pool_url(bed: &Testbed) -> String {
    let base = bed.arm.url().as_str().trim_end_matches('/');
    format!("{base}{}/agentPools/system?api-version=2025-10-01", bed.emulator.cluster_id())
}

fn labels(bed: &Testbed) -> Option<Value> {
    bed.emulator.pool("system")?.pointer("/properties/nodeLabels").cloned()
}

fn put(bed: &Testbed, label: &str) -> reqwest::RequestBuilder {
    let body = json!({"properties": {"mode": "System", "count": 1, "nodeLabels": {"by": label}}});
    reqwest::Client::new().put(pool_url(bed)).json(&body)
}

pub async fn a_door_holds_and_releases(lanes: Lanes) -> anyhow::Result<()> {
    let bed = small(&lanes).await?;
    let held = bed.arm.hold(Match::method("PUT").path_contains("/agentPools/"));
    let request = tokio::spawn(put(&bed, "held").send());
    let arrived = held.arrived().await?;
    ensure!(arrived.path.ends_with("/agentPools/system"), "{}", arrived.path);
    ensure!(String::from_utf8_lossy(&arrived.body).contains("held"), "the body is shown");
    let read = reqwest::get(pool_url(&bed)).await?;
    ensure!(read.status() == 200, "other requests pass, and got {}", read.status());
    ensure!(labels(&bed).is_none(), "ARM has not seen it");
    held.release();
    let answer = request.await??;
    ensure!(answer.status() == 200, "{}", answer.status());
    let poll = answer
        .headers()
        .get("azure-asyncoperation")
        .map(|url| url.to_str().map(String::from))
        .transpose()?
        .unwrap_or_default();
    ensure!(poll.starts_with(bed.arm.url().as_str()), "{poll} leads past the door");
    ensure!(labels(&bed) == Some(json!({"by": "held"})), "{:?}", labels(&bed));
    let fates: Vec<Fate> =
        bed.arm.journal().iter().filter(|passage| passage.request.is_write()).map(|passage| passage.fate).collect();
    ensure!(fates == [Fate::Answered(200)], "{fates:?}");
    Ok(())
}

pub async fn a_door_cuts_before_and_after(lanes: Lanes) -> anyhow::Result<()> {
    let bed = small(&lanes).await?;
    let before = bed.arm.drop_request(Match::writes());
    ensure!(put(&bed, "never").send().await.is_err(), "the connection is cut");
    ensure!(before.count() == 1 && labels(&bed).is_none(), "ARM never got it");
    drop(before);
    let after = bed.arm.drop_answer(Match::writes().times(1));
    ensure!(put(&bed, "lost").send().await.is_err(), "the connection is cut");
    ensure!(after.count() == 1 && labels(&bed) == Some(json!({"by": "lost"})), "ARM did it: {:?}", labels(&bed));
    bed.emulator.idle().await;
    let second = put(&bed, "second").send().await?;
    ensure!(second.status() == 200, "the rule was for one request, and the next got {}", second.status());
    let fates: Vec<Fate> = bed.arm.journal().iter().map(|passage| passage.fate).collect();
    ensure!(fates == [Fate::CutBefore, Fate::CutAfter(200), Fate::Answered(200)], "{fates:?}");
    Ok(())
}

pub async fn watches_stream_through_a_door(lanes: Lanes) -> anyhow::Result<()> {
    let bed = small(&lanes).await?;
    // A service account may not read nodes by itself; the operator's may.
    testbed::operator::install(&bed.cluster.client()).await?;
    let nodes: Api<Node> = Api::all(testbed::operator::client_through(bed.control_plane(), &bed.api).await?);
    let name = bed.cluster.nodes().await?[0].metadata.name.clone().unwrap_or_default();
    let start = nodes.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut watch = nodes.watch(&WatchParams::default(), &start).await?.boxed();
    let patch = json!({"metadata": {"annotations": {"seen": "yes"}}});
    bed.cluster.nodes_api().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    let event = tokio::time::timeout(std::time::Duration::from_mins(1), watch.next()).await?;
    ensure!(matches!(event, Some(Ok(WatchEvent::Modified(_)))), "{event:?}");
    let denied = nodes.delete(&name, &DeleteParams::default()).await;
    ensure!(denied.is_err_and(|error| error.to_string().contains("forbidden")), "the operator may not delete nodes");
    Ok(())
}
