//! A world on the real API server: its objects created, what the scheduler decides, and all of it taken away. Never
//! judges.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::wait_for;
use tokio::sync::watch;

use crate::generate::{LATE_CLASS, Plan};

/// How long anything may take to come about; only a failure takes this long.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// What the scheduler said of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It was bound to this node.
    Bound(String),
    /// It found no place: why.
    Refused(String),
}

/// The scheduler's decisions as a watch sees them.
pub struct Decisions {
    seen: Arc<Mutex<BTreeMap<String, (String, Decision)>>>,
    changed: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Decisions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Decisions {
    /// Watches the pods of all worlds.
    pub fn watch(client: Client) -> Self {
        let (sender, changed) = watch::channel(0);
        let seen: Arc<Mutex<BTreeMap<String, (String, Decision)>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let pods: Api<Pod> = Api::all(client);
            let events = watcher(pods, watcher::Config::default().labels("differential=true"));
            let decided = events.default_backoff().applied_objects().try_for_each(|pod| {
                if let (Some(decision), Some(uid)) = (decision(&pod), pod.uid()) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(pod.name_any(), (uid, decision));
                    sender.send_modify(|count| *count += 1);
                }
                std::future::ready(Ok(()))
            });
            if let Err(error) = decided.await {
                eprintln!("the watch of the pods ended: {error}");
            }
        });
        Self { seen, changed, task }
    }

    /// Waits until the scheduler has decided about this pod.
    pub async fn of(&self, pod: &Pod) -> anyhow::Result<Decision> {
        self.until(pod, DEADLINE, |_| true).await.with_context(|| format!("no decision about {}", pod.name_any()))
    }

    /// Waits until the scheduler binds this pod, for a while; the last decision otherwise.
    pub async fn settled(&self, pod: &Pod) -> anyhow::Result<Decision> {
        match self.until(pod, Duration::from_secs(3), |decision| matches!(decision, Decision::Bound(_))).await {
            Ok(decision) => Ok(decision),
            Err(_) => self.of(pod).await,
        }
    }

    async fn until(
        &self,
        pod: &Pod,
        patience: Duration,
        enough: impl Fn(&Decision) -> bool,
    ) -> anyhow::Result<Decision> {
        let mut changed = self.changed.clone();
        let (name, uid) = (pod.name_any(), pod.uid());
        let look = async {
            loop {
                changed.borrow_and_update();
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
                match seen {
                    Some((of, decision)) if Some(&of) == uid.as_ref() && enough(&decision) => return Ok(decision),
                    _ => changed.changed().await.context("the watch of the pods has ended")?,
                }
            }
        };
        tokio::time::timeout(patience, look).await.context("it took too long")?
    }
}

fn decision(pod: &Pod) -> Option<Decision> {
    if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
        return Some(Decision::Bound(node));
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let condition =
        conditions?.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let reason = condition.reason.clone().unwrap_or_default();
    Some(Decision::Refused(format!("{reason}: {}", condition.message.clone().unwrap_or_default())))
}

/// Two namespaces in which worlds live one after the other, with the labels `team=a` and `team=b`.
pub async fn namespaces(client: &Client, slot: usize) -> anyhow::Result<[String; 2]> {
    let names = ["a", "b"].map(|team| format!("slot{slot}-{team}"));
    for (name, team) in names.iter().zip(["a", "b"]) {
        namespace(client, name, json!({"team": team})).await?;
    }
    Ok(names)
}

/// A namespace in which pods can be created.
pub async fn namespace(client: &Client, name: &str, labels: Value) -> anyhow::Result<()> {
    let namespace = json!({"metadata": {"name": name, "labels": labels}});
    create::<Namespace>(&Api::all(client.clone()), &namespace).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    wait_for(&format!("the service account of {name}"), DEADLINE, async || {
        Ok(accounts.get_opt("default").await?.map(|_| ()).ok_or("none"))
    })
    .await
}

/// The storage class whose volumes are bound late.
pub async fn late_class(client: &Client) -> anyhow::Result<()> {
    let class = json!({
        "metadata": {"name": LATE_CLASS}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"
    });
    create::<StorageClass>(&Api::all(client.clone()), &class).await.map(|_| ())
}

/// Creates an object that is written as JSON.
pub async fn create<K>(api: &Api<K>, object: &Value) -> anyhow::Result<K>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let parsed = serde_json::from_value(object.clone()).with_context(|| format!("not an object: {object}"))?;
    api.create(&PostParams::default(), &parsed).await.with_context(|| format!("{object} was refused"))
}

/// The objects of a world as the API server holds them.
pub struct Stage {
    client: Client,
    world: String,
    namespaces: [String; 2],
    has_volumes: bool,
    /// The nodes, with the taints that controllers add.
    pub nodes: Vec<Node>,
    /// What nodes can attach.
    pub csi_nodes: Vec<CSINode>,
    /// Pods on nodes.
    pub running: Vec<Pod>,
}

