//! What people do with kubectl: scale, look, ask for another log, and write over what is not theirs.

use aks_emulator::PoolSpec;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use nodepool_operator::api::{INVENTORY, NodePoolInventory, NodePoolPolicy, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed, wait_for};

use super::autoscaler::autoscaling;
use super::support::{DEADLINE, Scene, Story, begin_with, holds, plain_cluster, policy, story, write};

pub fn stories() -> Vec<Story> {
    vec![
        story("kubectl_scale_changes_the_count", scale),
        story("kubectl_get_shows_what_is_asked_for_and_with_wide_what_comes_next", columns),
        story("two_hands_may_apply_parts_of_one_policy", two_hands),
        story("what_is_logged_changes_while_the_operator_runs", logged),
        story("a_status_that_somebody_else_wrote_over_is_written_anew", damaged),
    ]
}

fn policies(scene: &Scene) -> Api<NodePoolPolicy> {
    Api::all(scene.bed.cluster.client())
}

async fn scale(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    let to = |replicas: i32| Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let scaled = policies(&scene).patch_scale("apps", &PatchParams::default(), &to(3)).await?;
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(3));
    scene.until("apps", "to be scaled", |status| status.pool.as_ref().is_some_and(|pool| pool.count == 3)).await?;
    scene.ready("apps").await?;
    let shown = policies(&scene).get_scale("apps").await?;
    assert_eq!(shown.status.map(|status| status.replicas), Some(3));
    assert_eq!(scene.writes(), [write("apps", json!({"count": 3}))]);

    let refused = policies(&scene).patch_scale("apps", &PatchParams::default(), &to(1001)).await.err();
    let said = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("spec.count"), "{said}");
    scene.delete("apps").await?;
    scene.apply(policy("apps", json!({"autoscaling": autoscaling(1, 4)}))).await?;
    let refused = policies(&scene).patch_scale("apps", &PatchParams::default(), &to(2)).await.err();
    let said = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("spec.count and spec.autoscaling can't both be set: remove one"), "{said}");
    scene.ready("apps").await?;
    Ok(scene)
}

/// What `kubectl get` prints of a policy, by column: those that are always shown, and those of `-o wide`.
async fn printed(scene: &Scene, name: &str) -> anyhow::Result<[Vec<(String, String)>; 2]> {
    let path = format!("/apis/aks.nodepool.dev/v1alpha1/nodepoolpolicies/{name}");
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = scene.bed.cluster.client().request(request.body(vec![])?).await?;
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    let cells = table["rows"][0]["cells"].as_array().into_iter().flatten().map(cell);
    let all = columns.zip(cells).map(|(column, cell)| {
        let name = column["name"].as_str().unwrap_or_default().to_owned();
        (column["priority"] == 0, (name, cell))
    });
    let (always, wide): (Vec<_>, Vec<_>) = all.partition(|(always, _)| *always);
    Ok([always, wide].map(|columns| columns.into_iter().map(|(_, column)| column).collect()))
}

async fn columns(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    let pairs = |columns: &[(String, String)], skipped: &[&str]| -> Vec<String> {
        let kept = columns.iter().filter(|(name, _)| !skipped.contains(&name.as_str()));
        kept.map(|(name, cell)| format!("{name}: {cell}")).collect()
    };
    let [always, wide] = printed(&scene, "apps").await?;
    let status = "Status: User pool with 1 node, as the policy asks";
    let expected = ["Name: apps", "Pool: apps", "Mode: User", "Desired: 1", "Current: 1", "Ready: True", status];
    assert_eq!(pairs(&always, &["Age"]), expected);
    let expected = ["Ready-Nodes: 1", "Azure: Succeeded", "In-Sync: True", "Safe: True", "Next: null"];
    assert_eq!(pairs(&wide, &["Version"]), expected);

    scene.apply(policy("apps", json!({"autoscaling": autoscaling(1, 4), "enforcement": "Observe"}))).await?;
    scene.until("apps", "to observe", |status| !holds(status, condition::IN_SYNC)).await?;
    let [always, wide] = printed(&scene, "apps").await?;
    assert!(pairs(&always, &[]).contains(&"Desired: 1-4".to_owned()), "{always:?}");
    let next = "Next: turn the autoscaler on, 1 to 4 nodes".to_owned();
    assert!(pairs(&wide, &[]).contains(&next), "{wide:?}");
    Ok(scene)
}

