//! What a story looks at and does by hand in the cluster, as somebody with all rights; never as the operator.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::wait::wait_for;

/// The annotation that the testbed's kubelets look at.
const READY: &str = "testbed.nodepool.dev/ready";
/// The label with the pool of a node.
const POOL: &str = "kubernetes.azure.com/agentpool";
const DEADLINE: Duration = Duration::from_mins(2);

/// Hands and eyes in a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// With a client that has all rights.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The nodes' API.
    #[must_use]
    pub fn nodes_api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// All nodes, by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        self.list_nodes(&ListParams::default()).await
    }

    /// The nodes of a pool, by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn nodes_of(&self, pool: &str) -> anyhow::Result<Vec<Node>> {
        self.list_nodes(&ListParams::default().labels(&format!("{POOL}={pool}"))).await
    }

    async fn list_nodes(&self, which: &ListParams) -> anyhow::Result<Vec<Node>> {
        let mut nodes = self.nodes_api().list(which).await.context("nodes can't be listed")?.items;
        nodes.sort_by_key(ResourceExt::name_any);
        Ok(nodes)
    }

    /// All pods of a namespace, by name.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self, namespace: &str) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut pods = pods
            .list(&ListParams::default())
            .await
            .with_context(|| format!("pods of {namespace} can't be listed"))?
            .items;
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// All pods on a node, of every namespace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods_on(&self, node: &str) -> anyhow::Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let on_it = ListParams::default().fields(&format!("spec.nodeName={node}"));
        Ok(pods.list(&on_it).await.with_context(|| format!("pods on {node} can't be listed"))?.items)
    }

    /// Waits until the pool has exactly `count` nodes and all are Ready.
    ///
    /// # Errors
    /// When that is not so in time.
    pub async fn wait_for_ready_nodes(&self, pool: &str, count: usize) -> anyhow::Result<Vec<Node>> {
        wait_for(&format!("{count} Ready nodes of pool {pool}"), Duration::from_mins(1), async || {
            let nodes = self.nodes_of(pool).await?;
            let ready = nodes.iter().filter(|node| is_ready(node) && !is_marked_not_ready(node)).count();
            let all = nodes.len();
            Ok(if ready == count && all == count { Ok(nodes) } else { Err(format!("{ready} Ready of {all} nodes")) })
        })
        .await
    }

    /// Makes a node's kubelet stop or start reporting Ready, and waits until the node and its pods say so.
    ///
    /// # Errors
    /// When the node does not follow in time.
    pub async fn set_ready(&self, node: &str, ready: bool) -> anyhow::Result<()> {
        let value = if ready { serde_json::Value::Null } else { json!("false") };
        self.patch_node(node, &json!({"metadata": {"annotations": {READY: value}}})).await?;
        let wanted = if ready { "Ready" } else { "NotReady" };
        wait_for(&format!("node {node} to be {wanted} with the taints that go with it"), DEADLINE, async || {
            let seen = self.nodes_api().get(node).await?;
            let done = is_ready(&seen) == ready && is_marked_not_ready(&seen) != ready;
            Ok(if done { Ok(()) } else { Err(format!("Ready is {}", is_ready(&seen))) })
        })
        .await?;
        self.report_pods(node, ready).await
    }

    /// Reports the pods of a node as Ready or not, as a kubelet does that comes back, and the controllers for one that
    /// is silent.
    async fn report_pods(&self, node: &str, ready: bool) -> anyhow::Result<()> {
        let status = if ready { "True" } else { "False" };
        let report = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        for pod in self.pods_on(node).await? {
            let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            if !running || pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            match pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(&report)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => drop(other.with_context(|| format!("pod {} can't be reported", pod.name_any()))?),
            }
        }
        Ok(())
    }

    /// Cordons a node, or uncordons it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn cordon(&self, node: &str, cordoned: bool) -> anyhow::Result<()> {
        self.patch_node(node, &json!({"spec": {"unschedulable": cordoned}})).await
    }

    /// Adds a taint by hand, given as `key=value:Effect`.
    ///
    /// # Errors
    /// When the taint is malformed or the API server refuses.
    pub async fn taint(&self, node: &str, taint: &str) -> anyhow::Result<()> {
        let new = parse_taint(taint).with_context(|| format!("taint {taint:?} is not key=value:Effect"))?;
        self.change_taints(node, |taints| {
            taints.retain(|old| !(old.key == new.key && old.effect == new.effect));
            taints.push(new.clone());
        })
        .await
    }

    /// Takes away every taint with this key.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn untaint(&self, node: &str, key: &str) -> anyhow::Result<()> {
        self.change_taints(node, |taints| taints.retain(|taint| taint.key != key)).await
    }

    /// The controllers write taints too, so a change is tried again when another came first.
    async fn change_taints(&self, node: &str, change: impl Fn(&mut Vec<Taint>)) -> anyhow::Result<()> {
        wait_for(&format!("the taints of {node} to be written"), DEADLINE, async || {
            let mut seen = self.nodes_api().get(node).await?;
            change(seen.spec.get_or_insert_default().taints.get_or_insert_default());
            match self.nodes_api().replace(node, &kube::api::PostParams::default(), &seen).await {
                Ok(_) => Ok(Ok(())),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(Err("another write came first")),
                Err(error) => Err(anyhow::Error::new(error).context(format!("the taints of {node} can't be written"))),
            }
        })
        .await
    }

    async fn patch_node(&self, node: &str, patch: &serde_json::Value) -> anyhow::Result<()> {
        let patched = self.nodes_api().patch(node, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map(drop).with_context(|| format!("node {node} can't be changed"))
    }

    /// Moves every pod that no DaemonSet owns off these nodes: cordons them, evicts as budgets allow, waits until all
    /// pods run elsewhere, uncordons.
    ///
    /// # Errors
    /// When a budget does not allow it, or a pod finds no other place, in time.
    pub async fn move_pods_off(&self, nodes: &[&str]) -> anyhow::Result<()> {
        for node in nodes {
            self.cordon(node, true).await?;
        }
        let what = format!("pods to leave {}", nodes.join(", "));
        let moved = wait_for(&what, Duration::from_mins(1), async || {
            let mut left = Vec::new();
            for node in nodes {
                for pod in self.pods_on(node).await?.into_iter().filter(|pod| !is_of_daemon_set(pod)) {
                    self.evict(&pod).await?;
                    left.push(pod.name_any());
                }
            }
            let pending = self.not_running().await?;
            let done = left.is_empty() && pending.is_empty();
            Ok(if done {
                Ok(())
            } else {
                Err(format!("still there: {}; not running: {}", left.join(", "), pending.join(", ")))
            })
        });
        let moved = moved.await;
        for node in nodes {
            self.cordon(node, false).await?;
        }
        moved
    }

    /// Evicts a pod; one that a budget protects for now, or that is gone, is no error.
    async fn evict(&self, pod: &Pod) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        match pods.evict(&pod.name_any(), &EvictParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 429) => Ok(()),
            Err(error) => Err(anyhow::Error::new(error).context(format!("pod {} can't be evicted", pod.name_any()))),
        }
    }

    /// Deletes a pod without a word to anyone, as a broken machine would.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_pod(&self, namespace: &str, pod: &str) -> anyhow::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let deleted = pods.delete(pod, &DeleteParams::default().grace_period(0)).await;
        deleted.map(drop).with_context(|| format!("pod {namespace}/{pod} can't be deleted"))
    }

    async fn not_running(&self) -> anyhow::Result<Vec<String>> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let pods = pods.list(&ListParams::default()).await.context("pods can't be listed")?;
        Ok(pods.items.iter().filter(|pod| !is_running(pod)).map(ResourceExt::name_any).collect())
    }
}

/// Whether a node reports Ready.
#[must_use]
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the scheduler keeps pods from a node because it is not Ready, or was not a moment ago.
fn is_marked_not_ready(node: &Node) -> bool {
    taints(node).iter().any(|taint| taint.key == "node.kubernetes.io/not-ready")
}

/// Whether a pod runs, is Ready and is not going away.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    status.phase.as_deref() == Some("Running") && ready && pod.metadata.deletion_timestamp.is_none()
}

/// The taints of a node.
#[must_use]
pub fn taints(node: &Node) -> Vec<Taint> {
    node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default()
}

/// The node that a pod is on, if any.
#[must_use]
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether a DaemonSet owns the pod.
#[must_use]
pub fn is_of_daemon_set(pod: &Pod) -> bool {
    pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet")
}

/// How many pods are on each node.
#[must_use]
pub fn count_by_node(pods: &[Pod]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for node in pods.iter().filter_map(node_of) {
        *count.entry(node.to_owned()).or_default() += 1;
    }
    count
}

fn parse_taint(text: &str) -> anyhow::Result<Taint> {
    let Some((pair, effect)) = text.rsplit_once(':') else { bail!("it has no effect") };
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = (!value.is_empty()).then(|| value.to_owned());
    Ok(Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None })
}
