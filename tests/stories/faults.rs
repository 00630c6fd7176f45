//! Every fault at every request: whatever becomes of one request of a step, the step is made once and ends well. The
//! table is generated; one case in seven is told, and all of it with `NODEPOOL_FAULTS=all`.

use std::io::Write as _;
use std::time::Duration;

use aks_emulator::{Action, Canned, ForeignRequest, Matcher, PoolSpec, RequestFailure};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::support::{QUICK, Scene, Story, binary, policy, story};

/// Which cases of the table are told: `all`, or a sample.
const VARIABLE: &str = "NODEPOOL_FAULTS";
/// One case in so many is in the sample.
const SAMPLE: usize = 7;
/// What one step may cost: its fresh look twice, its write twice, and what is read while it runs.
const MOST_REQUESTS: usize = 80;

pub fn stories() -> Vec<Story> {
    vec![
        story("every_fault_at_every_request_without_etags", |lane| table(lane, false)),
        story("every_fault_at_every_request_with_etags", |lane| table(lane, true)),
    ]
}

/// A step of a policy: the pool, and what is asked for in turn.
const STEPS: [(&str, &str); 4] = [("apps", "count"), ("apps", "taints"), ("apps", "labels"), ("flex", "mode")];
/// The requests that a step is made of, by method and the end of the path.
const REQUESTS: [(&str, &str); 4] = [
    ("GET", "/managedClusters/local"),
    ("GET", "/agentPools/POOL"),
    ("GET", "/agentPools/system"),
    ("PUT", "/agentPools/POOL"),
];
const FAULTS: [&str; 10] =
    ["throttle", "500", "502", "504", "drop before", "drop after", "delay", "busy", "forbidden", "foreign change"];

#[derive(Clone, Copy)]
struct Case {
    step: (&'static str, &'static str),
    request: (&'static str, &'static str),
    fault: &'static str,
}

/// The whole table.
fn all() -> Vec<Case> {
    let of_step =
        |step| REQUESTS.into_iter().flat_map(move |request| FAULTS.map(|fault| Case { step, request, fault }));
    STEPS.into_iter().flat_map(of_step).collect()
}

async fn table(lane: Lane, etags: bool) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).emulator(|settings| {
        settings.switches.etags = etags;
    });
    let builder = builder.pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1));
    let bed = builder.pool(PoolSpec::user("flex", 1)).start().await?;
    // A refused write is tried again soon.
    let options = bed.operator_options(binary()).arguments(&QUICK).arguments(&["--retry-seconds", "0.5"]);
    let operator = bed.start_operator(options).await?;
    let scene = Scene::of(bed, operator);
    for pool in ["apps", "flex"] {
        let spec = json!({"count": 1, "taints": [], "labels": {"turn": "0"}, "mode": "User"});
        scene.apply(policy(pool, spec)).await?;
        scene.ready(pool).await?;
    }
    let table = all();
    let whole = std::env::var(VARIABLE).is_ok_and(|value| value == "all");
    // With eTags the sample has other cases than without.
    let (first, each) = if whole { (0, 1) } else { (if etags { SAMPLE / 2 } else { 0 }, SAMPLE) };
    let told: Vec<Case> = table.iter().copied().skip(first).step_by(each).collect();
    for (number, case) in told.iter().enumerate() {
        tell(&scene, *case, number + 1).await.with_context(|| {
            format!("{} of pool {}, {} at {} {}", case.step.1, case.step.0, case.fault, case.request.0, case.request.1)
        })?;
    }
    let settings = if etags { "with eTags" } else { "without eTags" };
    writeln!(std::io::stderr(), "faults at requests, {settings}: {} of {} cases", told.len(), table.len())?;
    Ok(scene)
}

const TAINT: &str = "team=shop:NoSchedule";

