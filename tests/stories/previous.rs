//! An upgrade of the operator itself: what the build before this one left is taken over. Told where `NODEPOOL_PREVIOUS` names
//! the folder that `tools/previous` made; never says which build that is.

use std::path::PathBuf;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;
use nodepool_operator::api::NodePoolPolicyStatus;
use serde_json::json;
use testbed::{Lane, Match, Operator, OperatorOptions, Testbed};

use super::drains::{deploy, ends_with, evicted_by_operator, evicted_once, homes, marked, scaled_to};
use super::support::{QUICK, Scene, Story, binary, policy, story, write};

/// The folder of the previous build: `source`, its checkout, and `nodepool-operator`, its executable.
const PREVIOUS: &str = "NODEPOOL_PREVIOUS";
/// Short enough that the next process need not wait long for the lease of one that was killed.
const LEASE: [&str; 4] = ["--lease-seconds", "6", "--arm-write-timeout-seconds", "2"];

pub fn stories() -> Vec<Story> {
    let killed = story("an_upgrade_of_the_operator_goes_on_with_a_drain_that_the_build_before_left_half_way", killed);
    let ended =
        story("an_upgrade_of_the_operator_changes_nothing_where_all_is_as_asked_and_it_can_be_taken_back", ended);
    vec![killed.told_where_set(PREVIOUS), ended.told_where_set(PREVIOUS)]
}

/// The build before this one, with the manifests that it came with.
fn previous(bed: &Testbed) -> anyhow::Result<OperatorOptions> {
    let folder = PathBuf::from(std::env::var_os(PREVIOUS).context(PREVIOUS)?);
    let mut options = bed.operator_options(folder.join("nodepool-operator")).arguments(&QUICK).arguments(&LEASE);
    options.checkout = folder.join("source");
    Ok(options)
}

/// This build.
fn next(bed: &Testbed) -> OperatorOptions {
    bed.operator_options(binary()).arguments(&QUICK).arguments(&LEASE)
}

/// A system pool of five nodes with pods of kube-system on each and a user pool `apps`, where the previous build works and
/// never another one did.
async fn under_the_previous(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 5)).pool(PoolSpec::user("apps", 1));
    let bed = builder.start().await?;
    testbed::operator::remove(&bed.cluster.client()).await?;
    deploy(&bed, "kube-system", "spread", 5).await?;
    bed.wait_until_settled().await?;
    let operator = bed.start_operator(previous(&bed)?).await?;
    let scene = Scene::of(bed, operator);
    scene.apply(policy("apps", json!({"labels": {"team": "shop"}, "count": 2}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("absent", json!({"count": 1}))).await?;
    scene.stalled("absent", "PoolNotFound").await?;
    Ok(scene)
}

/// How a build is started.
type Build = fn(&Testbed) -> anyhow::Result<OperatorOptions>;

type Pairs = Vec<(String, String)>;

/// When each condition last changed, and what the history tells.
fn known(status: &NodePoolPolicyStatus) -> (Pairs, Pairs) {
    let conditions = status.conditions.iter().map(|it| (it.type_.clone(), it.last_transition_time.clone()));
    let history = status.history.iter().map(|it| (it.step.clone(), it.outcome.clone()));
    (conditions.collect(), history.collect())
}

async fn killed(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = under_the_previous(lane).await?;
    let (ready, absent) = (known(&scene.status("apps").await?), known(&scene.status("absent").await?));
    let homes = homes(&scene, "system").await?;
    let eviction = || Match::method("POST").path_contains("/eviction").times(1);
    let first = scene.bed.api.hold(eviction());
    scene.apply(scaled_to(3, "Relocate")).await?;
    first.arrived().await?;
    let going = marked(&scene, 2).await?;
    let second = scene.bed.api.hold(eviction());
    first.release();
    second.arrived().await?;
    scene.operator.kill().await?;
    second.release();
    ensure!(evicted_by_operator(&scene)?.len() == 1, "the drain was to stop half way");
    let draining = scene.status("system").await?;

    scene.operator = scene.bed.start_operator(next(&scene.bed)).await?;
    let status = ends_with(&scene, 3).await?;
    let left: Vec<String> = scene.nodes("system").await?.iter().map(kube::ResourceExt::name_any).collect();
    ensure!(left.iter().all(|node| !going.contains(node)), "{left:?} are left, {going:?} were to go");
    evicted_once(&scene, &homes, &going);
    let told: Vec<_> = known(&draining).1;
    ensure!(known(&status).1.starts_with(&told), "the history of the previous build goes on: {told:?} {status:?}");
    let (scaled, labelled) = (json!({"count": 2}), json!({"nodeLabels": {"team": "shop"}}));
    assert_eq!(scene.writes(), [write("apps", scaled), write("apps", labelled), removal(&going)], "nothing twice");
    assert_eq!(known(&scene.status("apps").await?), ready);
    assert_eq!(known(&scene.status("absent").await?), absent);
    Ok(scene)
}

fn removal(machines: &std::collections::BTreeSet<String>) -> super::support::Write {
    ("deleteMachines".to_owned(), json!({"machineNames": machines}))
}

async fn ended(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = under_the_previous(lane).await?;
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    scene.refused("system", "LastHealthySystemPool").await?;
    let wrote = scene.writes();
    let before = versions(&scene).await?;

    let builds: [(bool, Build); 3] = [(true, |bed| Ok(next(bed))), (false, previous), (true, |bed| Ok(next(bed)))];
    for (is_this, build) in builds {
        let told = scene.stalled("system", "LastHealthySystemPool").await?.conditions;
        replace(&mut scene, build).await?;
        scene.looks_again().await?;
        assert_eq!(scene.writes(), wrote, "nothing is written to ARM where all is as asked");
        assert_eq!(versions(&scene).await?, before, "nothing is written to their objects");
        // A process that has just begun does not know how long the add-ons run, and adds that to the rules that are broken.
        // What the build before says when it begins is its own affair.
        if is_this {
            assert_eq!(scene.status("system").await?.conditions, told, "it stays refused, word by word");
        }
    }
    // Whichever of them works works on.
    scene.apply(policy("apps", json!({"labels": {"team": "shop"}, "count": 1}))).await?;
    scene.until("apps", "to follow the change", |status| status.observed_generation == Some(2)).await?;
    scene.ready("apps").await?;
    scene.delete("system").await?;
    Ok(scene)
}

/// One build goes as a rollout ends it, and another comes.
async fn replace(scene: &mut Scene, build: Build) -> anyhow::Result<()> {
    let code = scene.operator.terminate().await?;
    ensure!(code == 0, "it ended with {code}: {}", scene.operator.log_tail(5));
    let started: Operator = scene.bed.start_operator(build(&scene.bed)?).await?;
    scene.operator = started;
    Ok(())
}

/// The versions of the policies that have nothing to be done: whoever writes an object changes its version.
async fn versions(scene: &Scene) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let mut versions = Vec::new();
    for name in ["absent", "apps"] {
        let found = scene.find(name).await?.with_context(|| format!("policy {name} is gone"))?;
        versions.push((found.name_any(), found.resource_version()));
    }
    Ok(versions)
}
