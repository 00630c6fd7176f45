//! What hosts the cluster's own add-ons: pools, nodes, room and the add-ons themselves. Never counts room that is not seen.

use nodepool_kernel::placement::Amount;
use nodepool_kernel::{Health, Pod, Rows, Workload, capped_list};

use super::{Capacity, Survey, seen};
use crate::api::{AddOn, Headroom, SystemHealth};
use crate::observe::Room;

const MOST_COMPLAINTS: usize = 10;
const TENTHS_OF_A_CORE: Amount = 100;
const TENTHS_OF_A_GIBIBYTE: Amount = (1 << 30) / 10;

/// How the system pools and the add-ons stand.
pub(super) fn health(about: &Survey<'_>, health: &Health, capacity: &Capacity) -> SystemHealth {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let complaints = health.system_pools.iter().filter_map(|pool| pool.complaint.clone());
    SystemHealth {
        healthy_pools: count(health.healthy_pools),
        usable_nodes: count(health.usable_nodes),
        floor: count(about.settings.min_ready_system_nodes),
        guaranteed_nodes: count(health.guaranteed_nodes),
        headroom: capacity.room.map(headroom),
        add_ons: add_ons(about),
        complaints: complaints.take(MOST_COMPLAINTS).collect(),
    }
}

/// What the usable system nodes offer over all of them together, and what of it no pod asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemRoom {
    /// What they offer.
    pub offered: Room,
    /// What is left.
    pub left: Room,
}

/// The room on the usable system nodes, if everything on them is seen.
pub(super) fn room(about: &Survey<'_>, health: &Health, unknown: &mut Vec<String>) -> Option<SystemRoom> {
    let (mut offered, mut asked) = (Room::default(), Room::default());
    let mut unwatched = Vec::new();
    for name in &health.usable {
        let node = about.sight.tenancies.get(name);
        let Some((offers, node)) = node.and_then(|node| Some((node.offers?, node))) else {
            unwatched.push(name);
            continue;
        };
        let tenants = seen(&node.tenants, &format!("the pods on system node {name}"), about, unknown)?;
        add(&mut offered, &offers);
        for tenant in tenants {
            add(&mut asked, &tenant.room);
        }
    }
    if !unwatched.is_empty() {
        unknown.push(format!("the room on system nodes: {} not watched", capped_list(unwatched)));
        return None;
    }
    let left = |offered: Amount, asked: Amount| offered.saturating_sub(asked).max(0);
    let left = Room {
        cpu: left(offered.cpu, asked.cpu),
        memory: left(offered.memory, asked.memory),
        pods: left(offered.pods, asked.pods),
    };
    Some(SystemRoom { offered, left })
}

/// The room as people read it.
fn headroom(SystemRoom { offered, left }: SystemRoom) -> Headroom {
    Headroom {
        cpu: format!("{} of {} cores", tenths(left.cpu, TENTHS_OF_A_CORE), tenths(offered.cpu, TENTHS_OF_A_CORE)),
        memory: format!(
            "{} of {} GiB",
            tenths(left.memory, TENTHS_OF_A_GIBIBYTE),
            tenths(offered.memory, TENTHS_OF_A_GIBIBYTE)
        ),
        pods: format!("{} of {}", left.pods, offered.pods),
    }
}

fn add(sum: &mut Room, room: &Room) {
    sum.cpu = sum.cpu.saturating_add(room.cpu);
    sum.memory = sum.memory.saturating_add(room.memory);
    sum.pods = sum.pods.saturating_add(room.pods);
}

/// A number with one decimal, cut.
fn tenths(amount: Amount, tenth: Amount) -> String {
    let tenths = amount / tenth;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The required add-ons that the cluster has, and coredns also where it is missing.
fn add_ons(about: &Survey<'_>) -> Vec<AddOn> {
    let workloads = about.snapshot.workloads.value().map(Vec::as_slice).unwrap_or_default();
    let pods = about.snapshot.pods.value();
    let mut add_ons = Vec::new();
    for name in &about.settings.required_add_ons {
        let found: Vec<&Workload> = workloads.iter().filter(|workload| workload.name == *name).collect();
        if found.is_empty() && name == nodepool_kernel::ALWAYS_REQUIRED {
            let not_ready = Some("the Deployment does not exist".to_owned());
            add_ons.push(AddOn { name: name.clone(), ready: "0/0".to_owned(), not_ready });
        }
        add_ons.extend(found.into_iter().map(|workload| add_on(workload, pods)));
    }
    add_ons.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    add_ons.dedup();
    add_ons
}

fn add_on(workload: &Workload, pods: Option<&Rows<Pod>>) -> AddOn {
    let is_of = |pod: &&Pod| {
        let controller = pod.controller.as_ref();
        *pod.namespace == *workload.namespace
            && controller.is_some_and(|it| it.kind == "Deployment" && it.name == workload.name)
    };
    let not_ready =
        capped_list(pods.into_iter().flatten().filter(is_of).filter(|pod| !pod.ready).map(|pod| &*pod.name));
    AddOn {
        name: workload.full_name(),
        ready: format!("{}/{}", workload.ready.min(workload.updated), workload.wished),
        not_ready: (!workload.is_well() && !not_ready.is_empty()).then_some(not_ready),
    }
}

/// What is wrong with the add-ons, in words, if anything is.
pub(super) fn unwell(add_ons: &[AddOn]) -> Vec<String> {
    let is_well = |add_on: &&AddOn| add_on.ready.split_once('/').is_some_and(|(ready, wished)| ready == wished);
    let of = |add_on: &AddOn| {
        let pods = add_on.not_ready.as_ref().map(|pods| format!(" ({pods})")).unwrap_or_default();
        format!("{} has {} pods Ready{pods}", add_on.name, add_on.ready)
    };
    add_ons.iter().filter(|add_on| !is_well(add_on) || add_on.ready == "0/0").map(of).collect()
}
