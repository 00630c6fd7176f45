//! `NoExecute` held to the real taint manager: on random nodes with random pods, the pods that the guard names for a step
//! that puts taints on a pool are exactly those that the taint manager deletes when the taints are put on its nodes.
//!
//! A toleration with seconds counts as none in the guard: the pod goes, only later. So that this is seen, seconds are few
//! here. On each node is a last pod that tolerates everything for longer than any other; when it is gone, all timers have
//! ended. Pods that stay are looked at again at the end of the run.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use nodepool_kernel::{
    AgentPool, Change, Cluster, Enforcement, Intent, Known, Mode, Os, PoolKind, Power, ProvisioningState, Rule,
    Settings, Snapshot, Step, Taint, Time, guard,
};
use nodepool_operator::observe::{any_pod, node};
use serde_json::{Value, json};
use testbed::control_plane::Options;
use testbed::{ControlPlane, wait_for};

use crate::dice::Dice;
use crate::number;
use crate::stage::{DEADLINE, create};

const NAMESPACE: &str = "kube-system";
const POOL: &str = "kubernetes.azure.com/agentpool";
/// Nodes that are tainted together.
const BATCH: u64 = 50;
/// Seconds for which the last pod of a node tolerates everything; others do for one at most.
const LAST: i64 = 3;

/// A node that is to be tainted.
struct Case {
    pool: String,
    before: Vec<Value>,
    after: Vec<Value>,
    pods: Vec<Value>,
}

/// What a case came to.
struct Outcome {
    pool: String,
    named: BTreeSet<String>,
    staying: BTreeSet<String>,
}

pub async fn compare() -> anyhow::Result<()> {
    let (wanted, seed) = (number("NODEPOOL_EVICTIONS", 50)?, number("NODEPOOL_SEED", 1)?);
    let control_plane = ControlPlane::start(Options::default()).await?;
    let client = control_plane.client();
    wait_for("a namespace to be usable", DEADLINE, async || {
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
        Ok(accounts.get_opt("default").await?.map(|_| ()).ok_or("it has no service account"))
    })
    .await?;
    let mut outcomes = Vec::new();
    for first in (0..wanted).step_by(usize::try_from(BATCH)?) {
        let cases: Vec<Case> = (first..wanted.min(first + BATCH)).map(|number| case(seed, number)).collect();
        outcomes.extend(play(&client, &cases).await.with_context(|| format!("seed {seed}, cases from {first}"))?);
    }
    let left = names(&client).await?;
    let mut differences = Vec::new();
    for Outcome { pool, named, staying } in &outcomes {
        let stayed: BTreeSet<String> = staying.iter().filter(|name| left.contains(*name)).cloned().collect();
        if stayed != *staying {
            differences.push(format!("{pool}: named {named:?}, and these went too: {:?}", staying - &stayed));
        }
    }
    let count = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let (named, staying) = (count(|outcome| outcome.named.len()), count(|outcome| outcome.staying.len()));
    let spared = outcomes.iter().filter(|outcome| !outcome.staying.is_empty()).count();
    eprintln!(
        "NODEPOOL_SEED={seed}: {} nodes tainted, {named} pods evicted as named, {staying} stayed, on {spared} nodes at least one",
        outcomes.len()
    );
    ensure!(
        differences.is_empty(),
        "the taint manager evicts others than the kernel names:\n{}",
        differences.join("\n")
    );
    ensure!(staying > outcomes.len() / 2 && named > outcomes.len(), "the cases are not worth comparing");
    Ok(())
}

