//! What is worth a look in the cluster, each with a stable reason. Never tells of what is not seen but that it is unknown, and
//! never changes anything.

use std::collections::{BTreeMap, BTreeSet};

use nodepool_kernel::{
    AgentPool, Cluster, Mode, Node, Owner, Phase, Pod, Power, Rows, TaintEffect, capped_list, winner,
};

use super::image::{is_old, made};
use super::pools::is_behind;
use super::{Survey, seen};
use crate::api::{Finding, FindingSeverity};
use crate::report::status::shortened;

/// As many system nodes AKS recommends for a cluster that is used in earnest.
const ENOUGH_SYSTEM_NODES: u32 = 3;

/// Everything that is worth a look, warnings first.
pub(super) fn all(about: &Survey<'_>, unknown: &mut Vec<String>) -> Vec<Finding> {
    let stale_after = about.settings.stale_after;
    let cluster = about.snapshot.cluster.fresh(about.snapshot.now, stale_after).ok();
    let nodes = seen(&about.snapshot.nodes, "the nodes", about, unknown);
    let pods = seen(&about.snapshot.pods, "the protected pods", about, unknown);
    let mut findings = Vec::new();
    if let Some(nodes) = nodes {
        findings.extend(application_pods(about, nodes, unknown));
    }
    if let Some(pods) = pods {
        findings.extend(pending(about, pods));
        findings.extend(restarting(about));
        findings.extend(nodes.and_then(|nodes| outside(pods, nodes)));
    }
    if let Some(cluster) = cluster {
        findings.extend(gpu_pools(cluster));
        findings.extend(few_system_nodes(cluster));
        findings.extend(behind(cluster, unknown));
        findings.extend(without_policy(about, cluster));
    }
    if let Some(nodes) = nodes {
        findings.extend(one_zone(nodes));
        findings.extend(old_images(about, nodes, unknown));
    }
    findings.sort_by(|a, b| (a.severity, &a.reason).cmp(&(b.severity, &b.reason)));
    findings
}

fn warning(reason: &str, message: &str, remedy: &str) -> Finding {
    finding(FindingSeverity::Warning, reason, message, remedy)
}

fn information(reason: &str, message: &str, remedy: &str) -> Finding {
    finding(FindingSeverity::Information, reason, message, remedy)
}

fn finding(severity: FindingSeverity, reason: &str, message: &str, remedy: &str) -> Finding {
    Finding { reason: reason.to_owned(), severity, message: shortened(message), remedy: remedy.to_owned() }
}

fn application_pods(about: &Survey<'_>, nodes: &Rows<Node>, unknown: &mut Vec<String>) -> Option<Finding> {
    let (mut pods, mut homes, mut unwatched) = (Vec::new(), BTreeSet::new(), Vec::new());
    for node in nodes.iter().filter(|node| node.labelled_system && !node.is_foreign()) {
        let Some(known) = about.sight.tenancies.get(&node.name) else {
            unwatched.push(&node.name);
            continue;
        };
        let tenants = seen(&known.tenants, &format!("the pods on system node {}", node.name), about, unknown);
        for tenant in tenants.into_iter().flatten().filter(|tenant| tenant.application) {
            pods.push(&tenant.pod);
            homes.insert(&node.name);
        }
    }
    if !unwatched.is_empty() {
        unknown.push(format!("the pods on system nodes {}: they are not watched", capped_list(unwatched)));
    }
    (!pods.is_empty()).then(|| {
        warning(
            "ApplicationPodsOnSystemNodes",
            &format!("application pods run on system nodes {}: {}", capped_list(homes), capped_list(pods)),
            "give the system pools the taint CriticalAddonsOnly=true:NoSchedule and let these pods start again; they need a \
             user pool",
        )
    })
}

fn pending(about: &Survey<'_>, pods: &Rows<Pod>) -> Option<Finding> {
    let waits = |pod: &&Pod| {
        let grace = about.settings.add_ons_stable_for;
        pod.phase == Phase::Pending && !pod.deleting && about.snapshot.now.since(pod.created) >= grace
    };
    let waiting = capped_list(pods.iter().filter(waits).map(Pod::full_name));
    (!waiting.is_empty()).then(|| {
        warning(
            "KubeSystemPodsPending",
            &format!("protected pods do not start: {waiting}"),
            "look why (kubectl describe pod): mostly the system pools have no room, or taints that these pods do not \
             tolerate",
        )
    })
}

fn restarting(about: &Survey<'_>) -> Option<Finding> {
    let pods = capped_list(&about.sight.restarting);
    (!pods.is_empty()).then(|| {
        warning(
            "KubeSystemPodsRestarting",
            &format!("protected pods restart again and again: {pods}"),
            "look at their logs (kubectl logs --previous) and at the load of their nodes",
        )
    })
}

fn outside(pods: &Rows<Pod>, nodes: &Rows<Node>) -> Option<Finding> {
    let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let is_outside = |pod: &&Pod| {
        let node = pod.node.as_deref().and_then(|name| by_name.get(name));
        pod.owner != Owner::DaemonSet && !pod.deleting && node.is_some_and(|node| !node.labelled_system)
    };
    let strays: Vec<&Pod> = pods.iter().filter(is_outside).collect();
    (!strays.is_empty()).then(|| {
        let homes = capped_list(strays.iter().filter_map(|pod| pod.node.as_deref()));
        let names = capped_list(strays.iter().map(|pod| pod.full_name()));
        warning(
            "KubeSystemPodsOutsideSystemNodes",
            &format!("protected pods run outside system nodes, on {homes}: {names}"),
            "make room on the system pools, then let these pods start again (kubectl rollout restart); a taint on the user \
             pools keeps others away",
        )
    })
}

