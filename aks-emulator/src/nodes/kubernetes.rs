//! Nodes on a real API server: kept as AKS keeps them, with whatever makes them Ready standing in for the kubelet.
//! Never touches nodes of other pools.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use super::budgets;
use super::deallocated::is_deallocated;
use super::drain::{self, error};
use super::{
    Applied, ClusterSide, Deallocation, Instance, Mark, NewInstance, NodeError, NodePool, NodeSide, kubelet, names,
    object, reconcile,
};

/// What the emulator calls itself towards the API server, so that an audit log can tell its evictions from others.
const AGENT: &str = "aks-emulator";
/// How often a write that lost a race is made again on the newer object.
const TRIES: usize = 20;

/// The nodes of all pools on one API server.
#[derive(Clone)]
pub struct KubernetesNodes {
    pub(super) client: Client,
}

impl std::fmt::Debug for KubernetesNodes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KubernetesNodes")
    }
}

impl KubernetesNodes {
    /// Nodes reached with a client of the caller's, its `User-Agent` and retries included; [`KubernetesNodes::connect`]
    /// is better where a configuration is at hand.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Nodes reached with a client of its own, whose `User-Agent` is `aks-emulator`.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration, such as a certificate that cannot be read.
    pub fn connect(mut config: Config) -> Result<Self, kube::Error> {
        let agent: (HeaderName, HeaderValue) = (USER_AGENT, HeaderValue::from_static(AGENT));
        config.headers.push(agent);
        // An eviction that a budget refuses is answered 429, and the drain asks again at its own pace.
        config.default_retry = false;
        Client::try_from(config).map(Self::new)
    }

    pub(super) fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    pub(super) async fn nodes_of(&self, pool: &NodePool) -> Result<Vec<Node>, NodeError> {
        let params = ListParams::default().labels(&format!("{}={}", object::POOL_LABEL, pool.name));
        let mut nodes = self
            .nodes()
            .list(&params)
            .await
            .map(|list| list.items)
            .map_err(|source| error("list the nodes of pool", &pool.name, source))?;
        // The label could be on anything; the name is only on this cluster's instances.
        nodes.retain(|node| node.name_any().starts_with(&pool.scale_set));
        Ok(nodes)
    }

    async fn register(&self, node: &Node) -> Result<(), NodeError> {
        match self.nodes().create(&PostParams::default(), node).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(source) => Err(error("create node", &node.name_any(), source)),
        }
    }

    /// Writes a node's change, on the newest object if another write came first. A node that is gone is left alone.
    pub(super) async fn patch(
        &self,
        name: &str,
        change: impl Fn(&Node) -> Option<Value> + Send + Sync,
    ) -> Result<(), NodeError> {
        let mut lost = None;
        for _ in 0..TRIES {
            let node = match self.nodes().get_opt(name).await {
                Ok(Some(node)) => node,
                Ok(None) => return Ok(()),
                Err(source) => return Err(error("read node", name, source)),
            };
            let Some(mut patch) = change(&node) else {
                return Ok(());
            };
            set(&mut patch, "metadata", "resourceVersion", json!(node.resource_version()));
            let outcome = self.nodes().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            match outcome {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    lost = Some(kube::Error::Api(status));
                }
                Err(source) => return Err(error("write node", name, source)),
            }
        }
        lost.map_or(Ok(()), |source| Err(error("write node", name, source)))
    }
}

#[async_trait]
impl NodeSide for KubernetesNodes {
    async fn list(&self, pool: &NodePool) -> Result<Vec<Instance>, NodeError> {
        let nodes = self.nodes_of(pool).await?;
        Ok(nodes.iter().filter(|node| !is_deallocated(node)).filter_map(instance).collect())
    }

    async fn create(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.register(&object::node(pool, instance)).await
    }

    async fn create_silent(&self, pool: &NodePool, instance: &NewInstance) -> Result<(), NodeError> {
        self.register(&kubelet::silenced(object::node(pool, instance))).await
    }

    async fn set_reporting(&self, node: &str, reporting: bool) -> Result<(), NodeError> {
        if reporting { self.start_kubelet(node).await } else { self.stop_kubelet(node).await }
    }

    async fn write(&self, pool: &NodePool, applied: &Applied) -> Result<(), NodeError> {
        for node in self.nodes_of(pool).await? {
            self.patch(&node.name_any(), |node| in_place(node, pool, applied)).await?;
        }
        Ok(())
    }

