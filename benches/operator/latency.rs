//! From `kubectl apply` to the PUT that arrives at ARM, and to the refusal in the status; first by a plain client that
//! does no more than what must be read and written. Never more than one change at a time.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use nodepool_operator::api::{ConditionStatus, condition};
use serde_json::{Value, json};

use crate::samples::Samples;
use crate::scene::{Scene, USER_POOLS, pool};
use crate::table::{Table, say};
use crate::watch::{Watch, is};

/// How often each kind of change is made.
const CHANGES: usize = 200;

/// Between two changes, so that each meets an operator that has done with the one before, its events included.
const REST: Duration = Duration::from_millis(150);

/// What a policy asks for; another label each time.
fn labelled(number: usize) -> Value {
    json!({"mode": "User", "labels": {"bench": format!("b{number}")}})
}

/// A policy for each pool.
pub(crate) fn everywhere() -> Vec<(String, Value)> {
    let system = ("system".to_owned(), json!({"mode": "System"}));
    (0..USER_POOLS).map(|number| (pool(number), labelled(0))).chain([system]).collect()
}

pub(crate) async fn measure(scene: &mut Scene, table: &mut Table) -> anyhow::Result<()> {
    let mut watch = Watch::new(&scene.client);
    say("changes by a plain client");
    let plain = Plain { scene, http: reqwest::Client::builder().no_proxy().build()? };
    let (mut put, mut status) = (Samples::default(), Samples::default());
    for number in 0..CHANGES {
        plain.put(number, &mut watch, &mut put).await?;
        plain.status(number, &mut watch, &mut status).await?;
    }
    table.add("baseline: apply, watch, the same reads and the PUT by a plain client", put.p50_and_p99(), "");
    table.add("baseline: apply, watch, one GET and the status by a plain client", status.p50_and_p99(), "");

    say("changes by the operator");
    let mut operator = scene.operator(&[]).await?;
    scene.apply_all(everywhere()).await?;
    scene.at_rest().await?;
    let puts = puts(scene, &mut watch, CHANGES).await?;
    table.add("apply to the PUT arriving at ARM", puts.p50_and_p99(), "p99 < 250 ms");
    let (refused, stalled) = refusals(scene, &mut watch).await?;
    table.add("apply to the refusal in the status", refused.p50_and_p99(), "p99 < 250 ms");
    table.add("apply to Failed in Argo CD and Flux, settling included", stalled.p50_and_p99(), "< 2 s");
    operator.terminate().await?;
    Ok(())
}

/// Changes one pool after the other; how long until each PUT arrived.
pub(crate) async fn puts(scene: &Scene, watch: &mut Watch, changes: usize) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    for number in 1..=changes {
        let (name, passed) = (pool(number % USER_POOLS), scene.bed.arm.journal().len());
        tokio::time::sleep(REST).await;
        let began = SystemTime::now();
        let applied = scene.apply(&name, labelled(number)).await?;
        watch.until_status(&applied, "Ready", |status| is(status, condition::READY, ConditionStatus::True)).await?;
        samples.add(began, scene.written_at(&name, passed)?)?;
    }
    Ok(samples)
}

/// Asks for the demotion of the only system pool and takes it back, again and again; how long until each refusal, and until
/// the policy is Stalled for it.
async fn refusals(scene: &Scene, watch: &mut Watch) -> anyhow::Result<(Samples, Samples)> {
    let (mut refusals, mut stalls) = (Samples::default(), Samples::default());
    for _ in 0..CHANGES {
        tokio::time::sleep(REST).await;
        let began = SystemTime::now();
        let applied = scene.apply("system", json!({"mode": "User"})).await?;
        let refused = |status: &_| is(status, condition::SAFE, ConditionStatus::False);
        refusals.add(began, watch.until_status(&applied, "refused", refused).await?)?;
        let stalled = |status: &_| is(status, condition::STALLED, ConditionStatus::True);
        stalls.add(began, watch.until_status(&applied, "Stalled", stalled).await?)?;
        let applied = scene.apply("system", json!({"mode": "System"})).await?;
        watch.until_status(&applied, "Ready", |status| is(status, condition::READY, ConditionStatus::True)).await?;
    }
    Ok((refusals, stalls))
}

