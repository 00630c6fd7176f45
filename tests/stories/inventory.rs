//! The cluster at a glance: what `kubectl get npi` says is what Azure and Kubernetes show.

use std::collections::BTreeMap;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::{
    ConditionStatus, INVENTORY, NodePoolInventory, NodePoolInventorySpec, NodePoolInventoryStatus, NodePoolPolicy,
    PoolEntry, condition,
};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, OPERATOR_USER, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, begin, plain_cluster, policy, story, taints_of};

pub fn stories() -> Vec<Story> {
    vec![
        story("the_inventory_shows_every_pool_and_whose_it_is", glance),
        story("the_inventory_is_created_once_and_its_spec_is_left_alone", ownership),
        story("an_inventory_of_another_name_is_refused", another_name),
        story("the_inventory_tells_that_it_is_the_wrong_cluster", wrong_cluster),
        story("docs_inventory_shows_what_kubectl_prints", sample),
    ]
}

/// The inventories' API, as somebody with all rights uses it.
pub fn inventories(scene: &Scene) -> Api<NodePoolInventory> {
    Api::all(scene.bed.cluster.client())
}

/// Waits until the inventory's status is about its present generation and `fits`.
pub async fn inventory(
    scene: &Scene,
    what: &str,
    fits: impl Fn(&NodePoolInventoryStatus) -> bool,
) -> anyhow::Result<NodePoolInventoryStatus> {
    let api = inventories(scene);
    let what = format!("the inventory {what}");
    let waited = wait_for(&what, DEADLINE, async || {
        let Some(inventory) = api.get_opt(INVENTORY).await? else { return Ok(Err("there is none".to_owned())) };
        super::health::judge_inventory(&inventory)?;
        let status = inventory.status.unwrap_or_default();
        let current = status.observed_generation == inventory.metadata.generation;
        Ok(if current && fits(&status) { Ok(status) } else { Err(serde_json::to_string_pretty(&status)?) })
    });
    waited.await.map_err(|error| error.context(format!("the operator's log ends: {}", scene.operator.log_tail(30))))
}

/// Whether a condition of the inventory is so.
pub fn is(status: &NodePoolInventoryStatus, type_: &str, wanted: ConditionStatus) -> bool {
    status.condition(type_).is_some_and(|condition| condition.status == wanted)
}

/// Pauses all writes, or ends the pause, as Argo CD and Flux do; waits until the inventory says so.
pub async fn pause(scene: &Scene, paused: bool) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolInventory", "metadata": {"name": INVENTORY},
        "spec": {"paused": paused}
    });
    let parameters = PatchParams::apply("gitops").force();
    inventories(scene).patch(INVENTORY, &parameters, &Patch::Apply(&object)).await?;
    let wanted = if paused { ConditionStatus::True } else { ConditionStatus::False };
    inventory(scene, "to tell of the pause", |status| is(status, condition::PAUSED, wanted)).await?;
    Ok(())
}

/// Waits until the inventory agrees with Azure and Kubernetes, each read by itself. Where the operator has ended, or can't
/// read Azure, there is nothing to see.
pub async fn tells_the_truth(scene: &mut Scene) -> anyhow::Result<()> {
    if scene.operator.exited()?.is_some() {
        return Ok(());
    }
    let scene = &*scene;
    let Some(seen) = inventories(scene).get_opt(INVENTORY).await? else { return Ok(()) };
    if seen.status.is_none_or(|status| status.summary.is_none()) {
        return Ok(());
    }
    let expected = expected(scene).await?;
    inventory(scene, "to agree with Azure and Kubernetes", |status| {
        let shown: BTreeMap<String, Value> = status.pools.iter().map(|pool| (pool.name.clone(), facts(pool))).collect();
        shown == expected
    })
    .await
    .map_err(|error| error.context(format!("{expected:?} was expected")))?;
    Ok(())
}

