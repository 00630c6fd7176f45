//! The cluster behaves as AKS does: the scheduler, the taint manager, budgets and kubelets.

use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::ensure;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::json;
use testbed::audit::Cause;
use testbed::cluster::{is_of_daemon_set, is_running, node_of};
use testbed::control_plane::DEFAULT_ISSUER;
use testbed::{KubeSystem, Lanes, Testbed, wait_for};

const DEADLINE: Duration = Duration::from_mins(2);

async fn two_pools(lanes: &Lanes) -> anyhow::Result<Testbed> {
    Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 3).taint("CriticalAddonsOnly=true:NoSchedule"))
        .pool(PoolSpec::user("apps", 2))
        .start()
        .await
}

async fn allowed_disruptions(bed: &Testbed, budget: &str) -> anyhow::Result<i32> {
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(bed.cluster.client(), "kube-system");
    Ok(budgets.get(budget).await?.status.map(|status| status.disruptions_allowed).unwrap_or_default())
}

pub async fn kube_system_runs_on_system_nodes(lanes: Lanes) -> anyhow::Result<()> {
    let bed = two_pools(&lanes).await?;
    let system: Vec<String> = bed.cluster.nodes_of("system").await?.iter().map(ResourceExt::name_any).collect();
    let pods = bed.cluster.pods("kube-system").await?;
    let (daemons, deployed): (Vec<_>, Vec<_>) = pods.iter().partition(|pod| is_of_daemon_set(pod));
    ensure!(deployed.len() == 7, "{} pods of Deployments", deployed.len());
    ensure!(daemons.len() == 6 * 5, "{} pods of DaemonSets", daemons.len());
    for pod in deployed {
        let node = node_of(pod).unwrap_or_default();
        ensure!(system.iter().any(|name| name == node), "{} is on {node}", pod.name_any());
    }
    for budget in ["coredns-pdb", "konnectivity-agent", "metrics-server-pdb"] {
        ensure!(allowed_disruptions(&bed, budget).await? == 1, "{budget}");
    }
    ensure!(bed.audit.departures()?.is_empty(), "{:?}", bed.audit.departures()?);
    Ok(())
}

pub async fn a_no_execute_taint_evicts(lanes: Lanes) -> anyhow::Result<()> {
    let bed = two_pools(&lanes).await?;
    let pods = bed.cluster.pods("kube-system").await?;
    let coredns = pods.iter().find(|pod| pod.name_any().starts_with("coredns-")).unwrap();
    let node = node_of(coredns).unwrap().to_owned();
    bed.cluster.taint(&node, "boom=1:NoExecute").await?;
    wait_for("the taint manager to evict coredns", DEADLINE, async || {
        let departures = bed.audit.departures()?;
        let gone = departures.iter().any(|left| left.pod == coredns.name_any() && left.cause == Cause::Tainted);
        Ok(if gone { Ok(()) } else { Err(format!("{departures:?}")) })
    })
    .await?;
    bed.wait_until_settled().await?;
    for pod in bed.cluster.pods_on(&node).await? {
        ensure!(is_of_daemon_set(&pod), "{} is still on {node}", pod.name_any());
    }
    Ok(())
}

pub async fn a_node_is_not_ready_and_comes_back(lanes: Lanes) -> anyhow::Result<()> {
    let bed = two_pools(&lanes).await?;
    let node = bed.cluster.nodes_of("system").await?[0].name_any();
    bed.cluster.set_ready(&node, false).await?;
    let pods = bed.cluster.pods_on(&node).await?;
    ensure!(!pods.is_empty() && !pods.iter().any(is_running), "its pods are not ready either");
    bed.cluster.set_ready(&node, true).await?;
    bed.wait_until_settled().await?;
    ensure!(bed.audit.departures()?.is_empty(), "pods tolerate a node that is not ready for five minutes");
    Ok(())
}

pub async fn pods_move_off_nodes_as_budgets_allow(lanes: Lanes) -> anyhow::Result<()> {
    let bed = two_pools(&lanes).await?;
    let nodes = bed.cluster.nodes_of("system").await?;
    let (first, second) = (nodes[0].name_any(), nodes[1].name_any());
    bed.cluster.move_pods_off(&[&first, &second]).await?;
    for node in [first, second] {
        ensure!(bed.cluster.pods_on(&node).await?.iter().all(is_of_daemon_set), "{node} still has pods");
    }
    let departures = bed.audit.departures()?;
    ensure!(
        departures.iter().all(|left| left.cause == Cause::Evicted && left.user == "testbed-admin"),
        "{departures:?}"
    );
    Ok(())
}

pub async fn a_reset_leaves_nothing_behind(lanes: Lanes) -> anyhow::Result<()> {
    let bed = two_pools(&lanes).await?;
    let client = bed.cluster.client();
    testbed::operator::install(&client).await?;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "team-a"}}))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "here", "finalizers": []}}))?;
    Api::namespaced(client.clone(), "team-a").create(&PostParams::default(), &map).await?;
    let policy = json!({
        "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy",
        "metadata": {"name": "system", "finalizers": ["aks.nodepool.dev/left"]},
        "spec": {"mode": "System", "count": 3},
    });
    testbed::manifests::apply(&client, &policy.to_string()).await?;
    drop(bed);
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::user("other", 1))
        .kube_system(KubeSystem::None)
        .start()
        .await?;
    let nodes: Vec<String> = bed.cluster.nodes().await?.iter().map(ResourceExt::name_any).collect();
    ensure!(nodes.len() == 1 && nodes[0].starts_with("aks-other-"), "{nodes:?}");
    let left = bed
        .control_plane()
        .kubectl()
        .args(["get", "pods,deployments,daemonsets,replicasets,pdb,npp,events", "-A", "-o", "name"])
        .output()
        .await?;
    let left = String::from_utf8(left.stdout)?;
    // The controllers write events about a node for some seconds after it is gone.
    let left: Vec<&str> = left.lines().filter(|name| !name.starts_with("event/aks-")).collect();
    ensure!(left.is_empty(), "{left:?}");
    ensure!(Api::<Namespace>::all(client).get_opt("team-a").await?.is_none(), "the namespace is still there");
    Ok(())
}

pub async fn kubectl_and_the_issuer_are_real(lanes: Lanes) -> anyhow::Result<()> {
    let lane = lanes.lease().await?;
    let answer = lane.kubectl().args(["get", "--raw", "/.well-known/openid-configuration"]).output().await?;
    let configuration: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    ensure!(configuration["issuer"] == DEFAULT_ISSUER, "{configuration}");
    let version = lane.kubectl().args(["version", "-o", "json"]).output().await?;
    let version: serde_json::Value = serde_json::from_slice(&version.stdout)?;
    ensure!(version["serverVersion"]["gitVersion"] == "v1.35.4", "{version}");
    Ok(())
}
