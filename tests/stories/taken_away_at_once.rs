//! Rights that the operator lacks from its start on, each by itself: it says so, makes no step that rests on what it can't see,
//! and goes on by itself when it has the right again.

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use nodepool_operator::api::INVENTORY;
use serde_json::json;
use testbed::{Lane, wait_for};

use super::inventory::inventories;
use super::metrics::{served, value};
use super::support::{DEADLINE, Scene, Story, plain_cluster_with, policy, story};
use super::taken_away::Shown::{self, Log, Policy, Probe};
use super::taken_away::{told, without};

pub fn stories() -> Vec<Story> {
    vec![
        story("each_right_to_read_is_missed_by_name_and_made_use_of_when_it_is_there", reads),
        story("a_view_that_is_lost_while_it_works_says_why_it_is_old", on_the_run),
        story("what_has_to_be_recorded_first_is_not_done_while_it_can_not_be", unrecorded),
        story("a_leader_that_may_not_renew_its_lease_any_more_ends_and_says_why", not_renewed),
        story("each_right_to_be_heard_is_missed_by_name_and_made_use_of_when_it_is_there", others),
    ]
}

/// All rights that are taken away here.
pub fn rights() -> impl Iterator<Item = &'static str> {
    READS.into_iter().chain(OTHERS).map(|row| row.right)
}

/// A right, and what the operator does without it.
#[derive(Clone, Copy)]
struct Row {
    right: &'static str,
    shown: Shown,
    /// Whether what the policy asks for is done nevertheless.
    goes_on: bool,
}

const fn stops(right: &'static str, shown: Shown) -> Row {
    Row { right, shown, goes_on: false }
}

const fn goes_on(right: &'static str) -> Row {
    Row { right, shown: Log, goes_on: true }
}

const READS: [Row; 15] = [
    stops("list nodepoolpolicies.aks.nodepool.dev", Probe("readyz")),
    stops("list nodepoolinventories.aks.nodepool.dev", Policy("apps")),
    stops("get nodepoolinventories.aks.nodepool.dev", Policy("apps")),
    stops("list nodes", Policy("apps")),
    stops("list pods", Policy("apps")),
    stops("list deployments.apps", Policy("apps")),
    stops("list poddisruptionbudgets.policy", Policy("apps")),
    stops("get /.well-known/openid-configuration", Policy("apps")),
    // What it can list it sees, if only now and then.
    goes_on("watch nodepoolpolicies.aks.nodepool.dev"),
    goes_on("watch nodepoolinventories.aks.nodepool.dev"),
    goes_on("watch nodes"),
    goes_on("watch pods"),
    goes_on("watch deployments.apps"),
    goes_on("watch poddisruptionbudgets.policy"),
    stops("Microsoft.ContainerService/managedClusters/read", Policy("apps")),
];

const OTHERS: [Row; 8] = [
    stops("create leases.coordination.k8s.io", Probe("startupz")),
    stops("get leases.coordination.k8s.io nodepool-operator", Probe("startupz")),
    stops("update leases.coordination.k8s.io nodepool-operator", Probe("startupz")),
    goes_on("create nodepoolinventories.aks.nodepool.dev"),
    goes_on("create events.events.k8s.io"),
    goes_on("patch nodepoolpolicies/status.aks.nodepool.dev"),
    stops("Microsoft.ContainerService/managedClusters/agentPools/read", Policy("apps")),
    stops("Microsoft.ContainerService/managedClusters/agentPools/write", Policy("apps")),
];

async fn reads(lane: Lane) -> anyhow::Result<Scene> {
    each(lane, &READS).await
}

async fn others(lane: Lane) -> anyhow::Result<Scene> {
    each(lane, &OTHERS).await
}

async fn each(lane: Lane, rows: &[Row]) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster_with(lane, &["--retry-seconds", "0.5"]).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    for (turn, row) in rows.iter().enumerate() {
        let count = if turn % 2 == 0 { 2 } else { 1 };
        one(&mut scene, *row, count).await.map_err(|error| error.context(format!("without {}", row.right)))?;
    }
    Ok(scene.in_which_rights_are_missing())
}

/// The operator starts without the right; somebody asks for so many nodes, and gives the right back later.
async fn one(scene: &mut Scene, row: Row, count: usize) -> anyhow::Result<()> {
    scene.operator.terminate().await?;
    let hidden = hide(scene, row.right).await?;
    without(scene, &[row.right]).await?;
    let (log, writes) = (scene.operator.log().len(), scene.writes().len());
    scene.operator.restart().await?;
    scene.apply(policy("apps", json!({"count": count}))).await?;
    told(scene, row.right, row.shown, log).await?;
    if row.goes_on {
        scaled(scene, count).await?;
        counted(scene, row.right).await?;
    } else {
        let refused = |status: Option<u16>| status.is_some_and(|status| status == 403);
        let journal = scene.bed.emulator.journal().writes().by_user_agent("nodepool-operator");
        let taken = journal.iter().skip(writes).filter(|write| !refused(write.status)).count();
        ensure!(taken == 0, "it wrote without {}", row.right);
        ensure!(scene.in_arm("apps", "count") != count, "the pool has {count} nodes");
    }
    without(scene, &[]).await?;
    scaled(scene, count).await?;
    scene.ready("apps").await?;
    ensure!(scene.operator.exited()?.is_none(), "the operator has ended: {}", scene.operator.log_tail(5));
    restore(scene, hidden).await
}

