//! The kernel held to Kubernetes itself, on real control planes with random objects. Placement: for each pod the kernel
//! says where it could run, and the scheduler decides. Taints: the kernel names the pods that `NoExecute` taints evict,
//! and the taint manager evicts. Disruption budgets: the kernel says whether a pod may be evicted, and the API server
//! evicts or refuses.
//!
//! `NODEPOOL_DIFFERENTIAL` says how many pods are placed (300 by default), `NODEPOOL_EVICTIONS` how many nodes are tainted
//! and how many evictions tried (50 each), `NODEPOOL_SEED` which worlds.

#![expect(clippy::indexing_slicing, reason = "objects are written as JSON, and an absent field of it is null")]

mod budgets;
mod dice;
mod generate;
mod judge;
mod no_execute;
mod stage;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use judge::{Comparison, Opinion, Tally};
use kube::Client;
use libtest_mimic::{Arguments, Failed, Trial};
use stage::{Decision, Decisions, Stage};
use testbed::ControlPlane;
use testbed::control_plane::Options;

/// Worlds that are looked at side by side.
const SLOTS: usize = 12;

/// How often a pod is asked for again when the two differ: what the scheduler had not seen yet does not count.
const AGAIN: usize = 2;

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("placement_agrees_with_the_scheduler", compare),
        trial("no_execute_agrees_with_the_taint_manager", no_execute::compare),
        trial("evictions_agree_with_the_api_server", budgets::compare),
    ];
    libtest_mimic::run(&arguments, trials).exit()
}

fn trial<F>(name: &str, compare: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = anyhow::Result<()>>,
{
    Trial::test(name, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(compare()).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn number(variable: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(variable) {
        Err(_) => Ok(default),
        Ok(text) => text.parse().with_context(|| format!("{variable}={text:?} is not a number")),
    }
}

async fn compare() -> anyhow::Result<()> {
    let (wanted, seed) = (number("NODEPOOL_DIFFERENTIAL", 300)?, number("NODEPOOL_SEED", 1)?);
    let control_plane = ControlPlane::start(Options::default()).await?;
    let client = control_plane.client();
    stage::late_class(&client).await?;
    let run = Run {
        decisions: Decisions::watch(client.clone()),
        client,
        seed,
        wanted: usize::try_from(wanted)?,
        next: AtomicU64::new(0),
        tally: Mutex::default(),
    };
    futures::future::try_join_all((0..SLOTS).map(|slot| run.slot(slot))).await?;
    let tally = run.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("NODEPOOL_SEED={seed}: {tally}");
    ensure!(
        tally.unsafe_.is_empty(),
        "the kernel sees places that the scheduler does not:\n{}",
        tally.unsafe_.join("\n")
    );
    ensure!(
        tally.unexplained().is_empty(),
        "the kernel is stricter for no stated reason:\n{}",
        tally.unexplained().join("\n")
    );
    ensure!(tally.strict() * 100 < tally.decisions, "the kernel is too strict: {:?}", tally.stricter);
    Ok(())
}

struct Run {
    client: Client,
    decisions: Decisions,
    seed: u64,
    wanted: usize,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

impl Run {
    /// Plays one world after the other until enough pods were looked at.
    async fn slot(&self, slot: usize) -> anyhow::Result<()> {
        let namespaces = stage::namespaces(&self.client, slot).await?;
        while self.with_tally(|tally| tally.decisions) < self.wanted {
            let world = self.next.fetch_add(1, Ordering::SeqCst);
            self.play(world, &namespaces).await.with_context(|| format!("seed {}, world {world}", self.seed))?;
        }
        Ok(())
    }

    async fn play(&self, world: u64, namespaces: &[String; 2]) -> anyhow::Result<()> {
        let plan = generate::plan(self.seed, world, namespaces.clone());
        let mut stage = Stage::set(&self.client, &plan, namespaces.clone()).await?;
        for pending in &plan.pending {
            if self.with_tally(|tally| tally.decisions) >= self.wanted {
                break;
            }
            self.place(&mut stage, pending, namespaces).await?;
        }
        self.with_tally(|tally| tally.worlds += 1);
        stage.strike().await
    }

    /// Lets both decide about one pod; one that was bound stays for the ones after it.
    async fn place(
        &self,
        stage: &mut Stage,
        pending: &serde_json::Value,
        namespaces: &[String; 2],
    ) -> anyhow::Result<()> {
        for attempt in 0..=AGAIN {
            let storage = stage.storage().await?;
            let pod = stage.submit(pending).await?;
            let opinion = Opinion::of(stage, storage, namespaces, &pod)?;
            let mut decision = self.decisions.of(&pod).await?;
            if matches!(opinion.compare(&decision), Comparison::Unsafe(_)) {
                decision = self.decisions.settled(&pod).await?;
            }
            if attempt < AGAIN && opinion.compare(&decision).may_be_early() {
                self.with_tally(|tally| tally.asked_again += 1);
                stage.withdraw(&pod).await?;
                continue;
            }
            self.with_tally(|tally| tally.count(&opinion, &decision));
            match decision {
                Decision::Refused(_) => stage.withdraw(&pod).await?,
                Decision::Bound(node) => {
                    let mut pod = pod;
                    pod.spec.get_or_insert_default().node_name = Some(node);
                    stage.running.push(pod);
                }
            }
            return Ok(());
        }
        bail!("a pod was never counted")
    }

    fn with_tally<T>(&self, f: impl FnOnce(&mut Tally) -> T) -> T {
        f(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