/// Lets the guard name pods, taints the nodes, and waits until the taint manager has had its way.
async fn play(client: &Client, cases: &[Case]) -> anyhow::Result<Vec<Outcome>> {
    let nodes: Api<Node> = Api::all(client.clone());
    for case in cases {
        let spec = json!({"taints": case.before});
        let metadata = json!({"name": case.pool, "labels": {POOL: case.pool, "type": "differential"}});
        create::<Node>(&nodes, &json!({"metadata": metadata, "spec": spec})).await?;
    }
    let settled = settled(&nodes, cases, |case| &case.before).await?;
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    for pod in cases.iter().flat_map(|case| &case.pods) {
        create::<Pod>(&api, pod).await?;
    }
    let pods_before = pods(client).await?;
    let snapshot = snapshot(&settled, &pods_before, cases);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for case in cases {
        let on_it = pods_before.iter().filter(|pod| node_of(pod) == case.pool).map(ResourceExt::name_any);
        let all: BTreeSet<String> = on_it.collect();
        ensure!(all.len() == case.pods.len(), "{}: pods went before the taint came", case.pool);
        let named = named(&snapshot, case);
        outcomes.push(Outcome { pool: case.pool.clone(), staying: &all - &named, named });
    }
    for case in cases {
        let patch = Patch::Merge(json!({"spec": {"taints": case.after}}));
        nodes.patch(&case.pool, &PatchParams::default(), &patch).await?;
    }
    let waited = wait_for("the named pods to go", DEADLINE, async || {
        let left = names(client).await?;
        let late: Vec<&String> =
            outcomes.iter().flat_map(|outcome| &outcome.named).filter(|name| left.contains(*name)).collect();
        Ok(if late.is_empty() { Ok(()) } else { Err(format!("{late:?} are still there")) })
    });
    waited.await.context("the kernel names pods that the taint manager does not evict")?;
    self::settled(&nodes, cases, |case| &case.after).await?;
    Ok(outcomes)
}

/// The nodes of the cases, once they are Ready and have just these taints.
async fn settled(
    nodes: &Api<Node>,
    cases: &[Case],
    taints: impl Fn(&Case) -> &Vec<Value>,
) -> anyhow::Result<Vec<Node>> {
    wait_for("the nodes to be Ready", DEADLINE, async || {
        let listed = nodes.list(&ListParams::default().labels("type=differential")).await?.items;
        let mut found = Vec::new();
        for case in cases {
            let Some(node) = listed.iter().find(|node| node.name_any() == case.pool) else { return Ok(Err("missing")) };
            let carried = testbed::cluster::taints(node);
            if !testbed::cluster::is_ready(node) || carried.len() != taints(case).len() {
                return Ok(Err("not Ready, or with other taints"));
            }
            found.push(node.clone());
        }
        Ok(Ok(found))
    })
    .await
}

async fn pods(client: &Client) -> anyhow::Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(api.list(&ListParams::default().labels("type=differential")).await?.items)
}

/// The names of the pods that are not going away.
async fn names(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = api.list_metadata(&ListParams::default().labels("type=differential")).await?.items;
    Ok(pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(ResourceExt::name_any).collect())
}

fn node_of(pod: &Pod) -> &str {
    testbed::cluster::node_of(pod).unwrap_or_default()
}

/// The pods that the guard names for the step that puts the taints on the case's pool.
fn named(snapshot: &Snapshot, case: &Case) -> BTreeSet<String> {
    let change = Change::Taints { from: read(&case.before), to: read(&case.after) };
    let step = Step { policy: case.pool.clone(), pool: case.pool.clone(), change };
    let refusal = guard(step, snapshot, &Settings::default()).err();
    let broken = refusal.into_iter().flat_map(|refusal| refusal.broken);
    let pods = broken.filter(|broken| broken.rule == Rule::SystemPodsWouldBeEvicted).flat_map(|broken| broken.pods);
    pods.map(|name| name.trim_start_matches(&format!("{NAMESPACE}/")).to_owned()).collect()
}

fn read(taints: &[Value]) -> Vec<Taint> {
    let text = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
    let taint =
        |taint: &Value| Some(Taint::new(text(taint, "key"), text(taint, "value"), text(taint, "effect").parse().ok()?));
    taints.iter().filter_map(taint).collect()
}

fn snapshot(nodes: &[Node], pods: &[Pod], cases: &[Case]) -> Snapshot {
    let now = Time::from_millis(1_800_000_000_000);
    let cluster = Cluster {
        id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c".into(),
        subscription: "s".into(),
        node_resource_group: Some("n".into()),
        load_balancer_sku: None,
        issuer_url: None,
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        version: nodepool_kernel::Version::parse("1.34.2"),
        pools: cases.iter().map(pool).collect(),
    };
    Snapshot {
        now,
        paused: Known::seen(now, false),
        bulk: Known::seen(now, vec![]),
        intents: Known::seen(now, cases.iter().map(intent).collect()),
        cluster: Known::seen(now, cluster),
        issuer: Known::unknown("it is not asked"),
        nodes: Known::seen(now, nodes.iter().map(node).collect()),
        pods: Known::seen(now, pods.iter().map(any_pod).collect()),
        budgets: Known::seen(now, Vec::new()),
        workloads: Known::seen(now, Vec::new()),
        places: Known::unknown("it has not been read yet"),
        in_flight: Vec::new(),
        dependents: [].into(),
        occupancy: [].into(),
        upgradable: [].into(),
    }
}