/// What is compared of a pool.
fn facts(pool: &PoolEntry) -> Value {
    json!({
        "mode": pool.mode, "count": pool.count, "ready": pool.ready_nodes, "policy": pool.policy,
        "size": pool.vm_size, "zones": pool.zones, "version": pool.kubernetes_version, "images": pool.node_images,
        "taints": pool.taints, "bounds": [pool.min_count, pool.max_count], "power": pool.power_state,
        "state": pool.provisioning_state,
    })
}

/// The same as ARM's emulator and the API server have it.
async fn expected(scene: &Scene) -> anyhow::Result<BTreeMap<String, Value>> {
    let pools = scene.bed.emulator.edit(|cluster| cluster.pools.clone()).unwrap_or_default();
    let policies = Api::<NodePoolPolicy>::all(scene.bed.cluster.client()).list(&ListParams::default()).await?.items;
    let mut all = BTreeMap::new();
    for pool in pools {
        let property = |name: &str| scene.in_arm(&pool.name, name);
        let sorted = |name: &str| {
            let mut list: Vec<Value> = property(name).as_array().cloned().unwrap_or_default();
            list.sort_by_key(ToString::to_string);
            list
        };
        let nodes = scene.nodes(&pool.name).await?;
        let mut images: Vec<&str> =
            nodes.iter().filter_map(|node| label(node, "kubernetes.azure.com/node-image-version")).collect();
        images.sort_unstable();
        images.dedup();
        let names_it = |policy: &&NodePoolPolicy| {
            let orphans = policy.metadata.deletion_timestamp.is_some() && policy.finalizers().is_empty();
            policy.pool_name() == pool.name && !orphans
        };
        let age = |policy: &&NodePoolPolicy| (policy.creation_timestamp().map(|at| at.0), policy.name_any());
        let owner = policies.iter().filter(names_it).min_by_key(age).map(ResourceExt::name_any);
        let bound = |name: &str| Some(property(name)).filter(|_| property("enableAutoScaling") == true);
        let facts = json!({
            "mode": property("mode"), "count": property("count"),
            "ready": nodes.iter().filter(|node| testbed::cluster::is_ready(node)).count(), "policy": owner,
            "size": property("vmSize"), "zones": sorted("availabilityZones"),
            "version": property("currentOrchestratorVersion"), "images": images, "taints": sorted("nodeTaints"),
            "bounds": [bound("minCount"), bound("maxCount")], "power": property("powerState")["code"],
            "state": property("provisioningState"),
        });
        all.insert(pool.name.clone(), facts);
    }
    Ok(all)
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.labels().get(key).map(String::as_str)
}

async fn glance(lane: Lane) -> anyhow::Result<Scene> {
    let system = PoolSpec::system("system", 3).taint("CriticalAddonsOnly=true:NoSchedule").zones(&["1", "2", "3"]);
    let builder = Testbed::builder(lane).pool(system).pool(PoolSpec::user("apps", 2).autoscaling(1, 5));
    let scene = begin(builder.pool(PoolSpec::user("free", 0).vm_size("Standard_E8ds_v5"))).await?;
    scene.apply(policy("platform", json!({"poolName": "system", "mode": "System"}))).await?;
    scene.apply(policy("apps", json!({"suspend": true}))).await?;
    let healthy = |status: &NodePoolInventoryStatus| is(status, condition::SYSTEM_HEALTHY, ConditionStatus::True);
    let owned = |status: &NodePoolInventoryStatus| {
        status.summary.as_ref().is_some_and(|summary| summary.without_policy == Some(1))
    };
    let status = inventory(&scene, "to show two policies", |status| healthy(status) && owned(status)).await?;
    ensure!(is(&status, condition::READY, ConditionStatus::True), "{status:?}");
    let summary = status.summary.context("no summary")?;
    assert_eq!((summary.pools, summary.system_pools.as_str(), summary.usable_nodes.as_str()), (3, "1/1", "3/3"));
    let cluster = status.cluster.context("no cluster")?;
    assert!(cluster.proven && cluster.proof.contains("provider ids"), "{cluster:?}");
    let system = status.system.context("no system health")?;
    assert_eq!((system.floor, system.guaranteed_nodes, system.complaints.len()), (2, 3, 0));
    assert!(system.headroom.is_some() && system.add_ons.len() == 3, "{system:?}");
    let entry = |name: &str| status.pools.iter().find(|pool| pool.name == name).context("a pool is missing");
    assert_eq!((entry("system")?.policy.as_deref(), entry("system")?.zones.len()), (Some("platform"), 3));
    assert_eq!((entry("apps")?.min_count, entry("apps")?.max_count), (Some(1), Some(5)));
    assert_eq!((entry("free")?.policy.as_deref(), entry("free")?.vm_size.as_deref()), (None, Some("Standard_E8ds_v5")));

    // What somebody else does is seen as well.
    scene.edit_by_hand("free", json!({"count": 1})).await?;
    scene.bed.emulator.idle().await;
    inventory(&scene, "to show the new node", |status| {
        status.pools.iter().any(|pool| pool.name == "free" && pool.ready_nodes == Some(1))
    })
    .await?;
    let node = scene.node_names("system").await?.remove(0);
    scene.bed.cluster.cordon(&node, true).await?;
    let sick = inventory(&scene, "to count the cordoned node", |status| {
        status.system.as_ref().is_some_and(|system| system.usable_nodes == 2)
    })
    .await?;
    assert!(sick.system.context("no system health")?.complaints[0].contains(&format!("{node} is cordoned")));
    scene.bed.cluster.cordon(&node, false).await?;
    assert_eq!(scene.writes(), []);
    assert!(!taints_of(&scene.nodes("system").await?[0]).is_empty());
    Ok(scene)
}