fn gpu_pools(cluster: &Cluster) -> Option<Finding> {
    let keeps_away = |pool: &AgentPool| pool.taints.iter().any(|it| it.effect != TaintEffect::PreferNoSchedule);
    let open = cluster.pools.iter().filter(|pool| pool.has_gpu() && !keeps_away(pool));
    let open = capped_list(open.map(|pool| format!("{} ({})", pool.name, pool.settings.text("vmSize"))));
    (!open.is_empty()).then(|| {
        warning(
            "GpuPoolsWithoutTaints",
            &format!("any pod may take the nodes with graphics processors of {open}"),
            "give them a taint such as sku=gpu:NoSchedule, which the workloads that need them tolerate",
        )
    })
}

fn few_system_nodes(cluster: &Cluster) -> Option<Finding> {
    let system = || cluster.pools.iter().filter(|pool| pool.mode == Mode::System && pool.power == Power::Running);
    let total = system().fold(0_u32, |sum, pool| sum.saturating_add(pool.guaranteed_count()));
    (total < ENOUGH_SYSTEM_NODES).then(|| {
        let pools = capped_list(system().map(|pool| format!("{} {}", pool.name, pool.guaranteed_count())));
        let pools = if pools.is_empty() { "there is none".to_owned() } else { pools };
        warning(
            "FewSystemNodes",
            &format!("the system pools have fewer than {ENOUGH_SYSTEM_NODES} nodes for certain: {pools}"),
            "let them have three or more in sum: spec.count, or spec.autoscaling.minCount, of their policies",
        )
    })
}

fn behind(cluster: &Cluster, unknown: &mut Vec<String>) -> Option<Finding> {
    let Some(version) = cluster.version else {
        unknown.push("pools behind the control plane: Azure does not report its version".to_owned());
        return None;
    };
    let pools = cluster.pools.iter().filter(|pool| is_behind(pool, cluster));
    let version_of = |pool: &AgentPool| pool.current_version.clone().unwrap_or_default();
    let pools = capped_list(pools.map(|pool| format!("{} ({})", pool.name, version_of(pool))));
    (!pools.is_empty()).then(|| {
        information(
            "PoolsBehindControlPlane",
            &format!("the control plane has Kubernetes {version}, pools have less: {pools}"),
            "upgrade the pools",
        )
    })
}

fn without_policy(about: &Survey<'_>, cluster: &Cluster) -> Option<Finding> {
    let intents = about.snapshot.intents.value()?;
    let free = cluster.pools.iter().filter(|pool| winner(intents, &pool.name).is_none());
    let free = capped_list(free.map(|pool| &pool.name));
    (!free.is_empty()).then(|| {
        information(
            "PoolsWithoutPolicy",
            &format!("no policy names {free}: the operator never touches them"),
            "nothing, or write a NodePoolPolicy for each that is to be managed",
        )
    })
}

/// A node that is in no zone has the number of its fault domain as its zone, without a region.
fn one_zone(nodes: &Rows<Node>) -> Option<Finding> {
    let system = || nodes.iter().filter(|node| node.labelled_system && !node.is_foreign());
    let zones: BTreeSet<&str> =
        system().filter_map(|node| node.zone.as_deref()).filter(|zone| zone.contains('-')).collect();
    let reason = "SystemNodesInOneZone";
    let remedy = "a system pool of another or of several zones has to be a new one: spec.template.zones";
    system().next()?;
    match (zones.len(), zones.first()) {
        (0, _) => Some(information(reason, "the system nodes are in no availability zone", remedy)),
        (1, Some(zone)) => Some(warning(reason, &format!("all system nodes that are in a zone are in {zone}"), remedy)),
        _ => None,
    }
}

fn old_images(about: &Survey<'_>, nodes: &Rows<Node>, unknown: &mut Vec<String>) -> Option<Finding> {
    let mut images: BTreeSet<(&str, &str)> = BTreeSet::new();
    for node in nodes.iter().filter(|node| !node.is_foreign()) {
        let Some(pool) = node.pool.as_deref() else { continue };
        images.insert((pool, node.image_version.as_deref().unwrap_or_default()));
    }
    let (mut old, mut odd) = (Vec::new(), Vec::new());
    for (pool, image) in images {
        match made(image) {
            Some(date) if is_old(date, about.snapshot.now, about.image_may_be) => old.push(format!("{pool} ({image})")),
            Some(_) => {}
            None if image.is_empty() => odd.push(pool.to_owned()),
            None => odd.push(format!("{pool} ({image})")),
        }
    }
    if !odd.is_empty() {
        unknown.push(format!("the age of the node images of {}: their names do not tell it", capped_list(odd)));
    }
    (!old.is_empty()).then(|| {
        let days = about.image_may_be.as_secs() / 86_400;
        warning(
            "NodeImagesOld",
            &format!("node images are more than {days} days old: {}", capped_list(old)),
            "upgrade the node images (az aks nodepool upgrade --node-image-only)",
        )
    })
}