fn pool(case: &Case) -> AgentPool {
    AgentPool {
        name: case.pool.clone(),
        mode: Mode::User,
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count: 1,
        autoscaling: None,
        taints: read(&case.before),
        labels: [].into(),
        tags: [].into(),
        requested_version: Some("1.35".into()),
        current_version: Some("1.35.0".into()),
        node_image: None,
        max_surge: None,
        max_unavailable: None,
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: std::sync::Arc::default(),
    }
}

fn intent(case: &Case) -> Intent {
    Intent {
        policy: case.pool.clone(),
        generation: 1,
        created: Time::default(),
        pool: case.pool.clone(),
        enforcement: Enforcement::Enforce,
        suspended: false,
        mode: None,
        count: None,
        autoscaling: None,
        owns_autoscaler: false,
        taints: None,
        labels: None,
        owned_labels: [].into(),
        tags: None,
        owned_tags: [].into(),
        version: None,
        image: None,
        upgrade: nodepool_kernel::UpgradeSettings::default(),
        attempt: None,
        stalled: false,
        waits_since: None,
        template: None,
        creating: false,
        power: None,
        deletion: None,
        may_lose_workloads: false,
        may_exceed_fuse: false,
        break_glass: None,
        system_pods: nodepool_kernel::SystemPods::Protect,
    }
}

fn case(seed: u64, number: u64) -> Case {
    let mut dice = Dice::new(seed, number);
    let pool = format!("nx{number}");
    let old = dice.chance(25).then(|| json!({"key": "old", "value": "x", "effect": "NoExecute"}));
    let before: Vec<Value> = old.clone().into_iter().collect();
    let mut after = before.clone();
    for key in ["team", "gpu"].iter().take(usize::from(dice.chance(30)) + 1) {
        after.push(json!({"key": key, "value": *dice.pick(&["", "a", "b"]), "effect": "NoExecute"}));
        if dice.chance(20) {
            after.push(json!({"key": key, "value": *dice.pick(&["", "a"]), "effect": *dice.pick(&["NoSchedule", "PreferNoSchedule"])}));
        }
    }
    let stays = json!({"key": "old", "operator": "Exists"});
    let pods = dice.between(1, 4);
    let mut all: Vec<Value> = (0..pods)
        .map(|index| {
            let mut tolerations: Vec<Value> = old.iter().map(|_| stays.clone()).collect();
            tolerations.extend((0..dice.between(0, 3)).map(|_| toleration(&mut dice)));
            self::pod(&pool, &index.to_string(), &tolerations)
        })
        .collect();
    let mut last: Vec<Value> = old.iter().map(|_| stays.clone()).collect();
    last.push(json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LAST}));
    all.push(pod(&pool, "last", &last));
    Case { pool, before, after, pods: all }
}

fn pod(pool: &str, name: &str, tolerations: &[Value]) -> Value {
    json!({
        "metadata": {"name": format!("{pool}-{name}"), "labels": {"type": "differential"}},
        "spec": {
            "nodeName": pool, "tolerations": tolerations, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i"}]
        }
    })
}

/// A toleration of any form that the API server takes.
fn toleration(dice: &mut Dice) -> Value {
    let mut toleration = json!({});
    let key = *dice.pick(&["", "", "team", "team", "team", "gpu", "other"]);
    let operator = if key.is_empty() { "Exists" } else { *dice.pick(&["Exists", "Equal", ""]) };
    if !key.is_empty() {
        toleration["key"] = json!(key);
    }
    if !operator.is_empty() {
        toleration["operator"] = json!(operator);
    }
    if operator != "Exists" {
        toleration["value"] = json!(*dice.pick(&["", "a", "a", "b"]));
    }
    let effect = *dice.pick(&["", "", "NoExecute", "NoExecute", "NoExecute", "NoSchedule", "PreferNoSchedule"]);
    if !effect.is_empty() {
        toleration["effect"] = json!(effect);
    }
    if effect == "NoExecute" && dice.chance(40) {
        toleration["tolerationSeconds"] = json!(*dice.pick(&[-1, 0, 1]));
    }
    toleration
}
