//! What stories share: a cluster with the operator in it, what is done to it and what is looked at. Never asserts by
//! itself what a story is about.

use std::time::Duration;

use super::applied::{Applied, GITOPS};
pub use super::story::{Story, story};
use super::watched::Watched;
use super::{health, inventory, parts, rights};
use aks_emulator::PoolSpec;
use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::{ConditionStatus, NodePoolPolicy, NodePoolPolicySpec, NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::audit::Cause;
use testbed::bed::{Builder, EMULATOR_USER};
use testbed::{KubeSystem, Lane, OPERATOR_USER, Operator, Testbed, wait_for};

/// How long anything may take to come about. Stories wait for conditions, so that only a failure takes this long.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Settings that make the operator as quick as the testbed.
pub const QUICK: [&str; 14] = [
    "--system-node-ready-seconds",
    "0.5",
    "--add-ons-stable-seconds",
    "0.5",
    "--arm-refresh-seconds",
    "1",
    "--arm-poll-seconds",
    "0.2",
    "--arm-request-share",
    "1000",
    "--settle-seconds",
    "0.3",
    "--log",
    "info,nodepool_operator=debug",
];

/// What came to nothing is not tried again as long as a story lasts.
pub const ONCE: [&str; 2] = ["--retry-seconds", "3600"];

/// A cluster with the operator in it.
pub struct Scene {
    /// The cluster.
    pub bed: Testbed,
    /// The operator.
    pub operator: Operator,
    policies: Api<NodePoolPolicy>,
    applied: Applied,
    watched: Watched,
    /// Azure evicts pods for its own reasons.
    azure_drains: bool,
    /// Somebody takes rights away from the operator.
    rights_are_missing: bool,
}

/// The operator's executable.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_nodepool-operator")
}

/// Starts the cluster and the operator in it.
pub async fn begin(builder: Builder) -> anyhow::Result<Scene> {
    begin_with(builder, &[]).await
}

/// The same with further arguments for the operator.
pub async fn begin_with(builder: Builder, arguments: &[&str]) -> anyhow::Result<Scene> {
    let bed = builder.start().await?;
    let options = bed.operator_options(binary()).arguments(&QUICK).arguments(arguments);
    let operator = bed.start_operator(options).await?;
    Ok(Scene::of(bed, operator))
}

/// A system pool of two nodes and a user pool `apps` of one, with nothing in kube-system.
pub async fn plain_cluster(lane: Lane) -> anyhow::Result<Scene> {
    plain_cluster_with(lane, &[]).await
}

/// The same with further arguments for the operator.
pub async fn plain_cluster_with(lane: Lane, arguments: &[&str]) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin_with(builder.pool(PoolSpec::user("apps", 1)), arguments).await
}

/// A policy as somebody would write it.
pub fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy", "metadata": {"name": name}, "spec": spec})
}

/// A write of the operator to ARM: the pool and the body.
pub type Write = (String, Value);

/// The write of `changed` to a pool that otherwise has no labels, taints and tags.
pub fn write(pool: &str, changed: Value) -> Write {
    let mut properties = json!({"nodeLabels": {}, "nodeTaints": [], "tags": {}});
    if let (Value::Object(all), Value::Object(changed)) = (&mut properties, changed) {
        all.extend(changed);
    }
    (pool.to_owned(), json!({ "properties": properties }))
}

impl Scene {
    /// A cluster and the operator in it.
    pub fn of(bed: Testbed, operator: Operator) -> Self {
        let policies = Api::all(bed.cluster.client());
        let watched = Watched::new(policies.clone());
        Self {
            bed,
            operator,
            policies,
            applied: Applied::default(),
            watched,
            azure_drains: false,
            rights_are_missing: false,
        }
    }

    /// Azure upgrades nodes by itself, which evicts pods that the operator has nothing to do with.
    pub const fn in_which_azure_drains(mut self) -> Self {
        self.azure_drains = true;
        self
    }

    /// Somebody takes rights away from the operator, so that it is denied what it asks for.
    pub const fn in_which_rights_are_missing(mut self) -> Self {
        self.rights_are_missing = true;
        self
    }

    /// Applies a policy as Argo CD and Flux do, server side.
    pub async fn apply(&self, policy: Value) -> anyhow::Result<NodePoolPolicy> {
        let name = policy["metadata"]["name"].as_str().context("a policy needs a name")?.to_owned();
        let parameters = PatchParams::apply(GITOPS).force();
        let applied = self.policies.patch(&name, &parameters, &Patch::Apply(&policy)).await;
        let applied = applied.map_err(|error| match error {
            kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
            error => error.into(),
        })?;
        self.applied.note(&self.policies, &name, policy).await?;
        Ok(applied)
    }

