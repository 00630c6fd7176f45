//! What a drain does to nodes and pods that somebody else changes between the operator's look and its request: the API server's
//! answers 404, 409 and 429 are taken for what they mean. Never changes an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use nodepool_operator::api::DRAIN_ANNOTATION;
use serde_json::{Value, json};
use testbed::door::{Fate, Request};
use testbed::{Lane, Match, OPERATOR_USER, wait_for};

use super::drains;
use super::support::{Scene, Story, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("whoever_comes_between_the_look_and_the_request_of_a_drain_is_heeded", in_between),
        story("only_nodes_that_are_still_the_operators_are_opened_again", taken_over),
    ]
}

/// The next write to a node, of those that are not about these.
fn write_to_node(but: &[&str]) -> Match {
    let but: Vec<String> = but.iter().map(|node| format!("/{node}")).collect();
    let is_node = move |request: &Request| {
        request.path.contains("/api/v1/nodes/") && !but.iter().any(|node| request.path.ends_with(node))
    };
    Match::method("PATCH").when(is_node).times(1)
}

fn name_in(request: &Request) -> anyhow::Result<String> {
    let name = request.path.trim_end_matches("/eviction").rsplit('/').next();
    name.map(ToOwned::to_owned).context("a path without a name")
}

async fn annotate(scene: &Scene, node: &str, key: &str, value: Value) -> anyhow::Result<()> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    scene.bed.cluster.nodes_api().patch(node, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// How the API server answered the operator's writes to this object, in the order of the answers.
fn answers(scene: &Scene, method: &str, part: &str) -> Vec<u16> {
    let journal = scene.bed.api.journal().into_iter();
    let about = journal.filter(|passage| passage.request.method == method && passage.request.path.contains(part));
    about
        .filter_map(|passage| match passage.fate {
            Fate::Answered(status) => Some(status),
            _ => None,
        })
        .collect()
}

async fn node(scene: &Scene, name: &str) -> anyhow::Result<Node> {
    Ok(scene.bed.cluster.nodes_api().get(name).await?)
}

async fn in_between(lane: Lane) -> anyhow::Result<Scene> {
    let scene = drains::five_nodes(lane, &[]).await?;
    let cordon = scene.bed.api.hold(write_to_node(&[]));
    let eviction = scene.bed.api.hold(Match::method("POST").path_ends_with("/eviction").times(1));
    scene.apply(drains::scaled_to(3, "Relocate")).await?;
    // Somebody writes the node and leaves it open: it is looked at anew, and cordoned.
    let first = name_in(&*cordon.arrived().await?)?;
    annotate(&scene, &first, "by", json!("hand")).await?;
    let next = scene.bed.api.hold(write_to_node(&[&first]));
    cordon.release();
    // Somebody cordons the other one: it is theirs.
    let theirs = name_in(&*next.arrived().await?)?;
    scene.bed.cluster.cordon(&theirs, true).await?;
    next.release();

    // A pod is gone before its eviction comes.
    let request = eviction.arrived().await?;
    let gone = name_in(&request)?;
    let closed: BTreeSet<String> = drains::marked(&scene, 2).await?;
    assert!(closed.contains(&first) && !closed.contains(&theirs), "{closed:?} instead of {theirs}");
    scene.bed.cluster.delete_pod("kube-system", &gone).await?;
    let of_spread = || Match::method("POST").path_contains("/pods/spread-").path_ends_with("/eviction").times(1);
    let other = scene.bed.api.hold(of_spread());
    eviction.release();

    // A budget closes before the eviction comes, and is open again when the operator looks.
    let blocked = name_in(&*other.arrived().await?)?;
    drains::set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 0})).await?;
    let refused = scene.bed.api.hold_answer(of_spread());
    other.release();
    refused.arrived().await?;
    drains::set_budget(&scene, "kube-system", "spread", json!({"maxUnavailable": 1})).await?;
    refused.release();
    let status = drains::ends_with(&scene, 3).await?;

    let cordons = answers(&scene, "PATCH", &format!("/nodes/{first}"));
    assert_eq!((cordons.first(), cordons.last()), (Some(&409), Some(&200)), "looked at anew, then cordoned");
    assert_eq!(answers(&scene, "PATCH", &format!("/nodes/{theirs}")), [409], "asked once, then left alone");
    let left = node(&scene, &theirs).await?;
    assert!(drains::is_cordoned(&left) && !drains::is_marked(&left), "{:?}", left.annotations());
    assert_eq!(answers(&scene, "POST", &format!("/pods/{gone}/eviction")), [404], "gone is gone");
    assert_eq!(answers(&scene, "POST", &format!("/pods/{blocked}/eviction")), [429, 201], "asked again");
    assert_eq!(status.attempt, None, "none of that is a failure");
    let evicted = format!("evict kube-system/{gone} ");
    assert!(!status.history.iter().any(|entry| entry.step.starts_with(&evicted)), "{:?}", status.history);
    scene.bed.cluster.cordon(&theirs, false).await?;
    Ok(scene)
}