/// What the pool's policy is to ask for: all fields as they are in ARM, the case's one otherwise. Also what that one is.
fn changed(scene: &Scene, case: Case, number: usize) -> (Value, Value) {
    let (pool, field) = case.step;
    let taint = json!([{"key": "team", "value": "shop", "effect": "NoSchedule"}]);
    let has_taint = !scene.in_arm(pool, "nodeTaints").is_null();
    let mut spec = json!({
        "count": scene.in_arm(pool, "count"),
        "taints": if has_taint { taint.clone() } else { json!([]) },
        "labels": scene.in_arm(pool, "nodeLabels"),
        "mode": scene.in_arm(pool, "mode"),
    });
    spec[field] = match field {
        "count" => json!(if spec["count"] == 1 { 2 } else { 1 }),
        "taints" if has_taint => json!([]),
        "taints" => taint,
        "labels" => json!({"turn": number.to_string()}),
        _ => json!(if spec["mode"] == "User" { "System" } else { "User" }),
    };
    let wanted = spec[field].clone();
    (policy(pool, spec), wanted)
}

/// The fault's action on a request of the case.
fn action(scene: &Scene, case: Case, number: usize) -> Action {
    let error = |status: u16, code: &str| Action::Answer(Canned::error(status, code, "laid by a test"));
    match case.fault {
        "throttle" => {
            let canned = Canned::error(429, "Throttled", "laid by a test").header("retry-after", "1");
            Action::Answer(canned)
        }
        "500" => error(500, "InternalServerError"),
        "502" => Action::Refuse(RequestFailure::BadGatewayConnection),
        "504" => Action::Refuse(RequestFailure::GatewayTimeout),
        "drop before" => Action::DropBefore,
        "drop after" => Action::DropAfter,
        "delay" => Action::Delay(Duration::from_secs(1)),
        "busy" => error(409, "OperationNotAllowed"),
        "forbidden" => Action::RoleMissing,
        _ => {
            let target =
                format!("{}/agentPools/{}?api-version=2025-10-01", scene.bed.emulator.cluster_id(), case.step.0);
            let surge = json!({"properties": {"upgradeSettings": {"maxSurge": surge(number)}}});
            Action::AfterForeign(ForeignRequest::new("PUT", &target, Some(surge)))
        }
    }
}

fn surge(number: usize) -> String {
    format!("{}%", 10 + number % 40)
}

async fn tell(scene: &Scene, case: Case, number: usize) -> anyhow::Result<()> {
    let (pool, field) = case.step;
    let (policy, wanted) = changed(scene, case, number);
    let before = scene.bed.emulator.journal().last().map_or(0, |exchange| exchange.sequence);
    let matcher = Matcher::method(case.request.0)
        .path_ends_with(&case.request.1.replace("POOL", pool))
        .user_agent("nodepool-operator");
    let fault = scene.bed.emulator.fault(matcher, action(scene, case, number), Some(1));
    scene.apply(policy).await?;
    scene.ready(pool).await?;
    wait_for("the fault to have happened", Duration::from_secs(20), async || {
        Ok(if fault.count() == 1 { Ok(()) } else { Err("it has not") })
    })
    .await?;
    scene.ready(pool).await?;
    scene.bed.emulator.idle().await;
    ended_well(scene, case, &wanted)?;
    if case.fault == "foreign change" {
        let found = scene.in_arm(pool, "upgradeSettings")["maxSurge"].clone();
        ensure!(found == surge(number), "somebody else's change is {found} now");
    }
    let journal = scene.bed.emulator.journal().after(before).by_user_agent("nodepool-operator");
    let writes: Vec<Option<u16>> = journal
        .writes()
        .iter()
        .filter(|exchange| exchange.resource_name() == pool)
        .map(|exchange| exchange.status)
        .collect();
    let with_effect = writes.iter().filter(|status| status.is_some_and(|status| status < 300)).count();
    ensure!(with_effect == 1 && writes.len() <= 2, "{field}: writes were answered {writes:?}");
    ensure!(journal.len() <= MOST_REQUESTS, "{} requests", journal.len());
    Ok(())
}

fn ended_well(scene: &Scene, case: Case, wanted: &Value) -> anyhow::Result<()> {
    let (pool, field) = case.step;
    let found = match field {
        "taints" => scene.in_arm(pool, "nodeTaints"),
        "labels" => scene.in_arm(pool, "nodeLabels"),
        property => scene.in_arm(pool, property),
    };
    let expected = match field {
        "taints" if *wanted == json!([]) => Value::Null,
        "taints" => json!([TAINT]),
        _ => wanted.clone(),
    };
    ensure!(found == expected, "{field} is {found}, not {expected}");
    Ok(())
}