async fn ownership(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let whole = |status: &NodePoolInventoryStatus| is(status, condition::READY, ConditionStatus::True);
    inventory(&scene, "to be Ready", whole).await?;
    let api = inventories(&scene);
    let object = json!({
        "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolInventory",
        "metadata": {"name": INVENTORY, "labels": {"owner": "gitops"}}, "spec": {"paused": false}
    });
    api.patch(INVENTORY, &PatchParams::apply("gitops").force(), &Patch::Apply(&object)).await?;
    inventory(&scene, "to be about what gitops wrote", whole).await?;
    scene.is_quiet().await?;
    let object = api.get(INVENTORY).await?;
    assert_eq!((object.spec.paused, object.labels().get("owner").map(String::as_str)), (Some(false), Some("gitops")));
    let owns = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry.manager.as_deref() == Some("nodepool-operator") && entry.subresource.is_none()
    };
    let owned: Vec<_> = object.managed_fields().iter().filter(owns).collect();
    assert!(owned.iter().all(|entry| !format!("{entry:?}").contains("f:paused")), "{owned:?}");

    // One that is deleted is created again, and nothing is paused meanwhile.
    api.delete(INVENTORY, &DeleteParams::default()).await?;
    inventory(&scene, "to be there again", whole).await?;
    let created = scene.bed.audit.writes_by(OPERATOR_USER)?;
    let created = created.iter().filter(|write| write.resource == "nodepoolinventories" && write.verb == "create");
    assert_eq!(created.filter(|write| write.status == 201).count(), 2, "at the start, and after it was deleted");
    Ok(scene)
}

async fn another_name(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let other = NodePoolInventory::new("other", NodePoolInventorySpec::default());
    let refusal = inventories(&scene).create(&PostParams::default(), &other).await.err().context("it was taken")?;
    assert!(refusal.to_string().contains("there is one NodePoolInventory: name it cluster"), "{refusal}");
    Ok(scene)
}

async fn wrong_cluster(lane: Lane) -> anyhow::Result<Scene> {
    let elsewhere = "https://elsewhere.oic.prod-aks.azure.com/a/b/";
    let builder = Testbed::builder(lane)
        .kube_system(KubeSystem::None)
        .cluster(|cluster| cluster.issuer_url = Some(elsewhere.to_owned()));
    let scene = begin(builder.pool(PoolSpec::system("system", 2))).await?;
    let status =
        inventory(&scene, "to be Stalled", |status| is(status, condition::STALLED, ConditionStatus::True)).await?;
    let stalled = status.condition(condition::STALLED).context("no condition")?;
    assert_eq!(stalled.reason, "WrongCluster");
    assert!(stalled.message.contains(elsewhere) && stalled.message.contains("--cluster-resource-id"), "{stalled:?}");
    assert!(!status.cluster.context("no cluster")?.proven);
    Ok(scene)
}

