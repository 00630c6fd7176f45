//! A crash at every kind of side effect of a drain: the operator is killed before and after each, and started again. What was
//! planned is done, nothing twice, and no node is left behind. Never asks how far a process had come.

use std::collections::BTreeSet;
use std::mem::replace;

use nodepool_operator::api::{DRAIN_ANNOTATION, outcome};
use serde_json::{Value, json};
use testbed::door::{Held, Request};
use testbed::{Lane, Match, wait_for};

use super::autoscaler::{demoted, turned_on, two_system_pools};
use super::deletion_drains::{only_its_deletion, two_pools};
use super::drains::{
    ends_with, evicted_by_operator, evicted_once, five_nodes, homes, is_cordoned, is_marked, is_open, marked,
    removed_only, scaled_to,
};
use super::support::{DEADLINE, Scene, Story, holds, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("a_drain_goes_on_after_a_crash_before_and_after_each_of_its_effects", drains),
        story("a_drain_is_given_up_whenever_the_operator_crashes", gives_up),
        story("the_autoscaler_is_on_again_wherever_the_operator_crashes_in_a_drain", autoscaled),
        story("a_deletion_goes_on_after_a_crash_before_and_after_each_of_its_effects", deletes),
        story("a_removal_that_never_arrived_is_made_again", lost_request),
        story("a_removal_whose_answer_is_lost_is_looked_up_and_not_repeated", lost_answer),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The request has been sent, and never comes to be handled.
    Before,
    /// It has been handled, and its answer is on the way.
    After,
}

/// The kinds of effects at which the operator was killed, and when.
type Killed = BTreeSet<(String, Moment)>;

