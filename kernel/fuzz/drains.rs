//! What drains leave in a snapshot, likely and not: marks of policies that exist or not, pods on nodes that were looked at or not,
//! changes of drains that fit or not, and what depends on pools. Never judges.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Result};
use nodepool_kernel::{
    AgentPool, Aim, Dependent, Drain, DrainMark, Enforcement, Intent, Known, Mode, Node, Occupancy, Occupant, Os,
    Owner, Pod, PoolKind, Power, ProvisioningState, Snapshot, SystemPods, Tenancy, Tie, Time, winner,
};

use crate::strange::{Input, NAMES, few, known, number, one, pod, time};

const POLICIES: [&str; 5] = ["policy-sys", "policy-two", "policy-apps", "p", ""];

/// The mark of a drain, mostly of a policy that is there and not so old that the drain has taken too long.
pub fn mark(input: Input<'_, '_>) -> Result<DrainMark> {
    let since = if input.ratio(1, 10)? { time(input)? } else { Time::from_millis(1_799_999_400_000) };
    Ok(DrainMark { policy: one(input, &POLICIES)?, plan: one(input, &NAMES)?, since })
}

/// Mostly a drain that can go on: the policy that governs a pool permits it and wants fewer nodes, and some of them are marked.
pub fn begin(input: Input<'_, '_>, pools: &mut [AgentPool], intents: &mut [Intent], nodes: &mut [Node]) -> Result<()> {
    if pools.is_empty() {
        return Ok(());
    }
    let last = pools.len() - 1;
    let Some(pool) = pools.get_mut(input.int_in_range(0..=last)?) else { return Ok(()) };
    let Some(policy) = winner(intents, &pool.name).map(|winner| winner.policy.clone()) else { return Ok(()) };
    let of_pool = || nodes.iter().filter(|node| node.pool.as_ref() == Some(&pool.name)).count();
    let all = u32::try_from(of_pool()).unwrap_or(u32::MAX);
    if !input.ratio(1, 10)? {
        (pool.count, pool.autoscaling, pool.state) = (all, None, ProvisioningState::Succeeded);
        (pool.kind, pool.os, pool.power) = (PoolKind::ScaleSet, Os::Linux, Power::Running);
        pool.mode = if input.ratio(1, 2)? { Mode::User } else { Mode::System };
    }
    let wanted = input.int_in_range(0..=all)?;
    for intent in intents.iter_mut().filter(|intent| intent.policy == policy) {
        (intent.system_pods, intent.count) = (SystemPods::Relocate, Some(wanted));
        (intent.attempt, intent.deletion, intent.enforcement) = (None, None, Enforcement::Enforce);
        intent.suspended = false;
    }
    for node in nodes.iter_mut().filter(|node| node.pool.as_ref() == Some(&pool.name)) {
        if input.ratio(1, 2)? {
            node.cordoned = true;
            node.drain = Some(Box::new(DrainMark { policy: policy.clone(), ..mark(input)? }));
        }
    }
    Ok(())
}

fn occupant(input: Input<'_, '_>, pod: Pod, protected: bool) -> Result<Occupant> {
    let tenancy = match pod.owner {
        Owner::DaemonSet => Tenancy::OfNode,
        Owner::Other if input.ratio(1, 10)? => Tenancy::Alone,
        Owner::Other => Tenancy::Controlled,
    };
    Ok(Occupant { uid: one(input, &["u", "v", ""])?, tenancy, protected, pod })
}

/// What runs on the nodes of most pools: the protected pods that are there, and others.
pub fn occupancy(input: Input<'_, '_>, seen: &Snapshot) -> Result<BTreeMap<String, Known<Occupancy>>> {
    let (nodes, pods) = (seen.nodes.value(), seen.pods.value());
    let mut all = BTreeMap::new();
    for name in NAMES.iter().take(4) {
        let mut found = Occupancy::default();
        for node in nodes.into_iter().flatten().filter(|node| node.pool.as_deref() == Some(*name)) {
            if input.ratio(1, 30)? {
                continue;
            }
            found.nodes.insert(node.name.clone());
            for pod in pods.into_iter().flatten().filter(|pod| pod.node.as_deref() == Some(&*node.name)) {
                found.pods.push(occupant(input, pod.clone(), true)?);
            }
            if input.ratio(1, 6)? {
                let pod = Pod { node: Some(node.name.as_str().into()), ..pod(input)? };
                let protected = input.ratio(1, 8)?;
                found.pods.push(occupant(input, pod, protected)?);
            }
        }
        found.budgets = few(input)?;
        if !input.ratio(1, 20)? {
            all.insert((*name).to_owned(), known(input, seen.now, found)?);
        }
    }
    Ok(all)
}

/// The pool that most changes of drains are about: one with a marked node.
pub fn of_drain<'a>(seen: &Snapshot, pools: &'a [AgentPool]) -> Option<&'a AgentPool> {
    let marked = seen.nodes.value()?.iter().find(|node| node.drain.is_some())?;
    pools.iter().find(|pool| marked.pool.as_ref() == Some(&pool.name))
}

/// A change of a drain: on nodes that are there, or any.
pub fn change(input: Input<'_, '_>, count: u32, seen: &Snapshot, pool: &str) -> Result<Drain> {
    let kind = input.int_in_range(0..=3_u8)?;
    let shown = seen.nodes.value().into_iter().flatten().filter(|node| node.pool.as_deref() == Some(pool));
    let mut nodes = Vec::new();
    for node in shown {
        let fits = node.drain.is_some() == (kind > 0);
        if if fits { input.ratio(2, 3)? } else { input.ratio(1, 20)? } {
            nodes.push(node.name.clone());
        }
    }
    if input.ratio(1, 20)? {
        nodes.push(format!("{}{}", one(input, &NAMES)?, u8::arbitrary(input)? % 10));
    }
    let gone = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let to = if input.ratio(1, 8)? { number(input)? } else { count.saturating_sub(gone) };
    let aim = if input.ratio(1, 4)? { Aim::Demotion } else { Aim::Scale { from: count, to } };
    let occupants = seen.occupancy.get(pool).and_then(Known::value).into_iter().flat_map(|found| &found.pods);
    let occupants: Vec<&Occupant> = occupants.filter(|it| nodes.iter().any(|node| node == it.node())).collect();
    Ok(match kind {
        0 => Drain::Cordon { nodes, aim },
        1 if !occupants.is_empty() => {
            let it = input.choose(&occupants)?;
            Drain::Evict { pod: it.pod.full_name(), uid: it.uid.clone(), node: it.node().to_owned(), aim }
        }
        1 => Drain::Evict { pod: one(input, &NAMES)?, uid: String::new(), node: one(input, &NAMES)?, aim },
        2 => Drain::RemoveMachines { machines: nodes, from: count },
        _ => Drain::Uncordon { nodes, why: one(input, &NAMES)? },
    })
}

/// Of most pools what depends on them, mostly nothing.
pub fn dependents(input: Input<'_, '_>, now: Time) -> Result<BTreeMap<String, Known<Vec<Dependent>>>> {
    let mut all = BTreeMap::new();
    for name in NAMES.iter().take(4) {
        let depends = input.ratio(1, 10)?;
        let dependents = if depends { vec![Dependent { pod: one(input, &NAMES)?, tie: Tie::Alone }] } else { vec![] };
        if !input.ratio(1, 20)? {
            all.insert((*name).to_owned(), known(input, now, dependents)?);
        }
    }
    Ok(all)
}