async fn two_hands(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1, "labels": {"team": "shop"}}))).await?;
    scene.ready("apps").await?;
    let by = |hand: &str| PatchParams::apply(hand);
    let theirs = policy("apps", json!({"tags": {"owner": "security"}}));
    policies(&scene).patch("apps", &by("security"), &Patch::Apply(&theirs)).await?;
    scene.until("apps", "to have the tag", |status| status.owned_tags == ["owner"]).await?;
    scene.ready("apps").await?;
    let seen = |scene: &Scene| (scene.in_arm("apps", "nodeLabels"), scene.in_arm("apps", "tags"));
    assert_eq!(seen(&scene), (json!({"team": "shop"}), json!({"owner": "security"})));
    // The first applies again, with something new, and takes nothing of the other's away.
    scene.apply(policy("apps", json!({"count": 1, "labels": {"team": "store"}}))).await?;
    scene.until("apps", "to have the label", |_| scene.in_arm("apps", "nodeLabels")["team"] == "store").await?;
    scene.ready("apps").await?;
    assert_eq!(seen(&scene), (json!({"team": "store"}), json!({"owner": "security"})));
    // Labels are one field: whoever else wants some is told whose they are.
    let theirs = policy("apps", json!({"tags": {"owner": "security"}, "labels": {"checked": "yes"}}));
    let refused = policies(&scene).patch("apps", &by("security"), &Patch::Apply(&theirs)).await.err();
    let said = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("conflict with \"gitops\": .spec.labels"), "{said}");
    Ok(scene)
}

/// The lines of the operator's log that contain the words.
fn lines(scene: &Scene, words: &str) -> usize {
    scene.operator.log_tail(100_000).lines().filter(|line| line.contains(words)).count()
}

async fn logged(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let scene = begin_with(builder.pool(PoolSpec::user("apps", 1)), &["--log-format", "text"]).await?;
    let inventories: Api<NodePoolInventory> = Api::all(scene.bed.cluster.client());
    let ask = async |filter: Value| {
        let patch = Patch::Merge(json!({"spec": {"log": filter}}));
        inventories.patch(INVENTORY, &PatchParams::default(), &patch).await.map(drop)
    };
    let change = async |value: &str| {
        scene.apply(policy("apps", json!({"labels": {"a": value}}))).await?;
        scene.ready("apps").await
    };
    change("1").await?;
    let acted = lines(&scene, "acted");
    anyhow::ensure!(acted > 0, "{}", scene.operator.log_tail(20));
    let first = scene.operator.log_tail(100_000);
    assert!(!first.lines().any(|line| line.starts_with('{')), "in words: {first}");

    ask(json!("nodepool_operator=loud")).await?;
    wait_for("the log to say what is wrong", DEADLINE, async || {
        let said = lines(&scene, "spec.log of the NodePoolInventory cluster is not a filter");
        Ok(if said == 1 { Ok(()) } else { Err(scene.operator.log_tail(5)) })
    })
    .await?;
    change("2").await?;
    let now = lines(&scene, "acted");
    assert!(now > acted, "it logs as before");
    ask(json!("error")).await?;
    wait_for("the log to say that it changes", DEADLINE, async || {
        let said = lines(&scene, "what is logged changes");
        Ok(if said == 1 { Ok(()) } else { Err(scene.operator.log_tail(5)) })
    })
    .await?;
    change("3").await?;
    assert_eq!(lines(&scene, "acted"), now, "only errors are logged");
    ask(json!(null)).await?;
    scene.looks_again().await?;
    change("4").await?;
    assert!(lines(&scene, "acted") > now, "as it was started");
    assert_eq!(lines(&scene, "is not a filter"), 1, "told once");
    Ok(scene)
}

async fn damaged(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster(lane).await?;
    scene.apply(policy("apps", json!({"count": 1, "labels": {"a": "b"}}))).await?;
    scene
        .until("apps", "to have its label", |status| status.history.iter().any(|it| it.outcome == "Succeeded"))
        .await?;
    scene.ready("apps").await?;
    scene.is_quiet().await?;
    let right = scene.status("apps").await?;
    let events = Api::<Event>::all(scene.bed.cluster.client());
    let told = events.list(&ListParams::default()).await?.items.len();
    for damage in [
        json!({"conditions": [], "history": [], "ownedLabels": ["c"]}),
        json!({"observedGeneration": 99, "pool": null}),
        json!({"conditions": null, "desired": "7"}),
    ] {
        let patch = Patch::Merge(json!({"status": damage}));
        policies(&scene).patch_status("apps", &PatchParams::default(), &patch).await?;
        wait_for("the status to be written anew", DEADLINE, async || {
            let status = scene.status("apps").await?;
            Ok(if status == right { Ok(()) } else { Err(serde_json::to_string(&status)?) })
        })
        .await?;
        scene.is_quiet().await?;
    }
    assert_eq!(events.list(&ListParams::default()).await?.items.len(), told, "nothing is news");
    Ok(scene)
}