/// The notes of the events about nodes, by the name of the node.
async fn told_of_nodes(scene: &Scene, reason: &str) -> anyhow::Result<BTreeSet<(String, String)>> {
    let events = Api::<Event>::all(scene.bed.cluster.client()).list(&ListParams::default()).await?;
    let of_reason = events.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
    Ok(of_reason.filter_map(|event| Some((event.regarding?.name?, event.note?))).collect())
}

async fn taken_over(lane: Lane) -> anyhow::Result<Scene> {
    let scene = drains::five_nodes(lane, &[]).await?;
    // The drain stands still with its nodes cordoned.
    let stands = scene.bed.api.drop_request(Match::method("POST").path_ends_with("/eviction"));
    scene.apply(drains::scaled_to(3, "Relocate")).await?;
    stands.arrived().await?;
    let closed = drains::marked(&scene, 2).await?;
    let patched: Vec<Vec<u16>> = closed.iter().map(|it| answers(&scene, "PATCH", &format!("/nodes/{it}"))).collect();

    let uncordon = scene.bed.api.hold(write_to_node(&[]));
    let held = json!({"count": 3, "suspend": true, "disruption": {"systemPods": "Relocate"}});
    scene.apply(policy("system", held)).await?;
    // Somebody keeps the node cordoned for a reason of their own.
    let kept = name_in(&*uncordon.arrived().await?)?;
    annotate(&scene, &kept, DRAIN_ANNOTATION, Value::Null).await?;
    let next = scene.bed.api.hold(write_to_node(&[&kept]));
    uncordon.release();
    // The other one is removed by somebody.
    let gone = name_in(&*next.arrived().await?)?;
    assert_eq!(closed, BTreeSet::from([kept.clone(), gone.clone()]));
    let mut removed = node(&scene, &gone).await?;
    scene.bed.cluster.nodes_api().delete(&gone, &DeleteParams::default()).await?;
    next.release();
    wait_for("the removed node to be no trouble", Duration::from_mins(2), async || {
        let told = told_of_nodes(&scene, "DrainEnded").await?;
        Ok(if told.iter().any(|(node, _)| *node == gone) { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await?;

    let since = |name: &str| {
        let before = closed.iter().position(|it| it == name).and_then(|index| patched.get(index)).map_or(0, Vec::len);
        answers(&scene, "PATCH", &format!("/nodes/{name}")).split_off(before)
    };
    assert_eq!((since(&kept), since(&gone)), (vec![409], vec![404]));
    let left = node(&scene, &kept).await?;
    assert!(drains::is_cordoned(&left) && !drains::is_marked(&left), "{:?}", left.annotations());
    let note = "uncordoned for policy system: the policy is suspended".to_owned();
    assert_eq!(told_of_nodes(&scene, "DrainEnded").await?, BTreeSet::from([(gone.clone(), note)]));
    let note = |node: &String| (node.clone(), "cordoned for policy system to scale from 5 to 3 nodes".to_owned());
    assert_eq!(told_of_nodes(&scene, "CordonedForDrain").await?, closed.iter().map(note).collect());

    // The machines are as they were for the story's end.
    removed.metadata.annotations.get_or_insert_default().remove(DRAIN_ANNOTATION);
    (removed.metadata.resource_version, removed.metadata.uid) = (None, None);
    removed.spec.get_or_insert_default().unschedulable = None;
    scene.bed.cluster.nodes_api().create(&PostParams::default(), &removed).await?;
    scene.bed.cluster.cordon(&kept, false).await?;
    scene.looks_again().await?;
    drains::is_open(&scene, "system").await?;
    let evictions = scene.bed.audit.departures()?;
    assert!(evictions.iter().all(|gone| gone.user != OPERATOR_USER), "{evictions:?}");
    Ok(scene)
}
