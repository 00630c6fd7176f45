//! One commit, many changes: policies that promote, create, demote, upgrade and delete, applied in an order that a seed draws,
//! come to the same end, and the first system pool gives way only to one that is there.

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use nodepool_operator::api::FINALIZER;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{Scene, Story, begin, policy, story};
use super::table::seed;

pub fn stories() -> Vec<Story> {
    let told = |name, draw| story(name, move |lane| in_some_order(lane, draw));
    vec![
        told("a_commit_of_many_changes_comes_to_its_end_in_one_order", 0),
        told("a_commit_of_many_changes_comes_to_its_end_in_another_order", 1),
        told("a_commit_of_many_changes_comes_to_its_end_in_a_third_order", 2),
    ]
}

/// What Git has of each pool after the commit, and what Azure is to have then; the policy of a pool that is to go is deleted.
fn commit() -> [(&'static str, Option<Value>, Value); 5] {
    let template = json!({"vmSize": "Standard_D4ds_v5"});
    let relocate = json!({"systemPods": "Relocate"});
    [
        ("system", Some(json!({"mode": "User", "count": 1, "disruption": relocate})), json!(["User", 1, "1.33.5"])),
        ("two", Some(json!({"mode": "System", "count": 3})), json!(["System", 3, "1.33.5"])),
        ("fresh", Some(json!({"mode": "User", "count": 1, "template": template})), json!(["User", 1, "1.33.5"])),
        ("apps", Some(json!({"count": 1, "kubernetesVersion": "ControlPlane"})), json!(["User", 1, "1.33.5"])),
        ("old", None, Value::Null),
    ]
}

fn in_arm(scene: &Scene, pool: &str) -> Value {
    if scene.bed.emulator.pool(pool).is_none() {
        return Value::Null;
    }
    json!([scene.in_arm(pool, "mode"), scene.in_arm(pool, "count"), scene.in_arm(pool, "currentOrchestratorVersion")])
}

async fn in_some_order(lane: Lane, draw: u64) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let builder = builder.pool(PoolSpec::user("two", 2)).pool(PoolSpec::user("old", 1));
    let scene = begin(builder.pool(PoolSpec::user("apps", 1).versions("1.32", "1.32.9"))).await?;
    scene.apply(policy("old", json!({"deletionPolicy": "Delete"}))).await?;
    scene.has_finalizers("old", &[FINALIZER]).await?;
    scene.ready("old").await?;

    let mut order = commit();
    fastrand::Rng::with_seed(seed()?.wrapping_mul(3).wrapping_add(draw)).shuffle(&mut order);
    for (pool, spec, _) in &order {
        match spec {
            Some(spec) => drop(scene.apply(policy(pool, spec.clone())).await?),
            None => scene.begin_deletion(pool).await?,
        }
    }
    let about = order.each_ref().map(|(pool, ..)| *pool);
    for (pool, spec, expected) in &order {
        match spec {
            Some(_) => drop(scene.ready(pool).await.with_context(|| format!("in the order {about:?}"))?),
            None => scene.gone(pool).await?,
        }
        scene.bed.emulator.idle().await;
        let found = in_arm(&scene, pool);
        ensure!(found == *expected, "pool {pool} is {found} in the order {about:?}");
    }
    let writes = scene.writes();
    let of_mode =
        |pool: &str| writes.iter().position(|(of, body)| of == pool && body["properties"]["mode"].is_string());
    let (promoted, demoted) = (of_mode("two"), of_mode("system"));
    ensure!(promoted.is_some() && promoted < demoted, "{writes:?}");
    scene.is_quiet().await?;
    Ok(scene)
}
