//! Edits by hand in ARM: corrected, or reported and left.

use aks_emulator::PoolSpec;
use nodepool_operator::api::{NodePoolPolicyStatus, REQUESTED_AT, condition};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{DEADLINE, Scene, Story, binary, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("look_at_once_when_asked_to", asked),
        story("correct_edits_by_hand", corrected),
        story("report_edits_by_hand_when_only_observing", observed),
        story("leave_a_suspended_policy_alone_and_go_on_when_it_is_resumed", suspended),
    ]
}

async fn corrected(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1, "taints": [], "labels": {"tier": "web"}}))).await?;
    scene.ready("apps").await?;
    let written = scene.writes().len();
    scene
        .edit_by_hand(
            "apps",
            json!({"nodeTaints": ["by=hand:NoSchedule"], "nodeLabels": {"tier": "api", "by": "hand"}}),
        )
        .await?;
    scene.bed.emulator.idle().await;
    testbed::wait_for("the edits to be corrected", DEADLINE, async || {
        let labels = scene.in_arm("apps", "nodeLabels");
        let done = labels["tier"] == "web" && scene.in_arm("apps", "nodeTaints").is_null();
        Ok(if done { Ok(()) } else { Err(labels.to_string()) })
    })
    .await?;
    let status = scene.ready("apps").await?;
    let told: Vec<(&str, &str)> =
        status.history.iter().map(|entry| (entry.field.as_str(), entry.outcome.as_str())).collect();
    let each = ["taints", "labels"].map(|field| [(field, "Started"), (field, "Succeeded")]);
    assert!(told.ends_with(each.as_flattened()), "the end of each step is told before the next begins: {told:?}");
    assert_eq!(
        scene.writes().split_off(written),
        [
            write("apps", json!({"nodeLabels": {"tier": "api", "by": "hand"}, "nodeTaints": []})),
            write("apps", json!({"nodeLabels": {"tier": "web", "by": "hand"}})),
        ],
        "one step has one purpose, and the label that nobody here named stays"
    );
    scene.told("apps", &["DriftFound", "DriftRepaired", "PlanMade", "StepStarted", "StepSucceeded"]).await?;
    scene.page("drift-repaired", "apps").await?;
    Ok(scene)
}

async fn observed(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"enforcement": "Observe", "count": 3}))).await?;
    let status = scene.ready("apps").await?;
    assert!(!holds(&status, condition::IN_SYNC), "{status:?}");
    assert!(message(&status, condition::IN_SYNC).contains("scale from 1 to 3 nodes"), "{status:?}");
    assert_eq!(status.drift.len(), 1);
    scene.edit_by_hand("apps", json!({"count": 2})).await?;
    scene
        .until("apps", "to report the edit", |status| {
            message(status, condition::IN_SYNC).contains("from 2 to 3") && holds(status, condition::READY)
        })
        .await?;
    scene.page("observe-only", "apps").await?;

    // What it would refuse it says, too.
    scene.apply(policy("system", json!({"enforcement": "Observe", "mode": "User"}))).await?;
    let status = scene.ready("system").await?;
    assert!(!holds(&status, condition::SAFE) && !holds(&status, condition::STALLED), "{status:?}");
    assert_eq!(scene.writes(), []);
    scene.is_quiet().await?;
    Ok(scene)
}

async fn suspended(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"suspend": true, "count": 2}))).await?;
    let status = scene.ready("apps").await?;
    assert!(message(&status, condition::READY).contains("suspended"), "{status:?}");
    scene.page("suspended", "apps").await?;
    scene.is_quiet().await?;
    assert_eq!(scene.writes(), []);
    scene.apply(policy("apps", json!({"suspend": false, "count": 2}))).await?;
    scene.until("apps", "to be done", |status| holds(status, condition::IN_SYNC)).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))]);
    Ok(scene)
}

async fn asked(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let bed = builder.pool(PoolSpec::user("apps", 1)).start().await?;
    let seldom = ["--arm-refresh-seconds", "3600", "--settle-seconds", "0.3"];
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&seldom)).await?;
    let scene = Scene::of(bed, operator);
    scene.apply(policy("apps", json!({"labels": {"tier": "web"}}))).await?;
    scene.ready("apps").await?;
    let written = scene.writes().len();
    scene.edit_by_hand("apps", json!({"nodeLabels": {"tier": "api"}})).await?;
    scene.bed.emulator.idle().await;
    assert_eq!(scene.writes().len(), written, "the edit has not been seen");
    for time in ["2026-11-21T10:00:00Z", "2026-11-21T10:00:01Z"] {
        scene.annotate("apps", REQUESTED_AT, time).await?;
        let handled = |status: &NodePoolPolicyStatus| status.last_handled_reconcile_at.as_deref() == Some(time);
        scene.until("apps", "to have been looked at", handled).await?;
        scene.ready("apps").await?;
        assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"tier": "web"}));
    }
    assert_eq!(scene.writes().split_off(written), [write("apps", json!({"nodeLabels": {"tier": "web"}}))]);
    Ok(scene)
}
