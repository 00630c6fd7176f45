//! A person's word that one change may break one rule: what it lets pass, that it is told, and that it holds once.

use aks_emulator::PoolSpec;
use anyhow::ensure;
use nodepool_operator::api::{BREAK_GLASS, NodePoolPolicyStatus, glass};
use serde_json::json;
use testbed::{KubeSystem, Lane, Testbed};

use super::metrics::{served, value};
use super::support::{Scene, Story, begin, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("break_glass_lets_one_change_pass_one_rule_once_and_tells_it", once),
        story("break_glass_that_cannot_be_meant_lets_nothing_pass_and_says_why", wrong),
        story("break_glass_holds_over_a_crash_for_the_change_that_has_begun", crashed),
    ]
}

/// A system pool of three nodes whose policy asks for fewer than the floor, which is refused.
async fn below_the_floor(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 3));
    let scene = begin(builder).await?;
    scene.apply(policy("system", json!({"count": 1}))).await?;
    scene.refused("system", "SystemCapacityFloor").await?;
    Ok(scene)
}

/// A word about that, which ends in so many minutes.
fn word(minutes: i64, reason: &str) -> anyhow::Result<String> {
    let until = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_mins(minutes))?;
    Ok(format!("rule=SystemCapacityFloor pool=system until={} reason={reason}", until.strftime("%Y-%m-%dT%H:%M:%SZ")))
}

fn is(status: &NodePoolPolicyStatus, state: &str) -> bool {
    status.break_glass.as_ref().is_some_and(|glass| glass.state == state)
}

async fn once(lane: Lane) -> anyhow::Result<Scene> {
    let scene = below_the_floor(lane).await?;
    ensure!(scene.writes().is_empty(), "{:?}", scene.writes());
    scene.page("system-capacity-floor", "system").await?;
    scene.annotate("system", BREAK_GLASS, &word(30, "INC-7, the second zone is down")?).await?;
    scene.ready("system").await?;
    let status = scene.until("system", "to have used the word", |status| is(status, glass::USED)).await?;
    let passed: Vec<_> = status.history.iter().filter(|entry| entry.outcome == "RulePassed").collect();
    let detail = passed.first().and_then(|entry| entry.detail.clone()).unwrap_or_default();
    ensure!(passed.len() == 1, "{:?}", status.history);
    ensure!(detail.starts_with("break-glass for SystemCapacityFloor (INC-7, the second zone is down): "), "{detail}");
    ensure!(scene.warnings("system").await?.contains(&"RulePassed".to_owned()), "no event says so");
    ensure!(scene.node_names("system").await?.len() == 1, "nodes are left");
    let series = r#"nodepool_operator_rules_passed_total{rule="SystemCapacityFloor"}"#;
    let metrics = served(&scene).await?;
    ensure!(value(&metrics, series) == Some(1.0), "{metrics}");
    scene.page("break-glass-used", "system").await?;
    scene.is_quiet().await?;

    scene.apply(policy("system", json!({"count": 3}))).await?;
    scene.ready("system").await?;
    scene.apply(policy("system", json!({"count": 1}))).await?;
    scene.refused("system", "SystemCapacityFloor").await?;
    let writes = scene.writes().len();
    scene.is_quiet().await?;
    ensure!(scene.writes().len() == writes, "it held twice: {:?}", scene.writes());
    Ok(scene)
}

async fn wrong(lane: Lane) -> anyhow::Result<Scene> {
    let scene = below_the_floor(lane).await?;
    let good = word(30, "INC-7")?;
    for (value, state, says) in [
        (good.replace("pool=system", "pool=apps"), glass::INVALID, r#"pool is "apps", and this policy's is system"#),
        (good.replace("SystemCapacityFloor", "WrongCluster"), glass::INVALID, "which nothing lets pass"),
        (word(25 * 60, "INC-7")?, glass::INVALID, "may be 24 hours from now at most"),
        (word(-1, "INC-7")?, glass::EXPIRED, "give a later time"),
        (good.replace("SystemCapacityFloor", "LastHealthySystemPool"), glass::ARMED, "rule LastHealthySystemPool lets"),
    ] {
        scene.annotate("system", BREAK_GLASS, &value).await?;
        let says_so = |status: &NodePoolPolicyStatus| {
            is(status, state) && status.break_glass.as_ref().is_some_and(|glass| glass.message.contains(says))
        };
        scene.until("system", &format!("to say that {value:?} is {state}"), says_so).await?;
        scene.refused("system", "SystemCapacityFloor").await?;
    }
    let warnings = scene.warnings("system").await?;
    for reason in ["BreakGlassInvalid", "BreakGlassExpired", "BreakGlassArmed"] {
        ensure!(warnings.iter().any(|told| told == reason), "{reason} is not told: {warnings:?}");
    }
    scene.is_quiet().await?;
    ensure!(scene.writes().is_empty(), "{:?}", scene.writes());
    Ok(scene)
}

async fn crashed(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = below_the_floor(lane).await?;
    let held = scene.bed.emulator.operation("system").hold();
    scene.annotate("system", BREAK_GLASS, &word(30, "INC-7")?).await?;
    ensure!(held.arrived_within(super::support::DEADLINE).await, "nothing was removed");
    scene.operator.kill().await?;
    held.release();
    scene.bed.emulator.idle().await;
    scene.operator.restart().await?;
    scene.ready("system").await?;
    let status = scene.until("system", "to have used the word", |status| is(status, glass::USED)).await?;
    let passed = status.history.iter().filter(|entry| entry.outcome == "RulePassed").count();
    ensure!(passed == 1, "{:?}", status.history);
    ensure!(scene.node_names("system").await?.len() == 1, "nodes are left");
    Ok(scene)
}