/// Where the sample is shown.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/inventory.md");
/// If set, the page is written instead of compared.
const WRITE: &str = "NODEPOOL_WRITE_DOCS";

/// The page shows the table and the status of a real run: of a cluster in which much is worth a look.
async fn sample(lane: Lane) -> anyhow::Result<Scene> {
    let system = PoolSpec::system("system", 2).taint("CriticalAddonsOnly=true:NoSchedule").zones(&["1"]);
    let builder = Testbed::builder(lane).pool(system);
    let scene = begin(builder.pool(PoolSpec::user("gpu", 0).vm_size("Standard_NC6s_v3"))).await?;
    scene.apply(policy("system", json!({"mode": "System", "count": 2}))).await?;
    scene.ready("system").await?;
    inventory(&scene, "to be at rest", |status| {
        let healthy = is(status, condition::SYSTEM_HEALTHY, ConditionStatus::True);
        healthy && status.unknown.is_empty() && status.findings.len() == 5
    })
    .await?;
    let (table, status) = (table(&scene).await?, inventories(&scene).get(INVENTORY).await?.status);
    let mut status = serde_json::to_value(status.context("no status")?)?;
    for condition in status["conditions"].as_array_mut().context("no conditions")? {
        condition["lastTransitionTime"] = json!("2026-01-01T12:00:00Z");
    }
    let shown = format!(
        "```\n$ kubectl get npi\n{table}```\n\n```yaml\n# kubectl get npi cluster -o yaml\nstatus:\n{}```\n",
        indented(&serde_saphyr::to_string(&status)?)
    );
    let shown = match issuer(&status) {
        Some(issuer) => shown.replace(issuer, "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/"),
        None => shown,
    };
    let page = std::fs::read_to_string(PAGE)?;
    let (before, rest) =
        page.split_once("<!-- sample -->\n").context("docs/inventory.md has no place for the sample")?;
    let (old, after) = rest.split_once("<!-- end of the sample -->").context("the sample has no end")?;
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(PAGE, format!("{before}<!-- sample -->\n{shown}<!-- end of the sample -->{after}"))?;
    } else {
        ensure!(old == shown, "docs/inventory.md shows another sample; {WRITE}=1 writes this one:\n{shown}");
    }
    Ok(scene)
}

/// The issuer by which the cluster is proven, which has the port of this run.
fn issuer(status: &Value) -> Option<&str> {
    let proof = status["cluster"]["proof"].as_str()?;
    Some(proof.split_once("service account issuer ")?.1.split_once(", and")?.0)
}

/// What `kubectl get npi` prints: the API server's own table, without the age.
async fn table(scene: &Scene) -> anyhow::Result<String> {
    let path = "/apis/aks.nodepool.dev/v1alpha1/nodepoolinventories";
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = scene.bed.cluster.client().request(request.body(Vec::new())?).await?;
    let texts = |cells: &Value, of: &dyn Fn(&Value) -> Value| -> Vec<String> {
        let cells = cells.as_array().cloned().unwrap_or_default();
        cells.iter().map(|cell| of(cell).as_str().map_or_else(|| of(cell).to_string(), str::to_owned)).collect()
    };
    let mut rows = vec![texts(&table["columnDefinitions"], &|column| {
        json!(column["name"].as_str().unwrap_or_default().to_uppercase())
    })];
    rows.extend(table["rows"].as_array().context("no rows")?.iter().map(|row| texts(&row["cells"], &Value::clone)));
    for row in &mut rows {
        row.pop();
    }
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    Ok(rows.iter().map(line).collect())
}

fn indented(yaml: &str) -> String {
    yaml.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}
