//! Evictions held to the real API server: random pods, workloads and disruption budgets; for each pod the kernel says
//! whether it may be evicted, and the API server is asked.
//!
//! In the first half of the cases the disruption controller keeps the statuses of the budgets, and evictions are dry runs.
//! For the second half the controller loses its right to write them: statuses are then anything, also outdated, and
//! evictions are made.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use nodepool_kernel::disruption::{Block, Doubt, Eviction, eviction};
use nodepool_operator::observe::{any_pod, budget};
use serde_json::{Value, json};
use testbed::control_plane::Options;
use testbed::{ControlPlane, wait_for};

use crate::dice::Dice;
use crate::number;
use crate::stage::{DEADLINE, create, namespace};

/// Worlds that are looked at side by side.
const SLOTS: usize = 4;
/// How often a pod is asked for again when it, or a budget, changed meanwhile.
const AGAIN: usize = 20;

/// Who keeps the statuses of budgets, and what is done about pods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Regime {
    /// The disruption controller; evictions are dry runs.
    Controller,
    /// We do; evictions are made.
    ByHand,
}

#[derive(Default)]
struct Tally {
    cases: usize,
    kinds: BTreeMap<String, usize>,
    differences: Vec<String>,
}

struct Run {
    client: Client,
    seed: u64,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

pub async fn compare() -> anyhow::Result<()> {
    let (wanted, seed) = (number("NODEPOOL_EVICTIONS", 50)?, number("NODEPOOL_SEED", 1)?);
    let wanted = usize::try_from(wanted)?;
    let control_plane = ControlPlane::start(Options::default()).await?;
    let run = Run { client: impatient(&control_plane).await?, seed, next: AtomicU64::new(0), tally: Mutex::default() };
    run.slots(Regime::Controller, wanted / 2).await?;
    run.silence_the_controller().await?;
    run.slots(Regime::ByHand, wanted).await?;
    let tally = run.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("NODEPOOL_SEED={seed}: {} evictions: {:?}", tally.cases, tally.kinds);
    ensure!(
        tally.differences.is_empty(),
        "the kernel and the API server differ about evictions:\n{}",
        tally.differences.join("\n")
    );
    let kinds = ["evictable", "none allowed", "outdated", "several budgets", "unconfirmed"];
    // Few cases need not have the rare kinds.
    let kinds = kinds.get(..if tally.cases < 300 { 2 } else { kinds.len() }).unwrap_or_default();
    let missing: Vec<_> = kinds.iter().filter(|kind| !tally.kinds.contains_key(**kind)).collect();
    ensure!(missing.is_empty(), "no case was {missing:?}");
    Ok(())
}

/// A client that takes the API server's first answer for one: kube's own asks again for as long as it is 429.
async fn impatient(control_plane: &ControlPlane) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(control_plane.kubeconfig())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

impl Run {
    async fn slots(&self, regime: Regime, until: usize) -> anyhow::Result<()> {
        let slot = async || {
            while self.with_tally(|tally| tally.cases) < until {
                let world = self.next.fetch_add(1, Ordering::SeqCst);
                self.play(regime, world, until).await.with_context(|| format!("seed {}, world {world}", self.seed))?;
            }
            anyhow::Ok(())
        };
        futures::future::try_join_all((0..SLOTS).map(|_| slot())).await.map(|_| ())
    }

    /// Takes away the right of the disruption controller to write statuses, and waits until that holds.
    async fn silence_the_controller(&self) -> anyhow::Result<()> {
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        bindings.delete("system:controller:disruption-controller", &DeleteParams::default()).await?;
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = json!({"metadata": {}, "spec": {
            "user": "system:serviceaccount:kube-system:disruption-controller",
            "resourceAttributes": {"verb": "update", "group": "policy", "resource": "poddisruptionbudgets", "subresource": "status"}
        }});
        wait_for("the disruption controller to lose its right", DEADLINE, async || {
            let answer: SubjectAccessReview = create(&reviews, &review).await?;
            let allowed = answer.status.is_none_or(|status| status.allowed);
            Ok(if allowed { Err("it has it") } else { Ok(()) })
        })
        .await
    }

