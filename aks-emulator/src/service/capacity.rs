//! What a cluster and its location have room for: VM sizes, vCPUs, pools, nodes. Never counts what really runs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::state::{Cluster, text};
use crate::nodes::{machine_family, machine_size};

/// Nodes that a cluster may have (section 6 of the facts).
const MOST_NODES: u64 = 5000;
/// Pools that a cluster may have, if it does not say so itself.
const MOST_POOLS: u64 = 100;

/// What the subscription has in the cluster's location, as far as it is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// vCPUs of each VM family.
    pub(crate) vcpu_quota: Option<u64>,
    /// VM sizes on offer; `None` for all.
    pub(crate) vm_sizes: Option<Vec<String>>,
}

/// Refuses a pool, new or changed to these properties, for which there is no room.
pub(crate) fn check(cluster: &Cluster, name: &str, properties: &Map<String, Value>) -> Result<(), Refusal> {
    let size = text(properties, "vmSize");
    if cluster.pool(name).is_none() {
        offered(cluster, size)?;
        let most = cluster.properties.get("maxAgentPools").and_then(Value::as_u64).unwrap_or(MOST_POOLS);
        if u64::try_from(cluster.pools.len()).unwrap_or(u64::MAX) >= most {
            return Err(Refusal::too_many_pools(most));
        }
    }
    let before = cluster.pool(name).map_or(0, |pool| count(&pool.properties));
    let more = count(properties).saturating_sub(before);
    let nodes: u64 = cluster.pools.iter().map(|pool| count(&pool.properties)).sum();
    if more > 0 && nodes + more > MOST_NODES {
        return Err(Refusal::too_many_nodes(nodes + more, MOST_NODES));
    }
    quota(cluster, properties, more)
}

fn offered(cluster: &Cluster, size: &str) -> Result<(), Refusal> {
    match &cluster.limits.vm_sizes {
        Some(sizes) if !sizes.iter().any(|offered| offered.eq_ignore_ascii_case(size)) => {
            Err(Refusal::size_not_supported(size, &cluster.subscription, &cluster.location))
        }
        _ => Ok(()),
    }
}

/// Spot machines have a quota of their own, which is not bounded here.
fn quota(cluster: &Cluster, properties: &Map<String, Value>, more: u64) -> Result<(), Refusal> {
    let size = text(properties, "vmSize");
    let (Some(limit), Some((cpus, _))) = (cluster.limits.vcpu_quota, machine_size(size)) else {
        return Ok(());
    };
    if more == 0 || text(properties, "scaleSetPriority") == "Spot" {
        return Ok(());
    }
    let family = machine_family(size);
    let regular = cluster.pools.iter().filter(|pool| pool.text("scaleSetPriority") != "Spot");
    let used: u64 = regular
        .filter(|pool| machine_family(pool.text("vmSize")) == family)
        .filter_map(|pool| Some(count(&pool.properties) * machine_size(pool.text("vmSize"))?.0))
        .sum();
    let left = limit.saturating_sub(used);
    if more * cpus <= left {
        return Ok(());
    }
    Err(Refusal::no_quota(more * cpus, left, &family, &cluster.location))
}

fn count(properties: &Map<String, Value>) -> u64 {
    properties.get("count").and_then(Value::as_u64).unwrap_or_default()
}
