//! Two replicas while policies change and whatever can befall a replica befalls one at a moment that a seed draws: every policy
//! comes to its end, and no change is asked for without the lease.

use std::fmt;
use std::io::Write as _;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::door::{Door, Held};
use testbed::{Lane, Match, Testbed, wait_for};

use super::replicas::{Pair, Which, plain_pair};
use super::support::{DEADLINE, Scene, Story, policy, story};
use super::table::seed;

/// How many runs there are in all.
const RUNS: &str = "NODEPOOL_SOAK";

/// How many without [`RUNS`].
const FEW: u64 = 10;

pub fn stories() -> Vec<Story> {
    vec![
        story("two_replicas_come_to_their_end_whatever_befalls_them", |lane| told(lane, 0)),
        story("two_replicas_come_to_their_end_whatever_else_befalls_them", |lane| told(lane, 1)),
    ]
}

/// What befalls a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    ToldToStop,
    /// Until the other one leads.
    Paused,
    /// Until it has ended.
    CutFromApiServer,
    /// For some renewals of its lease.
    CutFromArm,
    LeaseDeleted,
    LeaseTaken,
}

impl Fate {
    const ALL: [Self; 7] = [
        Self::Killed,
        Self::ToldToStop,
        Self::Paused,
        Self::CutFromApiServer,
        Self::CutFromArm,
        Self::LeaseDeleted,
        Self::LeaseTaken,
    ];
}

/// When it does: with which request of the replica on its way, and whether that arrives before or after what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// To ARM, or else to the API server.
    arm: bool,
    /// How many writes pass before it.
    nth: usize,
    /// It arrives when the other replica works already.
    late: bool,
}

/// One blow of a run.
#[derive(Debug, Clone, Copy)]
struct Blow {
    fate: Fate,
    moment: Moment,
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { arm, nth, late } = self.moment;
        let (door, late) = (if arm { "ARM" } else { "the API server" }, if late { ", which arrives late" } else { "" });
        write!(f, "{:?} at write {nth} to {door}{late}", self.fate)
    }
}

fn drawn(dice: &mut Rng) -> Blow {
    let fate = dice.choice(Fate::ALL).unwrap_or(Fate::Killed);
    let arm = dice.bool();
    let nth = if arm { 0 } else { dice.usize(0..3) };
    Blow { fate, moment: Moment { arm, nth, late: dice.bool() } }
}

/// Every second run, on one cluster.
async fn told(lane: Lane, first: u64) -> anyhow::Result<Scene> {
    let runs = std::env::var(RUNS).map_or(Ok(FEW), |runs| runs.parse().context("NODEPOOL_SOAK is not a number"))?;
    let mut pair = plain_pair(Testbed::builder(lane)).await?;
    let mut befell = [0; Fate::ALL.len()];
    for run in (first..runs).step_by(2) {
        let number = seed()?.wrapping_add(run);
        let mut dice = Rng::with_seed(number);
        let blows: Vec<Blow> = (0..dice.usize(1..4)).map(|_| drawn(&mut dice)).collect();
        let words: Vec<String> = blows.iter().map(ToString::to_string).collect();
        tell(&mut pair, &mut dice, &blows)
            .await
            .with_context(|| format!("NODEPOOL_SEED={number} NODEPOOL_SOAK=1 tells it alone: {}", words.join("; ")))?;
        for (count, fate) in befell.iter_mut().zip(Fate::ALL) {
            *count += blows.iter().filter(|blow| blow.fate == fate).count();
        }
    }
    let told: Vec<String> = befell.iter().zip(Fate::ALL).map(|(count, fate)| format!("{fate:?} {count}")).collect();
    writeln!(std::io::stderr(), "two replicas, every second of {runs} runs: {}", told.join(", "))?;
    pair.ends().await
}

async fn tell(pair: &mut Pair, dice: &mut Rng, blows: &[Blow]) -> anyhow::Result<()> {
    for blow in blows {
        let wished = wish(pair, dice).await?;
        strike(pair, *blow).await.with_context(|| format!("at {blow}"))?;
        pair.restart_what_ended().await?;
        fulfilled(pair, &wished).await.with_context(|| format!("after {blow}"))?;
    }
    pair.one_worked_at_a_time()
}