    /// Deletes a policy, and waits until it is gone.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.begin_deletion(name).await?;
        self.gone(name).await
    }

    /// Deletes a policy, which may stay for a while.
    pub async fn begin_deletion(&self, name: &str) -> anyhow::Result<()> {
        self.policies.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the policy has exactly these finalizers.
    pub async fn has_finalizers(&self, name: &str, wanted: &[&str]) -> anyhow::Result<()> {
        wait_for(&format!("policy {name} to have the finalizers {wanted:?}"), DEADLINE, async || {
            let policy = self.policies.get(name).await?;
            Ok(if policy.finalizers() == wanted { Ok(()) } else { Err(format!("{:?}", policy.finalizers())) })
        })
        .await
    }

    /// Annotates a policy, as a person would.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.policies.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the policy is gone.
    pub async fn gone(&self, name: &str) -> anyhow::Result<()> {
        wait_for(&format!("policy {name} to be gone"), DEADLINE, async || {
            Ok(if self.policies.get_opt(name).await?.is_none() { Ok(()) } else { Err("it is still there") })
        })
        .await
    }

    /// The policy, if it is there.
    pub async fn find(&self, name: &str) -> anyhow::Result<Option<NodePoolPolicy>> {
        Ok(self.policies.get_opt(name).await?)
    }

    /// What a policy asks for, as the API server has it.
    pub async fn spec(&self, name: &str) -> anyhow::Result<NodePoolPolicySpec> {
        Ok(self.policies.get(name).await?.spec)
    }

    /// The policy's status.
    pub async fn status(&self, name: &str) -> anyhow::Result<NodePoolPolicyStatus> {
        Ok(self.policies.get(name).await?.status.unwrap_or_default())
    }

    /// Waits until the status is about the policy's present generation and `fits`.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(&NodePoolPolicyStatus) -> bool,
    ) -> anyhow::Result<NodePoolPolicyStatus> {
        let what = format!("policy {name} {what}");
        let waited = wait_for(&what, DEADLINE, async || {
            let policy = self.policies.get(name).await?;
            health::judge(&policy)?;
            let status = policy.status.unwrap_or_default();
            let current = status.observed_generation == policy.metadata.generation;
            Ok(if current && fits(&status) { Ok(status) } else { Err(serde_json::to_string_pretty(&status)?) })
        });
        waited.await.map_err(|error| error.context(format!("the operator's log ends: {}", self.operator.log_tail(30))))
    }

    /// Waits until the policy is Ready.
    pub async fn ready(&self, name: &str) -> anyhow::Result<NodePoolPolicyStatus> {
        self.until(name, "to be Ready", |status| holds(status, condition::READY)).await
    }

    /// Sees that the policy has not failed at any moment up to now.
    pub async fn never_failed(&self, name: &str) -> anyhow::Result<()> {
        self.watched.never_failed(&self.policies.get(name).await?).await
    }

    /// Waits until the policy is Stalled for `reason`.
    pub async fn stalled(&self, name: &str, reason: &str) -> anyhow::Result<NodePoolPolicyStatus> {
        let stalled = |status: &NodePoolPolicyStatus| {
            let is = status.condition(condition::STALLED).is_some_and(|stalled| stalled.reason == reason);
            is && holds(status, condition::STALLED)
        };
        let status = self.until(name, &format!("to be Stalled for {reason}"), stalled).await?;
        anyhow::ensure!(!holds(&status, condition::READY) && !holds(&status, condition::RECONCILING), "{status:?}");
        Ok(status)
    }

    /// Waits until the policy is refused by `rule` for good, and returns the message of the refusal.
    pub async fn refused(&self, name: &str, rule: &str) -> anyhow::Result<String> {
        let status = self
            .until(name, &format!("to be refused by {rule}"), |status| {
                let is_unsafe =
                    status.condition(condition::SAFE).is_some_and(|safe| safe.status == ConditionStatus::False);
                is_unsafe
                    && holds(status, condition::STALLED)
                    && status.refusals.iter().any(|refused| refused.rule == rule)
            })
            .await?;
        let refusal = status.refusals.iter().find(|refused| refused.rule == rule).context("no refusal")?;
        Ok(format!("{} {}", refusal.message, refusal.remedy))
    }

    /// Everything that the operator has written to ARM.
    pub fn writes(&self) -> Vec<Write> {
        let journal = self.bed.emulator.journal().writes().by_user_agent("nodepool-operator");
        journal
            .iter()
            .map(|exchange| (exchange.resource_name().to_owned(), exchange.request.clone().unwrap_or_default()))
            .collect()
    }

    /// How often the operator has read the cluster from ARM.
    fn reads(&self) -> usize {
        let journal = self.bed.emulator.journal().by_user_agent("nodepool-operator");
        journal.only(|exchange| exchange.method == "GET" && exchange.path.contains("/managedClusters/")).iter().count()
    }

    /// Waits until the operator has looked at ARM three more times.
    pub async fn looks_again(&self) -> anyhow::Result<()> {
        let seen = self.reads();
        wait_for("the operator to read ARM three times more", DEADLINE, async || {
            let more = self.reads() - seen;
            Ok(if more >= 3 { Ok(()) } else { Err(format!("{more} reads")) })
        })
        .await
    }

    /// Sees that the operator goes on looking and writes nothing, neither to ARM nor to the API server.
    pub async fn is_quiet(&self) -> anyhow::Result<()> {
        self.looks_again().await?;
        let to_api_server = || self.bed.audit.writes_by(OPERATOR_USER);
        let (arm, api) = (self.writes(), to_api_server()?);
        self.looks_again().await?;
        anyhow::ensure!(self.writes() == arm, "it wrote to ARM: {:?}", self.writes());
        let since = to_api_server()?.split_off(api.len());
        anyhow::ensure!(since.is_empty(), "it wrote to the API server: {since:?}");
        Ok(())
    }

    /// Changes a pool as somebody with the Azure CLI would.
    pub async fn edit_by_hand(&self, pool: &str, properties: Value) -> anyhow::Result<()> {
        let url = format!("{}?api-version=2025-10-01", self.pool_url(pool));
        let request = reqwest::Client::new().put(url).header("user-agent", "by-hand");
        let body = json!({ "properties": properties }).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the edit by hand was answered {status}: {}", answer.text().await?);
        }
        Ok(())
    }

    /// Aborts the operation that runs on a pool, as somebody with the Azure CLI would.
    pub async fn abort_by_hand(&self, pool: &str) -> anyhow::Result<()> {
        let url = format!("{}/abort?api-version=2025-10-01", self.pool_url(pool));
        let answer = reqwest::Client::new().post(url).header("user-agent", "by-hand").send().await?;
        anyhow::ensure!(answer.status().is_success(), "the abort was answered {}", answer.status());
        Ok(())
    }

    /// The pool's URL in ARM, without its query.
    fn pool_url(&self, pool: &str) -> String {
        let emulator = &self.bed.emulator;
        let endpoint = emulator.endpoint();
        format!("{}{}/agentPools/{pool}", endpoint.as_str().trim_end_matches('/'), emulator.cluster_id())
    }

    /// A property of a pool in ARM.
    pub fn in_arm(&self, pool: &str, property: &str) -> Value {
        self.bed.emulator.pool(pool).map(|document| document["properties"][property].clone()).unwrap_or_default()
    }

    /// The nodes of a pool.
    pub async fn nodes(&self, pool: &str) -> anyhow::Result<Vec<Node>> {
        self.bed.cluster.nodes_of(pool).await
    }

    /// The names of the nodes of a pool.
    pub async fn node_names(&self, pool: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.nodes(pool).await?.iter().map(ResourceExt::name_any).collect())
    }

    /// Pods of kube-system that were really made to leave their nodes.
    pub fn evicted(&self) -> anyhow::Result<Vec<String>> {
        let departures = self.bed.audit.departures()?;
        Ok(departures.into_iter().filter(|gone| gone.namespace == "kube-system").map(|gone| gone.pod).collect())
    }

    /// However a story goes: lists show of pods and nodes what there is; the inventory tells the truth; nothing that the
    /// operator did made a pod of kube-system leave its node, and the nodes are what ARM says.
    pub async fn ends_well(mut self) -> anyhow::Result<()> {
        self.watched.judged_well()?;
        rights::were_enough(&self.bed.audit, self.rights_are_missing)?;
        rights::were_enough_in_azure(&self.bed.emulator, self.rights_are_missing)?;
        self.bed.emulator.idle().await;
        parts::are_of_the_whole(&self.bed).await?;
        inventory::tells_the_truth(&mut self).await?;
        self.applied.all_again(&self.policies).await?;
        self.kubectl_waits_for_none(self.policies.list(&ListParams::default()).await?.items).await?;
        let by_azure = |user: &str| user == EMULATOR_USER && !self.azure_drains;
        let by_operator = |cause: Cause, user: &str| cause == Cause::Tainted || by_azure(user);
        let departures = self.bed.audit.departures()?;
        let evicted: Vec<_> = departures
            .iter()
            .filter(|gone| gone.namespace == "kube-system" && by_operator(gone.cause, &gone.user))
            .collect();
        anyhow::ensure!(evicted.is_empty(), "the operator's doing evicted {evicted:?}");
        let pools = self.bed.emulator.edit(|cluster| cluster.pools.clone()).unwrap_or_default();
        for pool in pools {
            let wanted = |property: &str| pool.get(property).cloned().unwrap_or_default();
            let nodes = self.nodes(&pool.name).await?;
            anyhow::ensure!(wanted("count") == nodes.len(), "pool {} has {} nodes", pool.name, nodes.len());
            for node in nodes {
                let taints = taints_of(&node);
                let missing = |taint: &&Value| !taints.iter().any(|found| Some(found.as_str()) == taint.as_str());
                let lacking = wanted("nodeTaints").as_array().map_or(0, |all| all.iter().filter(missing).count());
                anyhow::ensure!(lacking == 0, "node {} lacks taints of its pool: {taints:?}", node.name_any());
                let labels = node.labels();
                let differs = |(key, value): (&String, &Value)| labels.get(key).map(String::as_str) != value.as_str();
                let wrong = wanted("nodeLabels").as_object().is_some_and(|all| all.iter().any(differs));
                anyhow::ensure!(!wrong, "node {} lacks labels of its pool: {labels:?}", node.name_any());
            }
        }
        Ok(())
    }

    /// The pods of kube-system that no DaemonSet owns, on the nodes of a pool.
    pub async fn add_ons_on(&self, pool: &str) -> anyhow::Result<Vec<Pod>> {
        let mut pods = Vec::new();
        for node in self.node_names(pool).await? {
            pods.extend(self.bed.cluster.pods_on(&node).await?);
        }
        pods.retain(|pod| {
            pod.namespace().as_deref() == Some("kube-system") && !testbed::cluster::is_of_daemon_set(pod)
        });
        Ok(pods)
    }

    /// Moves the add-ons off a pool, as a person would.
    pub async fn move_add_ons_off(&self, pool: &str) -> anyhow::Result<()> {
        let nodes = self.node_names(pool).await?;
        self.bed.cluster.move_pods_off(&nodes.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.bed.wait_until_settled().await
    }

    /// Waits until the events about a policy have exactly these reasons, in the order of the alphabet.
    pub async fn told(&self, policy: &str, reasons: &[&str]) -> anyhow::Result<()> {
        wait_for(&format!("the events about {policy} to be {reasons:?}"), DEADLINE, async || {
            let mut found = self.reasons(policy, |_| true).await?;
            found.sort();
            found.dedup();
            Ok(if found == reasons { Ok(()) } else { Err(format!("{found:?}")) })
        })
        .await
    }

    /// The reasons of the warnings about a policy.
    pub async fn warnings(&self, policy: &str) -> anyhow::Result<Vec<String>> {
        self.reasons(policy, |event| event.type_.as_deref() == Some("Warning")).await
    }

    async fn reasons(&self, policy: &str, which: impl Fn(&Event) -> bool) -> anyhow::Result<Vec<String>> {
        let events = Api::<Event>::all(self.bed.cluster.client()).list(&ListParams::default()).await?;
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.clone()).as_deref() == Some(policy);
        let events = events.into_iter().filter(|event| about(event) && which(event));
        Ok(events.filter_map(|event| event.reason).collect())
    }
}

/// Whether a condition is True.
pub fn holds(status: &NodePoolPolicyStatus, type_: &str) -> bool {
    status.condition(type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// The message of a condition.
pub fn message<'a>(status: &'a NodePoolPolicyStatus, type_: &str) -> &'a str {
    status.condition(type_).map_or("", |condition| condition.message.as_str())
}

/// The taints of a node that a person or AKS put there, in ARM's form.
pub fn taints_of(node: &Node) -> Vec<String> {
    let taints =
        testbed::cluster::taints(node).into_iter().filter(|taint| !taint.key.starts_with("node.kubernetes.io/"));
    taints.map(|taint| format!("{}={}:{}", taint.key, taint.value.unwrap_or_default(), taint.effect)).collect()
}