async fn scaled(scene: &Scene, count: usize) -> anyhow::Result<()> {
    wait_for(&format!("pool apps to have {count} nodes"), DEADLINE, async || {
        let found = scene.in_arm("apps", "count");
        Ok(if found == count { Ok(()) } else { Err(format!("{found}: {}", scene.operator.log_tail(10))) })
    })
    .await
}

/// The role in Azure is taken away while the operator works, and its policies ask for nothing.
async fn on_the_run(lane: Lane) -> anyhow::Result<Scene> {
    const READ: &str = "Microsoft.ContainerService/managedClusters/read";
    let mut scene = plain_cluster_with(lane, &["--stale-after-seconds", "3"]).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    let log = scene.operator.log().len();
    without(&scene, &[READ]).await?;
    for shown in [Policy("apps"), Probe("readyz"), Log] {
        told(&mut scene, READ, shown, log).await?;
    }
    scene.page("role-taken-away", "apps").await?;
    without(&scene, &[]).await?;
    scene.ready("apps").await?;
    ensure!(scene.writes().is_empty(), "{:?}", scene.writes());
    Ok(scene.in_which_rights_are_missing())
}

/// Which labels a policy named has to outlive the process before any of them is written.
async fn unrecorded(lane: Lane) -> anyhow::Result<Scene> {
    const RECORD: &str = "patch nodepoolpolicies/status.aks.nodepool.dev";
    let mut scene = plain_cluster_with(lane, &[]).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    without(&scene, &[RECORD]).await?;
    let log = scene.operator.log().len();
    scene.apply(policy("apps", json!({"count": 1, "labels": {"team": "shop"}}))).await?;
    told(&mut scene, RECORD, Log, log).await?;
    scene.looks_again().await?;
    ensure!(scene.writes().is_empty(), "{:?}", scene.writes());
    without(&scene, &[]).await?;
    scene.ready("apps").await?;
    ensure!(scene.in_arm("apps", "nodeLabels") == json!({"team": "shop"}), "{:?}", scene.writes());
    Ok(scene.in_which_rights_are_missing())
}

/// It ends, as one that could not be sure to be the only one; kubelet starts it again.
async fn not_renewed(lane: Lane) -> anyhow::Result<Scene> {
    const RENEW: &str = "update leases.coordination.k8s.io nodepool-operator";
    let short = ["--lease-seconds", "3", "--arm-write-timeout-seconds", "2"];
    let mut scene = plain_cluster_with(lane, &short).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    without(&scene, &[RENEW]).await?;
    let code = scene.operator.wait(DEADLINE).await?;
    let why = "the lease is lost: it could not be renewed in time: leases.coordination.k8s.io: service account \
               nodepool-operator/nodepool-operator may not update them in namespace nodepool-operator; ";
    ensure!(code == 1 && scene.operator.log().contains(why), "{code}: {}", scene.operator.log_tail(5));
    without(&scene, &[]).await?;
    scene.operator.restart().await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    Ok(scene.in_which_rights_are_missing())
}

/// What nobody is told is counted.
async fn counted(scene: &Scene, right: &str) -> anyhow::Result<()> {
    let what = match right {
        "create nodepoolinventories.aks.nodepool.dev" => "inventory",
        "create events.events.k8s.io" => "event",
        "patch nodepoolpolicies/status.aks.nodepool.dev" => "policy_status",
        _ => return Ok(()),
    };
    let series = format!("nodepool_operator_untold_total{{what=\"{what}\"}}");
    let metrics = served(scene).await?;
    ensure!(value(&metrics, &series).is_some_and(|number| number >= 1.0), "{series} is not counted: {metrics}");
    Ok(())
}

/// What else gives the operator a right, or makes that it needs none, is put aside.
async fn hide(scene: &Scene, right: &str) -> anyhow::Result<Option<ClusterRoleBinding>> {
    let gone = DeleteParams::default();
    match right {
        "create leases.coordination.k8s.io" => drop(scene.operator.lease().delete("nodepool-operator", &gone).await?),
        "create nodepoolinventories.aks.nodepool.dev" => drop(inventories(scene).delete(INVENTORY, &gone).await?),
        "get /.well-known/openid-configuration" => {
            // Kubernetes gives it to every service account.
            let bindings: Api<ClusterRoleBinding> = Api::all(scene.bed.cluster.client());
            let Some(binding) = bindings.get_opt("system:service-account-issuer-discovery").await? else {
                return Ok(None);
            };
            bindings.delete("system:service-account-issuer-discovery", &gone).await?;
            return Ok(Some(binding));
        }
        _ => {}
    }
    Ok(None)
}

async fn restore(scene: &Scene, hidden: Option<ClusterRoleBinding>) -> anyhow::Result<()> {
    if let Some(mut binding) = hidden {
        binding.metadata.resource_version = None;
        let bindings: Api<ClusterRoleBinding> = Api::all(scene.bed.cluster.client());
        bindings.create(&PostParams::default(), &binding).await?;
    }
    Ok(())
}
