//! The operator's own life: restarted, killed and told to stop at the worst moment; policies that go.

use anyhow::bail;
use futures::{TryStreamExt as _, pin_mut};
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use nodepool_operator::api::{NodePoolPolicy, condition};
use serde_json::json;
use testbed::door::Request;
use testbed::{Lane, Match, wait_for};

use super::support::{DEADLINE, Scene, Story, holds, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("restart_in_the_middle_of_a_scale_without_a_second_write", restart),
        story("restart_without_a_word_about_what_is_as_it_was_told", unchanged),
        story("remember_owned_labels_over_a_crash_at_the_write", crash_at_the_write),
        story("a_lost_answer_is_looked_up_and_not_repeated", lost_answer),
        story("a_write_that_never_arrived_is_made_again", lost_request),
        story("finish_the_step_in_hand_when_told_to_stop", stop),
        story("leave_the_pool_alone_when_its_policy_is_deleted", deleted),
        story("a_policy_that_changes_while_others_are_worked_on_is_not_called_ready", changed_meanwhile),
    ]
}

async fn restart(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    held.arrived().await;
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene.looks_again().await?;
    held.release();
    let status = scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 3}))]);
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes.last(), Some(&"Succeeded"), "the end is recorded although another process began it");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn unchanged(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    scene.stalled("system", "LastHealthySystemPool").await?;
    let told = (scene.find("apps").await?, scene.find("system").await?);
    // In a large cluster it takes seconds until all pods are listed.
    let is_list = |request: &Request| request.path.ends_with("/kube-system/pods") && !request.query.contains("watch=");
    let held = scene.bed.api.hold(Match::method("GET").when(is_list));
    scene.operator.restart().await?;
    held.arrived().await?;
    scene.looks_again().await?;
    assert_eq!((scene.find("apps").await?, scene.find("system").await?), told, "nothing is known that was not told");
    held.release();
    scene.is_quiet().await?;
    assert_eq!((scene.find("apps").await?, scene.find("system").await?), told);
    scene.delete("system").await?;
    Ok(scene)
}

async fn crash_at_the_write(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    let held = scene.bed.arm.hold(Match::method("PUT"));
    scene.apply(policy("apps", json!({"labels": {"a": "1"}}))).await?;
    held.arrived().await?;
    let status = scene.status("apps").await?;
    assert_eq!(status.owned_labels, ["a"], "what is owned is stored before the write");
    held.release();
    wait_for("the write to arrive", DEADLINE, async || {
        Ok(if scene.writes().len() == 1 { Ok(()) } else { Err("it has not") })
    })
    .await?;
    scene.operator.kill().await?;
    scene.apply(policy("apps", json!({"labels": {}}))).await?;
    scene.bed.emulator.idle().await;
    scene.operator.restart().await?;
    scene.ready("apps").await?;
    assert!(scene.in_arm("apps", "nodeLabels")["a"].is_null(), "the label goes although its writer crashed");
    Ok(scene)
}

async fn lost_answer(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let lost = scene.bed.arm.drop_answer(Match::method("PUT").times(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    lost.arrived().await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))], "it was done, so it is not done again");
    Ok(scene)
}

async fn lost_request(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let lost = scene.bed.arm.drop_request(Match::method("PUT").times(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    lost.arrived().await?;
    let status = scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))]);
    let outcomes: Vec<&str> = status.history.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(outcomes, ["Unknown", "NotDone", "Started", "Succeeded"]);
    Ok(scene)
}

async fn stop(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster(lane).await?;
    let held = scene.bed.arm.hold(Match::method("PUT"));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    held.arrived().await?;
    let log = scene.operator.log_file().to_owned();
    let (ended, released) = tokio::join!(scene.operator.terminate(), async {
        let heard = wait_for("the operator to hear that it is to stop", DEADLINE, async || {
            let heard = std::fs::read_to_string(&log)?.contains("told to stop");
            Ok(if heard { Ok(()) } else { Err("it has not") })
        });
        heard.await.map(|()| held.release())
    });
    released?;
    assert_eq!(ended?, 0);
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))], "the write in hand is made");
    let status = scene.status("apps").await?;
    assert_eq!(status.history.last().map(|entry| entry.outcome.as_str()), Some("Started"), "and recorded");
    Ok(scene)
}

async fn deleted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2, "labels": {"a": "1"}}))).await?;
    scene.ready("apps").await?;
    let written = scene.writes();
    scene.delete("apps").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes(), written);
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"a": "1"}));
    scene.bed.cluster.wait_for_ready_nodes("apps", 2).await?;
    Ok(scene)
}

async fn changed_meanwhile(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.apply(policy("system", json!({"labels": {}}))).await?;
    scene.ready("apps").await?;
    scene.ready("system").await?;
    // A pass is held between its plan and its report, and meanwhile the policy of another pool changes.
    let pass = scene.bed.api.hold(Match::method("PATCH").path_ends_with("/nodepoolpolicies/apps").times(1));
    let next = scene.bed.arm.hold(Match::method("PUT").path_ends_with("/agentPools/system"));
    scene.apply(policy("apps", json!({"count": 1, "deletionPolicy": "Delete"}))).await?;
    pass.arrived().await?;
    let changed = scene.apply(policy("system", json!({"labels": {"tier": "a"}}))).await?;
    told_to_watchers(&scene, &changed).await?;
    pass.release();
    next.arrived().await?;
    let status = scene.status("system").await?;
    let is_about_the_change = status.observed_generation == changed.metadata.generation;
    assert!(!(is_about_the_change && holds(&status, condition::READY)), "{status:?}");
    next.release();
    scene.ready("system").await?;
    assert_eq!(scene.in_arm("system", "nodeLabels"), json!({"tier": "a"}));
    scene.ready("apps").await?;
    Ok(scene)
}

/// Waits until the API server has told its watchers of a policy as it is now.
async fn told_to_watchers(scene: &Scene, policy: &NodePoolPolicy) -> anyhow::Result<()> {
    let api = Api::<NodePoolPolicy>::all(scene.bed.cluster.client());
    let events = api.watch(&WatchParams::default(), "0").await?;
    pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(told) | WatchEvent::Modified(told) = event
            && told.metadata.name == policy.metadata.name
            && told.metadata.generation == policy.metadata.generation
        {
            return Ok(());
        }
    }
    bail!("the watch ended before the policy was told")
}