    async fn cordon(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| {
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable);
            (cordoned != Some(true)).then(|| json!({"spec": {"unschedulable": true}}))
        })
        .await
    }

    async fn drain(&self, node: &str, budgets: bool, timeout: Duration) -> Result<(), NodeError> {
        drain::drain(&self.client, node, budgets, timeout).await
    }

    async fn issuer_keys(&self) -> Result<Option<super::IssuerKeys>, NodeError> {
        super::issuer::read(&self.client).await.map(Some)
    }

    async fn delete(&self, node: &str) -> Result<(), NodeError> {
        match self.nodes().delete(node, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(error("delete node", node, source)),
        }
        drain::delete_all(&self.client, node).await
    }

    fn cluster(&self) -> Option<&dyn ClusterSide> {
        Some(self)
    }

    fn deallocation(&self) -> Option<&dyn Deallocation> {
        Some(self)
    }

    async fn budgets_against(&self, nodes: &[String]) -> Result<Vec<String>, NodeError> {
        budgets::against(&self.client, nodes).await
    }

    async fn marks(&self, pool: &NodePool) -> Result<BTreeMap<String, Mark>, NodeError> {
        let nodes = self.nodes_of(pool).await?;
        Ok(nodes.iter().map(|node| (node.name_any(), mark(node))).collect())
    }

    async fn uncordon(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| {
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable);
            (cordoned == Some(true)).then(|| json!({"spec": {"unschedulable": null}}))
        })
        .await
    }

    async fn quarantine(&self, node: &str) -> Result<(), NodeError> {
        self.patch(node, |node| {
            let labels = json!({object::UPGRADE_STATUS_LABEL: object::QUARANTINED});
            let patch = || json!({"metadata": {"labels": labels}, "spec": {"unschedulable": true}});
            (!mark(node).quarantined).then(patch)
        })
        .await
    }

    async fn replace(&self, pool: &NodePool, instance: &NewInstance, uid: &str) -> Result<(), NodeError> {
        let name = names::node(&pool.scale_set, instance.number);
        let there = self.nodes().get_opt(&name).await.map_err(|source| error("read node", &name, source))?;
        match there {
            Some(node) if mark(&node).uid == uid => self.delete(&name).await?,
            Some(_) => return Ok(()),
            None => {}
        }
        self.create(pool, instance).await
    }
}

/// What a rolling change must know of a node.
fn mark(node: &Node) -> Mark {
    let status = node.labels().get(object::UPGRADE_STATUS_LABEL);
    Mark {
        uid: node.uid().unwrap_or_default(),
        quarantined: status.is_some_and(|status| status == object::QUARANTINED),
    }
}

/// The merge patch that brings a node to its pool's labels and taints, or `None` if it is there.
fn in_place(node: &Node, pool: &NodePool, applied: &Applied) -> Option<Value> {
    let labels = reconcile::label_changes(node.labels(), pool, applied);
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let taints = reconcile::taints_after(&current, pool, applied);
    if labels.is_empty() && taints.is_none() {
        return None;
    }
    let mut patch = json!({"metadata": {"labels": labels}});
    if let Some(taints) = taints {
        set(&mut patch, "spec", "taints", json!(taints));
    }
    Some(patch)
}

/// Sets one member of one part of a patch.
pub(super) fn set(patch: &mut Value, part: &str, member: &str, value: Value) {
    if let Some(patch) = patch.as_object_mut() {
        let part = patch.entry(part).or_insert_with(|| json!({}));
        if let Some(part) = part.as_object_mut() {
            part.insert(member.to_owned(), value);
        }
    }
}

/// A node as an instance of its scale set; `None` for a node that is no instance or is going away.
pub(crate) fn instance(node: &Node) -> Option<Instance> {
    if node.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = node.spec.as_ref()?;
    let number = names::instance_number(spec.provider_id.as_deref()?)?;
    let ready = node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let zone =
        node.labels().get(object::ZONE_LABEL).and_then(|zone| zone.rsplit_once('-')).map(|(_, zone)| zone.to_owned());
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let addresses = addresses.iter().filter(|of| of.type_ == "InternalIP").map(|of| of.address.clone()).collect();
    Some(Instance { name: node.name_any(), number, zone, ready, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::object::tests::pool;

    #[test]
    fn an_instance_is_read_back_from_its_node() {
        for zone in [None, Some("3".to_owned())] {
            let new = NewInstance { number: 41, zone };
            let mut node = object::node(&pool(), &new);
            let read = instance(&node).unwrap();
            assert_eq!((read.number, &read.zone), (41, &new.zone));
            assert!(!read.ready);
            node.spec.as_mut().unwrap().provider_id = None;
            assert_eq!(instance(&node), None);
        }
    }

    #[test]
    fn a_node_that_is_as_it_should_be_gets_no_patch() {
        let new = NewInstance { number: 1, zone: None };
        let mut pool = pool();
        pool.initialization_taints.clear();
        let node = object::node(&pool, &new);
        assert_eq!(in_place(&node, &pool, &Applied::default()), None);
        pool.taints.clear();
        let applied = Applied { taints: ["team=apps:NoSchedule".to_owned()].into(), ..Applied::default() };
        let patch = in_place(&node, &pool, &applied).unwrap();
        assert_eq!(patch["spec"]["taints"], json!([]));
    }
}
