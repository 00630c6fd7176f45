//! The cluster that is measured: 100 pools, kube-system as on AKS, and the operator at the API server itself and at
//! ARM's door, which notes when a request arrives. Never measures anything.

use std::time::{Duration, SystemTime};

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use nodepool_operator::api::{ConditionStatus, NodePoolPolicy, condition};
use serde_json::{Value, json};
use testbed::control_plane::Options;
use testbed::{ControlPlane, Operator, Testbed, wait_for};

use crate::table::say;
use crate::watch::is;

/// Beside the system pool.
pub(crate) const USER_POOLS: usize = 99;

/// Operations end at once, so that ARM's own time is no part of any figure.
const TIME_SCALE: f64 = 1_000_000.0;

/// As quick a look at a running operation as an ARM that answers at once is worth, and no budget for so many changes an
/// hour as nobody makes.
const ARGUMENTS: [&str; 6] =
    ["--arm-poll-seconds", "0.1", "--arm-request-share", "10000", "--system-node-ready-seconds", "0.5"];

pub(crate) struct Scene {
    pub(crate) bed: Testbed,
    pub(crate) client: Client,
    pub(crate) policies: Api<NodePoolPolicy>,
}

/// The name of a user pool and of its policy.
pub(crate) fn pool(number: usize) -> String {
    format!("apps{number}")
}

impl Scene {
    /// Starts the cluster; the operator is installed, but does not run.
    pub(crate) async fn begin() -> anyhow::Result<Self> {
        say("starting a control plane with 100 pools");
        let control_plane = ControlPlane::start(Options::default()).await?;
        let mut builder = Testbed::builder(control_plane).pool(PoolSpec::system("system", 3));
        for number in 0..USER_POOLS {
            builder = builder.pool(PoolSpec::user(&pool(number), 0));
        }
        let bed = builder.emulator(|settings| settings.time_scale = TIME_SCALE).start().await?;
        let client = bed.cluster.client();
        testbed::operator::install(&client).await?;
        Ok(Self { policies: Api::all(client.clone()), client, bed })
    }

    /// Starts the operator with further arguments.
    pub(crate) async fn operator(&self, arguments: &[&str]) -> anyhow::Result<Operator> {
        let options = self.bed.operator_options(env!("CARGO_BIN_EXE_nodepool-operator"));
        let options = options.at_api_server(self.bed.control_plane().url());
        self.bed.start_operator(options.arguments(&ARGUMENTS).arguments(arguments)).await
    }

    /// Applies a policy as `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, name: &str, spec: Value) -> anyhow::Result<NodePoolPolicy> {
        let policy = json!({
            "apiVersion": "aks.nodepool.dev/v1alpha1", "kind": "NodePoolPolicy", "metadata": {"name": name}, "spec": spec,
        });
        let applied = self.policies.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(&policy)).await;
        applied.with_context(|| format!("policy {name} was refused"))
    }

    /// Applies many, eight at a time.
    pub(crate) async fn apply_all(&self, policies: Vec<(String, Value)>) -> anyhow::Result<()> {
        let applied = futures::stream::iter(policies).map(async |(name, spec)| self.apply(&name, spec).await);
        applied.buffer_unordered(8).try_for_each(|_| std::future::ready(Ok(()))).await
    }

    /// Waits until every policy is Ready or waits for a person.
    pub(crate) async fn at_rest(&self) -> anyhow::Result<()> {
        wait_for("every policy to be at rest", Duration::from_mins(5), async || {
            let all = self.policies.list(&ListParams::default()).await?.items;
            let moving: Vec<String> = all.iter().filter(|policy| !rests(policy)).map(ResourceExt::name_any).collect();
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(if moving.is_empty() { Ok(()) } else { Err(moving.join(", ")) })
        })
        .await
    }

    /// Waits until ARM was asked so often more.
    pub(crate) async fn looks(&self, times: usize) -> anyhow::Result<()> {
        let passed = self.bed.arm.journal().len();
        wait_for("the operator to read ARM", Duration::from_mins(1), async || {
            let more = self.bed.arm.journal().len() - passed;
            Ok(if more >= times { Ok(()) } else { Err(format!("{more} reads")) })
        })
        .await
    }

    /// Deletes every policy.
    pub(crate) async fn delete_all(&self) -> anyhow::Result<()> {
        self.policies.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        wait_for("the policies to be gone", Duration::from_mins(1), async || {
            let left = self.policies.list_metadata(&ListParams::default()).await?.items.len();
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are there")) })
        })
        .await
    }

    /// When the write of a pool arrived at ARM, of those after the first `passed` requests.
    pub(crate) fn written_at(&self, pool: &str, passed: usize) -> anyhow::Result<SystemTime> {
        let ending = format!("/agentPools/{pool}");
        let mut passages = self.bed.arm.journal().into_iter().skip(passed);
        let write = passages.find(|passage| passage.request.is_write() && passage.request.path.ends_with(&ending));
        Ok(write.with_context(|| format!("pool {pool} was not written"))?.at)
    }
}

fn rests(policy: &NodePoolPolicy) -> bool {
    policy.status.as_ref().is_some_and(|status| {
        let rests = [condition::READY, condition::STALLED].iter().any(|it| is(status, it, ConditionStatus::True));
        rests && status.observed_generation == policy.metadata.generation
    })
}