    async fn play(&self, regime: Regime, world: u64, until: usize) -> anyhow::Result<()> {
        let name = format!("evictions-{world}");
        let mut dice = Dice::new(self.seed, world);
        namespace(&self.client, &name, json!({})).await?;
        let world = World::new(&self.client, &name);
        world.set(&mut dice).await?;
        match regime {
            Regime::Controller => world.wait_for_statuses().await?,
            Regime::ByHand => world.write_statuses(&mut dice).await?,
        }
        for pod in world.pods.list(&ListParams::default()).await?.items {
            if self.with_tally(|tally| tally.cases) >= until {
                break;
            }
            if let Some((verdict, answer, state)) = world.ask(&pod.name_any(), regime).await? {
                self.with_tally(|tally| tally.count(&verdict, &answer, &state));
            }
        }
        world.strike().await
    }

    fn with_tally<T>(&self, f: impl FnOnce(&mut Tally) -> T) -> T {
        f(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tally {
    fn count(&mut self, verdict: &Eviction, answer: &Answer, state: &str) {
        self.cases += 1;
        let (kind, codes): (_, &[u16]) = match verdict {
            Eviction::Evictable => ("evictable", &[201]),
            Eviction::Blocked { why: Block::NoneAllowed { .. }, .. } => ("none allowed", &[429]),
            Eviction::Blocked { why: Block::Several(_), .. } => ("several budgets", &[500]),
            Eviction::Unclear { why: Doubt::Outdated, .. } => ("outdated", &[429]),
            Eviction::Unclear { why: Doubt::Unconfirmed(_), .. } => ("unconfirmed", &[403]),
            Eviction::Unclear { why: Doubt::Negative | Doubt::Selector, .. } => ("never seen", &[]),
        };
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        let processed = answer.message.contains("still being processed");
        if !codes.contains(&answer.code) || (answer.code == 429 && processed != (kind == "outdated")) {
            self.differences.push(format!("{verdict:?}, but {} {}: {state}", answer.code, answer.message));
        }
    }
}

/// What the API server answered.
struct Answer {
    code: u16,
    message: String,
}

impl Answer {
    fn of(result: kube::Result<kube::core::Status>) -> anyhow::Result<Self> {
        let status = match result {
            Ok(status) => status,
            Err(kube::Error::Api(status)) => *status,
            Err(error) => return Err(error.into()),
        };
        let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.as_str());
        let message = causes.fold(status.message.clone(), |all, cause| format!("{all} {cause}"));
        Ok(Self { code: status.code, message })
    }
}

/// The objects of one namespace.
struct World {
    pods: Api<Pod>,
    sets: Api<ReplicaSet>,
    budgets: Api<PodDisruptionBudget>,
}

impl World {
    fn new(client: &Client, namespace: &str) -> Self {
        Self {
            pods: Api::namespaced(client.clone(), namespace),
            sets: Api::namespaced(client.clone(), namespace),
            budgets: Api::namespaced(client.clone(), namespace),
        }
    }

    /// Creates workloads, pods and budgets, and gives the pods their statuses.
    async fn set(&self, dice: &mut Dice) -> anyhow::Result<()> {
        let mut expected = 0;
        for number in 0..dice.between(1, 2) {
            let replicas = dice.between(1, 3);
            expected += replicas;
            create::<ReplicaSet>(&self.sets, &replica_set(number, replicas, dice)).await?;
        }
        for number in 0..dice.between(0, 3) {
            let name = format!("bare-{number}");
            expected += 1;
            let mut metadata = json!({"name": name, "labels": labels(dice)});
            let goes = dice.chance(15);
            if goes {
                metadata["finalizers"] = json!(["differential.test/hold"]);
            }
            if dice.chance(15) {
                metadata["ownerReferences"] = json!([{"apiVersion": "example.test/v1", "kind": "Thing", "name": "t", "uid": "u", "controller": true}]);
            }
            create::<Pod>(&self.pods, &json!({"metadata": metadata, "spec": pod_spec()})).await?;
            if goes {
                self.pods.delete(&name, &DeleteParams::default()).await?;
            }
        }
        for number in 0..*dice.pick(&[0, 1, 1, 1, 1, 2, 2, 3]) {
            create::<PodDisruptionBudget>(&self.budgets, &random_budget(number, dice)).await?;
        }
        let pods = wait_for("the pods of the workloads", DEADLINE, async || {
            let pods = self.pods.list(&ListParams::default()).await?.items;
            Ok(if pods.len() as u64 == expected { Ok(pods) } else { Err(format!("{} of {expected}", pods.len())) })
        });
        for pod in pods.await? {
            let patch = Patch::Merge(json!({"status": pod_status(dice)}));
            self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Waits until the disruption controller has counted the pods of each budget, or has said that it can't.
    async fn wait_for_statuses(&self) -> anyhow::Result<()> {
        wait_for("the statuses of the budgets", DEADLINE, async || {
            let budgets = self.budgets.list(&ListParams::default()).await?.items;
            let counted = |budget: &PodDisruptionBudget| {
                let status = budget.status.clone().unwrap_or_default();
                let failed = status.conditions.iter().flatten().any(|condition| condition.reason == "SyncFailed");
                failed || status.observed_generation >= budget.metadata.generation
            };
            Ok(if budgets.iter().all(counted) { Ok(()) } else { Err("not counted yet") })
        })
        .await
    }

    /// Gives each budget some status, or none.
    async fn write_statuses(&self, dice: &mut Dice) -> anyhow::Result<()> {
        for budget in self.budgets.list(&ListParams::default()).await?.items {
            if dice.chance(10) {
                continue;
            }
            let generation = budget.metadata.generation.unwrap_or(1);
            let observed = if dice.chance(20) { generation - 1 } else { generation };
            let disrupted = if dice.chance(8) { 2001 } else { dice.between(0, 2) };
            let disrupted: BTreeMap<String, &str> =
                (0..disrupted).map(|number| (format!("gone-{number}"), "2026-01-01T00:00:00Z")).collect();
            let status = json!({
                "observedGeneration": observed, "disruptionsAllowed": *dice.pick(&[0, 0, 0, 1, 2]), "currentHealthy": dice.between(0, 3),
                "desiredHealthy": dice.between(0, 2), "expectedPods": dice.between(0, 4), "disruptedPods": disrupted,
            });
            let patch = Patch::Merge(json!({"status": status}));
            self.budgets.patch_status(&budget.name_any(), &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// What the kernel says of a pod, and what the API server answers while nothing changed; nothing if the pod is gone.
    async fn ask(&self, name: &str, regime: Regime) -> anyhow::Result<Option<(Eviction, Answer, String)>> {
        let dry_run = PostParams { dry_run: regime == Regime::Controller, ..PostParams::default() };
        for _ in 0..AGAIN {
            let Some((pod, budgets)) = self.look(name).await? else { return Ok(None) };
            let rows: Vec<_> = budgets.iter().map(budget).collect();
            let verdict = eviction(&any_pod(&pod), &rows);
            let precondition = Preconditions { resource_version: pod.resource_version(), uid: pod.uid() };
            let delete = DeleteParams { preconditions: Some(precondition), ..DeleteParams::default() };
            let parameters = EvictParams { delete_options: Some(delete), post_options: dry_run.clone() };
            let answer = Answer::of(self.pods.evict(name, &parameters).await)?;
            let unchanged = match regime {
                // Nobody but us writes statuses, and the pod is the one that was looked at.
                Regime::ByHand => answer.code != 409,
                Regime::Controller => self
                    .look(name)
                    .await?
                    .is_some_and(|after| versions(&after) == versions(&(pod.clone(), budgets.clone()))),
            };
            if unchanged {
                let state = json!({"pod": pod.status, "labels": pod.metadata.labels, "budgets": budgets});
                return Ok(Some((verdict, answer, state.to_string())));
            }
        }
        anyhow::bail!("pod {name} or its budgets never stand still")
    }

    async fn look(&self, name: &str) -> anyhow::Result<Option<(Pod, Vec<PodDisruptionBudget>)>> {
        let Some(pod) = self.pods.get_opt(name).await? else { return Ok(None) };
        Ok(Some((pod, self.budgets.list(&ListParams::default()).await?.items)))
    }

    /// Takes the workloads and pods away.
    async fn strike(&self) -> anyhow::Result<()> {
        self.sets.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        let now = DeleteParams::default().grace_period(0);
        self.pods.delete_collection(&now, &ListParams::default()).await?;
        self.budgets.delete_collection(&now, &ListParams::default()).await?;
        Ok(())
    }
}

fn versions((pod, budgets): &(Pod, Vec<PodDisruptionBudget>)) -> Vec<Option<String>> {
    std::iter::once(pod.resource_version()).chain(budgets.iter().map(ResourceExt::resource_version)).collect()
}

fn pod_spec() -> Value {
    // No scheduler looks at these pods, and no kubelet: their statuses are ours.
    json!({"schedulerName": "nobody", "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]})
}

fn labels(dice: &mut Dice) -> Value {
    let mut labels = json!({"app": *dice.pick(&["web", "web", "db"])});
    if dice.chance(40) {
        labels["tier"] = json!(*dice.pick(&["a", "b"]));
    }
    labels
}

fn replica_set(number: u64, replicas: u64, dice: &mut Dice) -> Value {
    let mut labels = labels(dice);
    labels["set"] = json!(format!("s{number}"));
    json!({
        "metadata": {"name": format!("set-{number}")},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"set": format!("s{number}")}},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec()}
        }
    })
}

fn pod_status(dice: &mut Dice) -> Value {
    let phase = if dice.chance(75) { "Running" } else { *dice.pick(&["Pending", "Succeeded", "Failed", "Unknown"]) };
    let mut conditions = vec![json!({"type": "Initialized", "status": "True"})];
    if dice.chance(95) {
        let ready = if dice.chance(75) { "True" } else { *dice.pick(&["False", "Unknown"]) };
        conditions.push(json!({"type": "Ready", "status": ready}));
    }
    json!({"phase": phase, "conditions": conditions})
}

fn random_budget(number: u64, dice: &mut Dice) -> Value {
    let expression = |key: &str, operator: &str, values: &[&str]| {
        let mut expression = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            expression["values"] = json!(values);
        }
        json!({"matchExpressions": [expression]})
    };
    let selector = match dice.between(0, 9) {
        0..=2 => json!({"matchLabels": {"app": "web"}}),
        3 => json!({"matchLabels": {"app": "db"}}),
        4 => expression("app", "In", &["db", "web"]),
        5 => expression("app", "NotIn", &["db"]),
        6 => expression("tier", "Exists", &[]),
        7 => expression("tier", "DoesNotExist", &[]),
        8 => json!({}),
        _ => Value::Null,
    };
    let mut spec = match dice.between(0, 3) {
        0 => json!({"minAvailable": dice.between(0, 4)}),
        1 => json!({"minAvailable": "50%"}),
        2 => json!({"maxUnavailable": dice.between(0, 2)}),
        _ => json!({"maxUnavailable": "30%"}),
    };
    if !selector.is_null() {
        spec["selector"] = selector;
    }
    let policy = *dice.pick(&["", "", "IfHealthyBudget", "AlwaysAllow"]);
    if !policy.is_empty() {
        spec["unhealthyPodEvictionPolicy"] = json!(policy);
    }
    json!({"metadata": {"name": format!("budget-{number}")}, "spec": spec})
}
