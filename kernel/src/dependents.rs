//! Which pods depend on a pool that is to go: those that nothing would start again, those with data on its disks and those
//! that no node that remains would take. Never says whether the pool may go, and never takes half a picture for a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::placement::{Labels, Listing, Node, Pod, World, place};
use crate::snapshot::{Dependent, Tie};

/// Everything that runs in the cluster, as it was read for a pool that is to go.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// All nodes.
    pub nodes: Vec<Site>,
    /// All pods that run on a node or have been given one, other than finished ones.
    pub tenants: Vec<Tenant>,
    /// The labels of all namespaces.
    pub namespaces: BTreeMap<String, Labels>,
}

/// A node and the pool that it belongs to.
#[derive(Debug, Clone)]
pub struct Site {
    /// The node.
    pub node: Node,
    /// Its pool.
    pub pool: Option<String>,
    /// Whether it is proven to be none of Azure's, for example a virtual one.
    pub foreign: bool,
}

/// A pod on a node.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The name of its node.
    pub node: String,
    /// Who would start it again.
    pub tenancy: Tenancy,
    /// The first volume on a disk of its node that holds data. An `emptyDir` holds none.
    pub local_data: Option<String>,
}

/// Who starts a pod again once it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// Its DaemonSet or its node, on nodes that are there: it goes with its node.
    OfNode,
    /// Another controller.
    Controlled,
    /// Nobody.
    Alone,
}

impl Census {
    /// The pods that depend on the pool, in the order of their names.
    ///
    /// # Errors
    /// Says in words why that can't be told: nodes and pods do not fit together.
    pub fn dependents(&self, pool: &str) -> Result<Vec<Dependent>, String> {
        let homes: BTreeMap<&str, Option<&str>> =
            self.nodes.iter().map(|site| (site.node.name.as_str(), site.pool.as_deref())).collect();
        let of_no_pool = self.nodes.iter().filter(|site| site.pool.is_none() && !site.foreign);
        if let Some(lost) = of_no_pool.map(|site| &site.node.name).min() {
            return Err(format!("Kubernetes does not show which pool node {lost} belongs to"));
        }
        let on_no_node = self.tenants.iter().filter(|tenant| !homes.contains_key(tenant.node.as_str()));
        if let Some(lost) = on_no_node.min_by_key(|tenant| tenant.pod.full_name()) {
            return Err(format!("Kubernetes does not show node {}, on which {} runs", lost.node, lost.pod.full_name()));
        }
        let goes = |tenant: &&Tenant| homes.get(tenant.node.as_str()) == Some(&Some(pool));
        let here = self.tenants.iter().filter(goes).filter(|tenant| tenant.tenancy != Tenancy::OfNode);
        let (mut dependents, mut movable) = (BTreeSet::new(), Vec::new());
        for tenant in here {
            match tie(tenant) {
                Some(tie) => drop(dependents.insert(Dependent { pod: tenant.pod.full_name(), tie })),
                None if tenant.tenancy == Tenancy::Alone => {}
                None => movable.push(Pod::clone(&tenant.pod)),
            }
        }
        movable.sort_by_cached_key(Pod::full_name);
        if let Err(homeless) = place(&self.without(pool, &homes), &movable) {
            let nowhere = homeless.into_iter().map(|pod| Dependent { tie: Tie::Nowhere(pod.why()), pod: pod.pod });
            dependents.extend(nowhere);
        }
        Ok(dependents.into_iter().collect())
    }

    /// The cluster when the pool is gone.
    fn without(&self, pool: &str, homes: &BTreeMap<&str, Option<&str>>) -> World {
        let remain = self.nodes.iter().filter(|site| site.pool.as_deref() != Some(pool));
        let listing = Listing { namespaces: self.namespaces.keys().cloned().collect(), repelling: true };
        let nodes = remain.map(|site| site.node.clone()).collect();
        let mut world = World::new(nodes, Some(self.namespaces.clone()), listing);
        for tenant in self.tenants.iter().filter(|tenant| homes.get(tenant.node.as_str()) != Some(&Some(pool))) {
            world.add(&tenant.node, Arc::clone(&tenant.pod));
        }
        world
    }
}

/// What ties the pod to its pool, whatever other nodes there are. One that is on its way out and that nothing would start
/// again is lost already.
fn tie(tenant: &Tenant) -> Option<Tie> {
    match &tenant.local_data {
        _ if tenant.tenancy == Tenancy::Alone && tenant.pod.deleting => None,
        Some(volume) => Some(Tie::Data(volume.clone())),
        None => (tenant.tenancy == Tenancy::Alone).then_some(Tie::Alone),
    }
}

#[cfg(test)]
mod tests;