/// What a request does to the world outside, in words; nothing if it only reads.
fn effect(request: &Request) -> Option<String> {
    if !request.is_write() {
        return None;
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(if request.path.ends_with("/eviction") {
        "pod evicted".to_owned()
    } else if request.path.ends_with("/deleteMachines") {
        "machines removed".to_owned()
    } else if request.method == "DELETE" {
        "pool deleted".to_owned()
    } else if request.path.ends_with("/events") {
        format!("event {}", text(&body["reason"]))
    } else if request.path.ends_with("/status") {
        let status = &body["status"];
        let last = status["history"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
        let step = text(&last["step"]);
        format!("status with {} {}", step.split(' ').next().unwrap_or_default(), text(&last["outcome"]))
    } else if request.path.contains("/api/v1/nodes/") {
        let opens = body["metadata"]["annotations"][DRAIN_ANNOTATION].is_null();
        (if opens { "node opened" } else { "node cordoned" }).to_owned()
    } else {
        match (&body["properties"]["mode"], &body["properties"]["enableAutoScaling"]) {
            (Value::Null, Value::Bool(true)) => "autoscaler turned on".to_owned(),
            (Value::Null, Value::Bool(false)) => "autoscaler turned off".to_owned(),
            (Value::String(_), Value::Null) => "mode changed".to_owned(),
            _ => format!("{} {}", request.method, request.path),
        }
    })
}

/// The next effect of a kind at which the operator has not been killed at that moment. After each only if before it already.
fn next(killed: &Killed, moment: Moment) -> Match {
    let killed = killed.clone();
    let fits = move |request: &Request| {
        effect(request).is_some_and(|effect| {
            let before = killed.contains(&(effect.clone(), Moment::Before));
            let after = killed.contains(&(effect, Moment::After));
            if moment == Moment::Before { !before } else { before && !after }
        })
    };
    Match::writes().when(fits).times(1)
}

/// Runs the operator again and again, and kills it each time at an effect at which it has not been killed, until `is_over`.
async fn kill_at_each_effect(
    scene: &mut Scene,
    is_over: impl AsyncFn(&Scene) -> anyhow::Result<bool>,
) -> anyhow::Result<Killed> {
    let mut killed = Killed::new();
    // Requests of a process that is dead are let go when the next has died, so that none comes to be handled.
    let mut dead: Vec<Held> = Vec::new();
    loop {
        let (api, arm) = (&scene.bed.api, &scene.bed.arm);
        let (before, after) = (|| next(&killed, Moment::Before), || next(&killed, Moment::After));
        let held = vec![
            (Moment::Before, api.hold(before())),
            (Moment::After, api.hold_answer(after())),
            (Moment::Before, arm.hold(before())),
            (Moment::After, arm.hold_answer(after())),
        ];
        scene.operator.restart().await?;
        let arrived = wait_for("an effect, or the end", DEADLINE, async || {
            let arrived = held.iter().position(|(_, held)| held.count() > 0);
            if arrived.is_none() && !is_over(scene).await? {
                let status = scene.find("system").await?.map(|policy| policy.status);
                return Ok(Err(serde_json::to_string_pretty(&status)?));
            }
            Ok(Ok(arrived))
        });
        let Some((moment, at)) = arrived.await?.and_then(|index| held.get(index)) else { return Ok(killed) };
        let request = at.arrived().await?;
        scene.operator.kill().await?;
        killed.extend(effect(&request).map(|effect| (effect, *moment)));
        let of_the_dead = held.into_iter().map(|(_, held)| held).filter(|held| held.count() > 0);
        drop(replace(&mut dead, of_the_dead.collect()));
    }
}

/// Sees that it was killed before and after all of these.
fn was_killed_at(killed: &Killed, effects: &[&str]) {
    for effect in effects {
        for moment in [Moment::Before, Moment::After] {
            assert!(killed.contains(&((*effect).to_owned(), moment)), "{moment:?} {effect}: {killed:?}");
        }
    }
}

async fn drains(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = five_nodes(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    scene.operator.kill().await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    let is_over = async |scene: &Scene| {
        let ready = holds(&scene.status("system").await?, "Ready");
        Ok(ready && scene.nodes("system").await?.len() == 3)
    };
    let killed = kill_at_each_effect(&mut scene, is_over).await?;
    was_killed_at(&killed, &["node cordoned", "pod evicted", "machines removed", "status with evict Succeeded"]);

    let left: BTreeSet<String> = scene.node_names("system").await?.into_iter().collect();
    let gone: BTreeSet<String> = homes.keys().filter(|node| !left.contains(*node)).cloned().collect();
    evicted_once(&scene, &homes, &gone);
    removed_only(&scene, &gone);
    assert_eq!(scene.in_arm("system", "count"), 3);
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn gives_up(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = five_nodes(lane, &["--drain-deadline-seconds", "2", "--retry-seconds", "3600"]).await?;
    // No eviction ever reaches the API server.
    let _lost = scene.bed.api.drop_request(Match::method("POST").path_contains("/eviction"));
    scene.operator.kill().await?;
    scene.apply(scaled_to(3, "Relocate")).await?;
    let is_over = async |scene: &Scene| {
        let attempt = scene.status("system").await?.attempt;
        let is_open = scene.nodes("system").await?.iter().all(|node| !is_cordoned(node) && !is_marked(node));
        Ok(is_open && attempt.is_some_and(|attempt| attempt.outcome == outcome::GIVEN_UP))
    };
    let killed = kill_at_each_effect(&mut scene, is_over).await?;
    was_killed_at(&killed, &["node cordoned", "status with drain GivenUp", "node opened"]);
    // Nothing begins anew before the next attempt is due.
    scene.looks_again().await?;
    is_open(&scene, "system").await?;
    assert_eq!((evicted_by_operator(&scene)?, scene.writes()), (vec![], vec![]));
    assert_eq!(scene.status("system").await?.attempt.map(|attempt| attempt.failures), Some(1));
    Ok(scene)
}

async fn autoscaled(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = two_system_pools(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    scene.operator.kill().await?;
    scene.apply(policy("system", demoted())).await?;
    let is_over = async |scene: &Scene| {
        let status = scene.status("system").await?;
        let is_as_asked = status.observed_generation == Some(1) && holds(&status, "Ready") && holds(&status, "InSync");
        Ok(is_as_asked && scene.in_arm("system", "enableAutoScaling") == true)
    };
    let killed = kill_at_each_effect(&mut scene, is_over).await?;
    let writes = [json!({"enableAutoScaling": false}), json!({"mode": "User"}), turned_on(2, 5)];
    was_killed_at(&killed, &["autoscaler turned off", "mode changed", "autoscaler turned on"]);
    was_killed_at(&killed, &["node cordoned", "pod evicted", "node opened"]);
    assert_eq!(scene.writes(), writes.map(|changed| write("system", changed)), "nothing twice");
    evicted_once(&scene, &homes, &homes.keys().cloned().collect());
    is_open(&scene, "system").await?;
    Ok(scene)
}

async fn deletes(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = two_pools(lane, &[]).await?;
    let homes = homes(&scene, "system").await?;
    scene.operator.kill().await?;
    scene.begin_deletion("system").await?;
    let is_over = async |scene: &Scene| Ok(scene.find("system").await?.is_none());
    let killed = kill_at_each_effect(&mut scene, is_over).await?;
    was_killed_at(&killed, &["node cordoned", "pod evicted", "pool deleted", "status with evict Succeeded"]);
    evicted_once(&scene, &homes, &homes.keys().cloned().collect());
    only_its_deletion(&scene, "system");
    assert_eq!(scene.bed.emulator.pool("system"), None);
    Ok(scene)
}

/// The outcomes of the removal of machines, as the history tells them.
async fn told_of_the_removal(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let history = scene.status("system").await?.history;
    Ok(history.into_iter().filter(|entry| entry.step.starts_with("remove ")).map(|entry| entry.outcome).collect())
}

async fn lost_request(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = five_nodes(lane, &[]).await?;
    let lost = scene.bed.arm.drop_request(Match::method("POST").path_ends_with("/deleteMachines").times(1));
    // The operator crashes when it has told that it does not know what became of it.
    let is_told = |request: &Request| effect(request).as_deref() == Some("status with remove Unknown");
    let told = scene.bed.api.hold_answer(Match::method("PATCH").when(is_told).times(1));
    scene.apply(scaled_to(4, "Relocate")).await?;
    let going = marked(&scene, 1).await?;
    wait_for("the outcome to be told", DEADLINE, async || {
        Ok(if told.count() > 0 { Ok(()) } else { Err(serde_json::to_string_pretty(&scene.status("system").await?)?) })
    })
    .await?;
    scene.operator.kill().await?;
    told.release();
    scene.operator.restart().await?;
    ends_with(&scene, 4).await?;
    let outcomes = told_of_the_removal(&scene).await?;
    assert_eq!((lost.count(), &outcomes.join(" ")[..]), (1, "Unknown NotDone Started Succeeded"));
    removed_only(&scene, &going);
    Ok(scene)
}

async fn lost_answer(lane: Lane) -> anyhow::Result<Scene> {
    let scene = five_nodes(lane, &[]).await?;
    let lost = scene.bed.arm.drop_answer(Match::method("POST").path_ends_with("/deleteMachines").times(1));
    scene.apply(scaled_to(4, "Relocate")).await?;
    let going = marked(&scene, 1).await?;
    ends_with(&scene, 4).await?;
    let outcomes = told_of_the_removal(&scene).await?;
    assert_eq!((lost.count(), &outcomes.join(" ")[..]), (1, "Unknown Succeeded"));
    removed_only(&scene, &going);
    Ok(scene)
}