impl Stage {
    /// Creates all but the pending pods, and returns when controllers have nothing left to do.
    pub async fn set(client: &Client, plan: &Plan, namespaces: [String; 2]) -> anyhow::Result<Self> {
        let mut stage = Self {
            client: client.clone(),
            world: plan.name.clone(),
            namespaces,
            has_volumes: !plan.volumes.is_empty(),
            nodes: Vec::new(),
            csi_nodes: Vec::new(),
            running: Vec::new(),
        };
        for node in &plan.nodes {
            create::<Node>(&stage.all(), node).await?;
        }
        for node in &plan.csi_nodes {
            stage.csi_nodes.push(create(&stage.all(), node).await?);
        }
        for volume in &plan.volumes {
            create::<PersistentVolume>(&stage.all(), volume).await?;
        }
        for claim in &plan.claims {
            create::<PersistentVolumeClaim>(&stage.of(claim), claim).await?;
        }
        stage.nodes = stage.settled_nodes(&plan.nodes).await?;
        stage.wait_for_claims().await?;
        for pod in &plan.running {
            let pods = stage.of(pod);
            let mut running: Pod = create(&pods, pod).await?;
            if running.metadata.finalizers.is_some() {
                pods.delete(&running.name_any(), &DeleteParams::default()).await?;
                running = pods.get(&running.name_any()).await?;
            }
            stage.running.push(running);
        }
        Ok(stage)
    }

    /// Creates a pod for the scheduler to place.
    pub async fn submit(&self, pod: &Value) -> anyhow::Result<Pod> {
        create(&self.of(pod), pod).await
    }

    /// Takes a pod away that found no place, or is to be asked for again.
    pub async fn withdraw(&self, pod: &Pod) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        wait_for("a pod to go", DEADLINE, async || {
            Ok(pods.get_opt(&pod.name_any()).await?.map_or(Ok(()), |_| Err("it is there")))
        })
        .await
    }

    /// The claims and volumes as they are now.
    pub async fn storage(&self) -> anyhow::Result<(Vec<PersistentVolumeClaim>, Vec<PersistentVolume>)> {
        let mut claims = Vec::new();
        if !self.has_volumes {
            return Ok((claims, Vec::new()));
        }
        for namespace in &self.namespaces {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            claims.extend(api.list(&self.mine()).await?.items);
        }
        let volumes: Api<PersistentVolume> = self.all();
        Ok((claims, volumes.list(&self.mine()).await?.items))
    }

    /// Takes everything away.
    pub async fn strike(self) -> anyhow::Result<()> {
        let now = DeleteParams::default().grace_period(0);
        for pod in self.running.iter().filter(|pod| pod.metadata.finalizers.is_some()) {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            // It may be gone as soon as nothing holds it.
            pods.patch(&pod.name_any(), &PatchParams::default(), &release).await.ok();
        }
        for namespace in &self.namespaces {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            pods.delete_collection(&now, &self.mine()).await?;
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            claims.delete_collection(&now, &self.mine()).await?;
        }
        self.all::<PersistentVolume>().delete_collection(&now, &self.mine()).await?;
        self.all::<CSINode>().delete_collection(&now, &self.mine()).await?;
        self.all::<Node>().delete_collection(&now, &self.mine()).await?;
        Ok(())
    }

    fn mine(&self) -> ListParams {
        ListParams::default().labels(&format!("world={}", self.world))
    }

    fn all<K: Resource<Scope = ClusterResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    fn of<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self, object: &Value) -> Api<K> {
        Api::namespaced(self.client.clone(), object["metadata"]["namespace"].as_str().unwrap_or_default())
    }

    /// The nodes, once the node controllers have made their taints what they will be.
    async fn settled_nodes(&self, planned: &[Value]) -> anyhow::Result<Vec<Node>> {
        wait_for(&format!("the nodes of {} to settle", self.world), DEADLINE, async || {
            let nodes = self.all::<Node>().list(&self.mine()).await?.items;
            let settled = nodes.iter().all(|node| planned.iter().any(|planned| is_settled(node, planned)));
            Ok(if settled && nodes.len() == planned.len() { Ok(nodes) } else { Err("other taints") })
        })
        .await
    }

    async fn wait_for_claims(&self) -> anyhow::Result<()> {
        wait_for(&format!("the claims of {} to be bound", self.world), DEADLINE, async || {
            let (claims, _) = self.storage().await?;
            let bound = |claim: &PersistentVolumeClaim| {
                let late =
                    claim.spec.as_ref().is_some_and(|spec| spec.storage_class_name.as_deref() == Some(LATE_CLASS));
                late || claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
            };
            Ok(if claims.iter().all(bound) { Ok(()) } else { Err("not bound") })
        })
        .await
    }
}

/// Whether the node has as many taints as planned, and the one of a cordon where it is cordoned.
fn is_settled(node: &Node, planned: &Value) -> bool {
    let spec = node.spec.clone().unwrap_or_default();
    let taints = spec.taints.unwrap_or_default();
    let cordoned = planned["spec"]["unschedulable"] == json!(true);
    let expected = planned["spec"]["taints"].as_array().map_or(0, Vec::len) + usize::from(cordoned);
    planned["metadata"]["name"] == json!(node.name_any())
        && taints.len() == expected
        && taints.iter().any(|taint| taint.key == "node.kubernetes.io/unschedulable") == cordoned
        && !taints.iter().any(|taint| taint.key == "node.kubernetes.io/not-ready")
}
