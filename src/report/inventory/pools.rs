//! Every pool as Azure and Kubernetes show it, and whose it is. Never compares a pool with its policy.

use std::collections::{BTreeMap, BTreeSet};

use nodepool_kernel::{AgentPool, Cluster, FieldValue, Node, PoolKind, Readiness, Rows, winner};

use super::image::made;
use super::{Survey, small};
use crate::api::PoolEntry;

/// How many pools are listed at most: so many AKS lets a cluster have.
pub(super) const LIMIT: usize = 100;

const MOST_TAINTS: usize = 10;
const MOST_IMAGES: usize = 3;

/// What Kubernetes shows of one pool.
#[derive(Default)]
struct Shown<'a> {
    ready: usize,
    images: BTreeSet<&'a str>,
}

/// The pools by name.
pub(super) fn entries(about: &Survey<'_>, cluster: &Cluster) -> Vec<PoolEntry> {
    let nodes = about.snapshot.nodes.value().map(shown);
    let nothing = Shown::default();
    let mut entries: Vec<PoolEntry> = cluster
        .pools
        .iter()
        .map(|pool| {
            let shown = nodes.as_ref().map(|nodes| nodes.get(pool.name.as_str()).unwrap_or(&nothing));
            entry(about, cluster, pool, shown)
        })
        .collect();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn shown(nodes: &Rows<Node>) -> BTreeMap<&str, Shown<'_>> {
    let mut by_pool: BTreeMap<&str, Shown<'_>> = BTreeMap::new();
    for node in nodes {
        let Some(pool) = node.pool.as_deref() else { continue };
        let shown = by_pool.entry(pool).or_default();
        shown.ready += usize::from(matches!(node.readiness, Readiness::Ready { .. }));
        shown.images.extend(node.image_version.as_deref());
    }
    by_pool
}

fn entry(about: &Survey<'_>, cluster: &Cluster, pool: &AgentPool, shown: Option<&Shown<'_>>) -> PoolEntry {
    let mut taints: Vec<String> = pool.taints.iter().map(ToString::to_string).collect();
    taints.sort_unstable();
    taints.truncate(MOST_TAINTS);
    let bound = |of: fn(&nodepool_kernel::Autoscaling) -> u32| pool.autoscaling.as_ref().map(|it| counted(of(it)));
    let intents = about.snapshot.intents.value().map(Vec::as_slice).unwrap_or_default();
    let size = pool.settings.text("vmSize");
    PoolEntry {
        name: pool.name.clone(),
        mode: pool.mode.to_string(),
        count: (pool.kind == PoolKind::ScaleSet).then(|| counted(pool.count)),
        ready_nodes: shown.map(|shown| small(shown.ready)),
        policy: winner(intents, &pool.name).map(|intent| intent.policy.clone()),
        vm_size: (!size.is_empty()).then(|| size.to_owned()),
        zones: zones(pool),
        kubernetes_version: pool.current_version.clone(),
        behind_control_plane: is_behind(pool, cluster),
        node_images: shown.map(|shown| newest(&shown.images)).unwrap_or_default(),
        taints,
        min_count: bound(|bounds| bounds.min),
        max_count: bound(|bounds| bounds.max),
        power_state: pool.power.to_string(),
        provisioning_state: pool.state.to_string(),
    }
}

/// Whether the pool runs an older version than the control plane.
pub(super) fn is_behind(pool: &AgentPool, cluster: &Cluster) -> bool {
    cluster.version.is_some_and(|of_cluster| pool.version().is_some_and(|runs| runs.is_older_than(of_cluster)))
}

/// The zones that the pool was made for.
pub(super) fn zones(pool: &AgentPool) -> Vec<String> {
    let zones = pool.settings.values().find(|(field, _)| field.name == "zones");
    let Some((_, FieldValue::List(zones))) = zones else { return Vec::new() };
    let mut zones = zones.clone();
    zones.sort_unstable();
    zones
}

/// The newest images, the newest last.
fn newest(images: &BTreeSet<&str>) -> Vec<String> {
    let mut images: Vec<&str> = images.iter().copied().collect();
    images.sort_by_key(|image| (made(image), *image));
    images.split_off(images.len().saturating_sub(MOST_IMAGES)).into_iter().map(str::to_owned).collect()
}

fn counted(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
