//! Other hands: operations, refusals and policies that are not this policy's.

use std::time::Duration;

use aks_emulator::{Action, Canned, ForeignRequest, Matcher, PoolSpec};
use nodepool_operator::api::condition;
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{Scene, Story, begin, binary, holds, message, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("wait_for_an_operation_by_another_hand_then_act", busy),
        story("say_what_azure_refused_and_do_not_repeat_it", refused_by_azure),
        story("azure_is_busy_after_all", conflict),
        story("a_write_that_comes_too_late_takes_nothing_back", too_late),
        story("many_steps_stay_within_the_request_budgets", within_budgets),
        story("of_two_policies_the_older_governs", two_policies),
        story("azure_upgrades_the_cluster_and_nobody_is_alarmed", azure_upgrades),
    ]
}

async fn busy(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.edit_by_hand("apps", json!({"nodeLabels": {"by": "hand"}})).await?;
    held.arrived().await;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let waits = scene.until("apps", "to wait", |status| holds(status, condition::RECONCILING)).await?;
    assert!(message(&waits, condition::RECONCILING).contains("pool apps is Updating"), "{waits:?}");
    assert!(holds(&waits, condition::SAFE), "waiting is not unsafe");
    scene.page("operation-in-progress", "apps").await?;
    scene.looks_again().await?;
    assert_eq!(scene.writes(), []);
    held.release();
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2, "nodeLabels": {"by": "hand"}}))]);
    Ok(scene)
}

async fn refused_by_azure(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let quota =
        "Insufficient vcpu quota requested 4, remaining 0 for family StandardDasv7Family for region westeurope.";
    let refusal = scene.bed.emulator.respond(
        Matcher::put_pool("apps").user_agent("nodepool-operator"),
        Canned::error(400, "ErrCode_InsufficientVCPUQuota", quota),
        None,
    );
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.stalled("apps", "WriteFailed").await?;
    let said = message(&status, condition::STALLED);
    assert!(said.contains("ErrCode_InsufficientVCPUQuota") && said.contains("Insufficient vcpu quota"), "{said}");
    assert!(said.contains("To do: have the quota of the subscription raised"), "{said}");
    assert_eq!(status.attempt.map(|attempt| attempt.failures), Some(1));
    scene.is_quiet().await?;
    assert_eq!(scene.writes().len(), 1, "no retry storm");

    // A change of the policy is a reason to try again at once.
    drop(refusal);
    scene.apply(policy("apps", json!({"count": 3}))).await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes().len(), 2);
    Ok(scene)
}

async fn conflict(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    let _busy = scene.bed.emulator.respond(
        Matcher::put_pool("apps").user_agent("nodepool-operator"),
        Canned::error(409, "OperationNotAllowed", "Operation is not allowed: Another operation is in progress"),
        Some(1),
    );
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.ready("apps").await?;
    assert!(status.attempt.is_none(), "a conflict is a wait and no failure: {status:?}");
    assert_eq!(scene.writes().len(), 2);
    Ok(scene)
}

async fn too_late(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).emulator(|settings| {
        settings.switches.etags = true;
    });
    let scene = begin(builder.pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1))).await?;
    let emulator = &scene.bed.emulator;
    let target = format!("{}/agentPools/apps?api-version=2025-10-01", emulator.cluster_id());
    let theirs = ForeignRequest::new("PUT", &target, Some(json!({"properties": {"nodeLabels": {"by": "hand"}}})));
    let operator = || Matcher::put_pool("apps").user_agent("nodepool-operator");
    let _race = emulator.fault(operator(), Action::AfterForeign(theirs), Some(1));
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.ready("apps").await?;
    assert!(status.attempt.is_none(), "a lost race is no failure: {status:?}");
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"by": "hand"}));
    let journal = scene.bed.emulator.journal().writes().by_user_agent("nodepool-operator");
    let answers: Vec<_> = journal.iter().map(|exchange| exchange.status).collect();
    assert_eq!(answers, [Some(412), Some(200)], "the write that came too late is not repeated as it was");
    assert!(journal.iter().all(|exchange| exchange.headers.contains_key("if-match")));
    Ok(scene)
}

async fn within_budgets(lane: Lane) -> anyhow::Result<Scene> {
    let mut builder = Testbed::builder(lane).kube_system(KubeSystem::None).emulator(|settings| {
        // As published: the emulator's budgets follow its time, which is faster.
        settings.request_budgets = Some(1.0 / settings.time_scale);
    });
    // Each step reads these five and its own pool, and 48 reads are the operator's share at once.
    for name in ["system", "second", "third", "fourth", "fifth"] {
        builder = builder.pool(PoolSpec::system(name, 1));
    }
    let pools: Vec<String> = (0..13).map(|number| format!("apps{number}")).collect();
    for name in &pools {
        builder = builder.pool(PoolSpec::user(name, 0));
    }
    let bed = builder.start().await?;
    let options = bed.operator_options(binary()).arguments(&["--system-node-ready-seconds", "0.5"]);
    let operator = bed.start_operator(options.arguments(&["--arm-poll-seconds", "2"])).await?;
    let scene = Scene::of(bed, operator);
    for name in &pools {
        scene.apply(policy(name, json!({"labels": {"team": "shop"}}))).await?;
    }
    for name in &pools {
        scene.ready(name).await?;
    }
    let journal = scene.bed.emulator.journal().by_user_agent("nodepool-operator");
    let throttled = journal.iter().filter(|exchange| exchange.status == Some(429)).count();
    assert_eq!((throttled, journal.writes().iter().count()), (0, pools.len()));
    Ok(scene)
}

async fn two_policies(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    scene.apply(policy("second", json!({"poolName": "apps", "count": 5, "labels": {"x": "y"}}))).await?;
    let status = scene.stalled("second", "ConflictingPolicy").await?;
    assert!(message(&status, condition::READY).contains("the older policy apps"), "{status:?}");
    scene.page("conflicting-policy", "second").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"count": 2}))]);
    scene.is_quiet().await?;

    scene.delete("apps").await?;
    scene.ready("second").await?;
    assert_eq!(scene.in_arm("apps", "count"), 5, "with the older one gone the second governs");
    Ok(scene)
}

async fn azure_upgrades(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).pool(PoolSpec::system("system", 3));
    let scene = begin(builder.pool(PoolSpec::user("apps", 2))).await?.in_which_azure_drains();
    scene.apply(policy("system", json!({"mode": "System", "count": 3}))).await?;
    scene.apply(policy("apps", json!({"mode": "User", "count": 2}))).await?;
    scene.ready("system").await?;
    scene.ready("apps").await?;
    let held = scene.bed.emulator.operation("system").hold();
    scene.bed.emulator.auto_upgrade("1.34.2")?;
    held.arrived().await;
    scene.apply(policy("apps", json!({"mode": "User", "count": 2, "labels": {"tier": "web"}}))).await?;
    held.release();
    let runs = |pool: &str| scene.in_arm(pool, "currentOrchestratorVersion") == "1.34.2";
    let upgraded = async || Ok(if runs("system") && runs("apps") { Ok(()) } else { Err("a pool is not upgraded") });
    wait_for("all pools to be upgraded", Duration::from_secs(90), upgraded).await?;
    scene.ready("system").await?;
    scene.ready("apps").await?;
    assert_eq!(scene.writes(), [write("apps", json!({"nodeLabels": {"tier": "web"}}))]);
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"tier": "web"}));
    for name in ["system", "apps"] {
        assert_eq!(scene.warnings(name).await?, Vec::<String>::new());
    }
    scene.is_quiet().await?;
    Ok(scene)
}