/// Applies policies of both pools that ask for something new, and tells what they ask for.
async fn wish(pair: &Pair, dice: &mut Rng) -> anyhow::Result<[(&'static str, Value); 2]> {
    let present = pair.scene.in_arm("apps", "count").as_u64().unwrap_or(1);
    let tier = json!({"tier": format!("t{}", dice.u32(..))});
    let wished = [("apps", json!({"count": present % 3 + 1, "labels": tier})), ("system", json!({"labels": tier}))];
    for (name, spec) in &wished {
        pair.scene.apply(policy(name, spec.clone())).await?;
    }
    Ok(wished)
}

/// Waits until both policies are Ready, and sees that ARM has what they ask for.
async fn fulfilled(pair: &Pair, wished: &[(&'static str, Value); 2]) -> anyhow::Result<()> {
    for (name, spec) in wished {
        let ends = async || -> anyhow::Result<()> {
            pair.scene.ready(name).await?;
            let labels = pair.scene.in_arm(name, "nodeLabels");
            ensure!(labels["tier"] == spec["labels"]["tier"], "{name} has the labels {labels}");
            let count = pair.scene.in_arm(name, "count");
            ensure!(spec["count"].is_null() || count == spec["count"], "{name} has {count} nodes");
            Ok(())
        };
        // A late write without an eTag may undo it for a moment; whoever leads makes it good.
        if ends().await.is_err() {
            pair.scene.looks_again().await?;
            ends().await?;
        }
    }
    Ok(())
}

/// Waits for the moment, and lets it happen.
async fn strike(pair: &mut Pair, blow: Blow) -> anyhow::Result<()> {
    let Blow { fate, moment } = blow;
    let leader = pair.leader().await?;
    let door = if moment.arm { pair.arm(leader) } else { pair.api(leader) };
    let held = hold(door, moment.nth);
    // What is asked for may be done with fewer writes.
    let arrived = tokio::time::timeout(std::time::Duration::from_secs(3), held.arrived()).await;
    let held = (arrived.is_ok() && moment.late).then_some(held);
    befall(pair, leader, fate).await?;
    drop(held);
    Ok(())
}

fn hold(door: &Door, nth: usize) -> Held {
    let passed = std::sync::atomic::AtomicUsize::new(0);
    let fits = move |_: &testbed::door::Request| passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth;
    door.hold(Match::writes().when(fits))
}

async fn befall(pair: &mut Pair, leader: Which, fate: Fate) -> anyhow::Result<()> {
    match fate {
        Fate::Killed => pair.operator(leader).kill().await?,
        Fate::ToldToStop => {
            let code = pair.operator(leader).terminate().await?;
            ensure!(code == 0, "told to stop it ended with {code}");
        }
        Fate::Paused => {
            pair.operator(leader).pause();
            pair.leads(leader.other()).await?;
            pair.operator(leader).go_on();
            let code = pair.operator(leader).wait(DEADLINE).await?;
            ensure!(code == 1, "a leader that slept over its lease ended with {code}");
            return Ok(());
        }
        Fate::CutFromApiServer => {
            let cut = pair.api(leader).drop_request(Match::any());
            let code = pair.operator(leader).wait(DEADLINE).await?;
            ensure!(code == 1, "a leader that could not renew its lease ended with {code}");
            drop(cut);
        }
        Fate::CutFromArm => {
            let cut = pair.arm(leader).drop_request(Match::any());
            renewed(pair, leader, 3).await?;
            drop(cut);
            return Ok(());
        }
        Fate::LeaseDeleted => {
            pair.lease().delete("nodepool-operator", &DeleteParams::default()).await?;
            return renewed(pair, leader, 2).await;
        }
        Fate::LeaseTaken => {
            let theirs = Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
            pair.lease().patch("nodepool-operator", &PatchParams::default(), &theirs).await?;
            let code = pair.operator(leader).wait(DEADLINE).await?;
            ensure!(code == 1, "a leader whose lease was taken ended with {code}");
        }
    }
    pair.leads(leader.other()).await
}

async fn renewed(pair: &Pair, leader: Which, times: usize) -> anyhow::Result<()> {
    let before = pair.renewals_of(leader);
    wait_for("the leader to renew its lease", DEADLINE, async || {
        let more = pair.renewals_of(leader) - before;
        Ok(if more >= times { Ok(()) } else { Err(format!("{more} times")) })
    })
    .await
}
