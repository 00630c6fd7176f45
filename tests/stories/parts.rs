//! Of pods and nodes the operator reads a part, in lists as protobuf: what it reads is what the API server tells in JSON.

use std::fmt::Debug;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use nodepool_operator::observe::{Lists, Part, Partly};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::control_plane::Options;
use testbed::{ControlPlane, Lane, Testbed, wait_for};

use super::support::{DEADLINE, Scene, Story, story};

/// Who looks.
pub const ADMIN: &str = "admin";

/// A pod and a node that have everything that is read.
const POD: &str = include_str!("../../src/observe/part/samples/pod.json");
const NODE: &str = include_str!("../../src/observe/part/samples/node.json");

pub fn stories() -> Vec<Story> {
    vec![story("a_list_of_pods_and_nodes_shows_all_that_is_read_of_them", everything)]
}

/// What lists show of pods and nodes is their part in JSON.
pub async fn are_of_the_whole(bed: &Testbed) -> anyhow::Result<()> {
    let lists = Lists::new(bed.control_plane().config_of(ADMIN)?)?;
    let client = bed.cluster.client();
    wait_for("pods and nodes not to change", DEADLINE, async || {
        let pods = alike::<Pod>(&Api::all(client.clone()), &lists.all()).await?;
        let nodes = alike::<Node>(&Api::all(client.clone()), &lists.all()).await?;
        Ok(pods.and(nodes))
    })
    .await
}

/// Whether both show the same; not that of objects that changed in between.
async fn alike<K>(whole: &Api<K>, parts: &Api<Part<K>>) -> anyhow::Result<Result<(), String>>
where
    K: Resource + Partly + Clone + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let before = whole.list(&ListParams::default()).await?;
    let read = parts.list(&ListParams::default().limit(3)).await?;
    let mut all = read.items;
    let mut more = read.metadata.continue_;
    while let Some(token) = more.filter(|token| !token.is_empty()) {
        let page = parts.list(&ListParams::default().limit(500).continue_token(&token)).await?;
        all.extend(page.items);
        more = page.metadata.continue_;
    }
    if all.len() != before.items.len() {
        return Ok(Err(format!("{} of {}", all.len(), before.items.len())));
    }
    for (whole, read) in before.items.iter().zip(all) {
        if whole.meta().resource_version != read.meta().resource_version {
            return Ok(Err(format!("{} has changed", whole.name_any())));
        }
        let part: Part<K> = serde_json::from_value(serde_json::to_value(whole)?)?;
        let (read, part) = (read.whole(), part.whole());
        anyhow::ensure!(read == part, "a list shows\n{read:?}\nof\n{part:?}");
    }
    Ok(Ok(()))
}

async fn everything(lane: Lane) -> anyhow::Result<Option<Scene>> {
    // Of its own, since what holds its pods and nodes would never be gone from another's.
    drop(lane);
    let bed = Testbed::builder(ControlPlane::start(Options::default()).await?)
        .pool(PoolSpec::system("system", 1))
        .start()
        .await?;
    let client = bed.cluster.client();
    let class = json!({"metadata": {"name": "heavy"}, "handler": "h", "overhead": {"podFixed": {"cpu": "150m", "memory": "64Mi"}}});
    create::<RuntimeClass>(&Api::all(client.clone()), class).await?;
    create::<Namespace>(&Api::all(client.clone()), json!({"metadata": {"name": "shop"}})).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    wait_for("the namespace's service account", DEADLINE, async || {
        Ok(accounts.get_opt("default").await?.map(drop).ok_or("it is not there".to_owned()))
    })
    .await?;
    // Nothing may clear away what runs nowhere.
    bed.control_plane().stand_still();

    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let mut gated: Value = serde_json::from_str(POD)?;
    let mut placed = gated.clone();
    placed["spec"].as_object_mut().context("no spec")?.remove("schedulingGates");
    leaves(&pods, &placed).await?;
    gated["metadata"]["name"] = json!("web-x-2");
    gated["spec"].as_object_mut().context("no spec")?.remove("nodeName");
    gated.as_object_mut().context("no pod")?.remove("status");
    create(&pods, gated.clone()).await?;
    let node: Value = serde_json::from_str(NODE)?;
    leaves(&Api::<Node>::all(client.clone()), &node).await?;

    // What the API server drops, or has not been given, would say nothing.
    let lists = Lists::new(bed.control_plane().config_of(ADMIN)?)?;
    let read = lists.namespaced::<Pod>("shop").list(&ListParams::default()).await?.items;
    for (read, written) in read.into_iter().zip([placed, gated]) {
        has_all_of(read, written)?;
    }
    let read = lists.all::<Node>().list(&ListParams::default()).await?.items;
    let read = read.into_iter().find(|read| Some(read.name_any().as_str()) == node["metadata"]["name"].as_str());
    has_all_of(read.context("the node is not listed")?, node)?;
    are_of_the_whole(&bed).await?;
    Ok(None)
}

/// What is read has everything that is read of what was written.
fn has_all_of<K: Partly + Serialize>(read: Part<K>, written: Value) -> anyhow::Result<()> {
    let written: Part<K> = serde_json::from_value(written)?;
    let (read, mut missing) = (serde_json::to_value(read.whole())?, Vec::new());
    missing_in(&read, &serde_json::to_value(written.whole())?, "", &mut missing);
    anyhow::ensure!(missing.is_empty(), "{missing:?} is missing of {read}");
    Ok(())
}

fn missing_in(read: &Value, written: &Value, path: &str, missing: &mut Vec<String>) {
    let mut look = |key: String, found: Option<&Value>, wanted: &Value| match found {
        Some(found) => missing_in(found, wanted, &format!("{path}/{key}"), missing),
        None => missing.push(format!("{path}/{key}")),
    };
    match written {
        Value::Object(fields) => fields.iter().for_each(|(key, wanted)| look(key.clone(), read.get(key), wanted)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, wanted)| look(index.to_string(), read.get(index), wanted));
        }
        _ => {}
    }
}

/// Creates the object with its status and deletes it; its finalizer keeps it.
async fn leaves<K>(api: &Api<K>, object: &Value) -> anyhow::Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = create(api, object.clone()).await?.name_any();
    let status = json!({"status": object["status"]});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    api.delete(&name, &DeleteParams::background().grace_period(0)).await?;
    Ok(())
}

async fn create<K>(api: &Api<K>, object: Value) -> anyhow::Result<K>
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object)?;
    Ok(api.create(&PostParams::default(), &object).await?)
}