/// A client that does what must be done and nothing more.
struct Plain<'a> {
    scene: &'a Scene,
    http: reqwest::Client,
}

impl Plain<'_> {
    /// A change, the reads that the operator makes for it, and the PUT.
    async fn put(&self, number: usize, watch: &mut Watch, samples: &mut Samples) -> anyhow::Result<()> {
        let (name, passed) = (pool(number % USER_POOLS), self.scene.bed.arm.journal().len());
        tokio::time::sleep(REST).await;
        let began = SystemTime::now();
        self.seen(&name, labelled(number), watch).await?;
        self.get("").await?;
        let one = format!("/agentPools/{name}");
        let arm = async { futures::try_join!(self.get(""), self.get(&one)).map(drop) };
        tokio::try_join!(arm, self.nodes(&name), self.pods(), self.budgets())?;
        self.get("/agentPools/system").await?;
        let labels = json!({"bench": format!("b{number}")});
        let body = json!({"properties": {"nodeLabels": labels, "nodeTaints": [], "tags": {}}});
        let request = self.http.put(self.url(&one)).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "the PUT was answered {}", answer.status());
        samples.add(began, self.scene.written_at(&name, passed)?)?;
        self.scene.bed.emulator.idle().await;
        Ok(())
    }

    /// A change, a read of the cluster, and a status.
    async fn status(&self, number: usize, watch: &mut Watch, samples: &mut Samples) -> anyhow::Result<()> {
        let name = pool(number % USER_POOLS);
        tokio::time::sleep(REST).await;
        let began = SystemTime::now();
        // A generation that nothing else has.
        let generation = self.seen(&name, json!({"mode": "User", "count": number}), watch).await?;
        self.get("").await?;
        let status = json!({
            "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy", "metadata": {"name": name},
            "status": {"observedGeneration": generation},
        });
        let parameters = PatchParams::apply("bench-status").force();
        self.scene.policies.patch_status(&name, &parameters, &Patch::Apply(&status)).await?;
        let has_it = |policy: &nodepool_operator::api::NodePoolPolicy| {
            policy.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        };
        samples.add(began, watch.until(&name, "reported", has_it).await?)
    }

    /// Applies a policy and waits until the watch shows it; its generation.
    async fn seen(&self, name: &str, spec: Value, watch: &mut Watch) -> anyhow::Result<Option<i64>> {
        let applied = self.scene.apply(name, spec).await?;
        watch.until(name, "seen", |policy| policy.resource_version() == applied.resource_version()).await?;
        Ok(applied.metadata.generation)
    }

    async fn get(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.http.get(self.url(path)).send().await?.error_for_status()?;
        serde_json::from_slice::<Value>(&answer.bytes().await?).context("ARM's answer is not JSON")?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        let bed = &self.scene.bed;
        let endpoint = bed.arm.url().as_str().trim_end_matches('/');
        format!("{endpoint}{}{path}?api-version=2025-10-01", bed.emulator.cluster_id())
    }

    async fn nodes(&self, pool: &str) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.scene.client.clone());
        for label in ["kubernetes.azure.com/mode=system", &format!("kubernetes.azure.com/agentpool={pool}")] {
            nodes.list(&ListParams::default().labels(label)).await?;
        }
        Ok(())
    }

    async fn pods(&self) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.scene.client.clone(), "kube-system");
        pods.list(&ListParams::default()).await.map(drop).context("pods can't be listed")
    }

    async fn budgets(&self) -> anyhow::Result<()> {
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(self.scene.client.clone(), "kube-system");
        budgets.list(&ListParams::default()).await.map(drop).context("budgets can't be listed")
    }
}
