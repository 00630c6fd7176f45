//! What may become of a pool, as transitions that Azure, AKS and other hands make one at a time, written from the
//! design's words and not from the kernel. Never calls the kernel.
//!
//! Whatever is under way may fail at the start, half-way or not at all, so that every state on the way counts; AKS may
//! pick any machine to remove. What happens to one pool does not depend on another, so that any state of the one may meet
//! any of the other.

use std::collections::HashSet;

use crate::world::{Pool, State, Write};

/// A pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    system: bool,
    repels: bool,
    usable: u8,
    broken: u8,
    /// Machines whose nodes have not joined.
    unborn: u8,
}

/// What still may happen to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Ahead {
    /// Machines that are to go.
    removals: u8,
    /// Usable nodes that are to go, and no others for their sake.
    chosen: u8,
    /// Machines that are to come.
    births: u8,
    /// Usable nodes that may be out of order at once.
    rolling: u8,
    mode: Option<bool>,
    repels: Option<bool>,
}

impl Moment {
    /// As Kubernetes and ARM show it now. A pool whose machines do not run, or leave, counts until they have left.
    pub fn now(pool: &Pool) -> Self {
        let nodes = pool.nodes;
        let machines = pool.count.max(nodes.number());
        Self {
            system: pool.system && pool.runs(),
            repels: pool.taints.repel(),
            usable: nodes.usable,
            broken: nodes.number() - nodes.usable,
            unborn: machines - nodes.number(),
        }
    }

    /// The same pool, no worse: with at least as many nodes in order.
    fn no_worse(self) -> impl Iterator<Item = Self> {
        let machines = self.machines();
        let of = move |usable| Self { usable, broken: machines - usable, unborn: 0, repels: false, ..self };
        (self.worth()..=machines).map(of)
    }

    /// Usable system nodes.
    pub fn worth(self) -> u8 {
        if self.system && !self.repels { self.usable } else { 0 }
    }

    /// Nodes, and machines whose nodes have not joined.
    pub fn machines(self) -> u8 {
        self.usable + self.broken + self.unborn
    }

    /// Each thing that may happen next.
    fn next(self, ahead: Ahead) -> Vec<(Self, Ahead)> {
        let mut next = vec![];
        if let Some(removals) = ahead.removals.checked_sub(1) {
            let ahead = Ahead { removals, ..ahead };
            next.extend(self.usable.checked_sub(1).map(|usable| (Self { usable, ..self }, ahead)));
            next.extend(self.broken.checked_sub(1).map(|broken| (Self { broken, ..self }, ahead)));
            next.extend(self.unborn.checked_sub(1).map(|unborn| (Self { unborn, ..self }, ahead)));
        }
        if let (Some(chosen), Some(usable)) = (ahead.chosen.checked_sub(1), self.usable.checked_sub(1)) {
            next.push((Self { usable, ..self }, Ahead { chosen, ..ahead }));
        }
        if let Some(births) = ahead.births.checked_sub(1) {
            next.push((Self { usable: self.usable + 1, ..self }, Ahead { births, ..ahead }));
        }
        if let (Some(rolling), Some(usable)) = (ahead.rolling.checked_sub(1), self.usable.checked_sub(1)) {
            next.push((Self { usable, broken: self.broken + 1, ..self }, Ahead { rolling, ..ahead }));
        }
        next.extend(ahead.mode.map(|system| (Self { system, ..self }, Ahead { mode: None, ..ahead })));
        next.extend(ahead.repels.map(|repels| (Self { repels, ..self }, Ahead { repels: None, ..ahead })));
        next
    }

    /// Every state on the way, this one included.
    fn reach(self, ahead: Ahead) -> HashSet<Self> {
        let mut seen = HashSet::from([(self, ahead)]);
        let mut open = vec![(self, ahead)];
        while let Some((moment, ahead)) = open.pop() {
            open.extend(moment.next(ahead).into_iter().filter(|next| seen.insert(*next)));
        }
        seen.into_iter().map(|(moment, _)| moment).collect()
    }
}

/// How many of its machines a pool has beyond its count.
fn excess(pool: &Pool) -> u8 {
    pool.nodes.number().saturating_sub(pool.count)
}

/// How many of its nodes the scale of a pool holds, whatever its autoscaler does.
fn least(pool: &Pool) -> u8 {
    pool.bounds.map_or(pool.count, |bounds| bounds.min.min(pool.count))
}

/// What a write to a pool in this state does.
fn written(pool: &Pool, at: Moment, write: Write, beside: bool) -> Ahead {
    let mut ahead = Ahead::default();
    match write {
        Write::Demote => ahead.mode = Some(false),
        Write::Promote => ahead.mode = Some(true),
        Write::Scale(to) => {
            ahead.removals = at.machines().saturating_sub(to);
            ahead.births = to.saturating_sub(at.machines());
        }
        Write::Taints(to) if to.repel() != at.repels => ahead.repels = Some(to.repel()),
        // The pool or its machines go; nothing rolls, and no node comes back.
        Write::Delete | Write::Empty | Write::Stop => return Ahead { removals: at.machines(), ..ahead },
        // From then on it may count.
        Write::Start => (ahead.births, ahead.mode) = (at.unborn, Some(pool.system)),
        Write::Drain(nodes) => ahead.chosen = nodes,
        // The autoscaler may take what was held before, and whatever is beyond the maximum: that it does not is not known.
        Write::Autoscale(Some(to)) => {
            let held = if to.min < least(pool) { to.min } else { to.max };
            ahead.removals = at.machines().saturating_sub(held.min(pool.count));
        }
        Write::Autoscale(None)
        | Write::Taints(_)
        | Write::Label
        | Write::Repair
        | Write::Upgrade
        | Write::Unavailable(_) => {}
    }
    // Where no node may be missing another comes first and goes last, so that there are never fewer.
    let rolling = match write {
        Write::Unavailable(to) => pool.unavailable.max(to),
        _ => pool.unavailable,
    };
    match pool.state {
        // "No delete or stop under way or failed on it": AKS goes on with it.
        State::RemovalFailed | State::StopFailed => ahead.removals = at.machines(),
        _ if write != Write::Upgrade && !pool.is_half_upgraded() => {}
        // "A pool with an upgrade under way, stopped half-way or failed is never the pool that remains for a step on
        // another pool; for steps on itself it counts by its nodes, at worst count - maxUnavailable."
        _ => ahead.rolling = if beside { at.machines() } else { rolling },
    }
    // AKS tries again what has failed: the nodes beyond the count go.
    if matches!(pool.state, State::Failed | State::HalfUpgraded | State::UpgradeFailed | State::Mixed) {
        ahead.removals = ahead.removals.max(at.machines().saturating_sub(pool.count));
    }
    ahead
}

/// What may happen to a pool without a write of ours.
fn by_others(pool: &Pool) -> Ahead {
    let machines = Moment::now(pool).machines();
    // "Surge nodes vanish", and the autoscaler may take the pool down to its minimum at any moment.
    let beyond = machines - least(pool);
    let some = Ahead::default();
    match pool.state {
        State::Succeeded | State::Failed | State::Stopped => Ahead { removals: beyond, ..some },
        State::Busy("Scaling") => Ahead { removals: beyond, births: machines - pool.nodes.number(), ..some },
        State::RemovalFailed | State::StopFailed | State::Busy("Deleting" | "Stopping") => {
            Ahead { removals: machines, ..some }
        }
        // "Everything else that AKS rolls through the nodes (unknown counts as rolling)"; an update may as well be a
        // promotion that fails, or a demotion.
        State::Busy("Updating") => Ahead { rolling: machines, removals: beyond, mode: Some(false), ..some },
        _ => Ahead { rolling: machines, removals: beyond, ..some },
    }
}

/// What a pool beside the subject may be worth, now and at any later moment.
pub fn beside(pool: &Pool) -> HashSet<u8> {
    let now = Moment::now(pool);
    let without = now.reach(by_others(pool));
    let moments = match pool.own {
        None => without,
        Some(own) => without.into_iter().flat_map(|at| at.reach(written(pool, at, own.write, true))).collect(),
    };
    moments.into_iter().map(Moment::worth).collect()
}

/// What the subject may be worth when the step begins, and during or after it. `recovers`: its nodes may
/// come back first. For a step on itself it counts by its nodes: what its autoscaler could do without the step is left out.
pub fn stepped(pool: &Pool, write: Write, recovers: bool) -> HashSet<(u8, u8)> {
    let now = Moment::now(pool);
    let now: Vec<Moment> = if recovers { now.no_worse().collect() } else { vec![now] };
    // "Surge nodes vanish", which ones is AKS's choice; a pool that failed keeps its nodes until it is written to.
    let vanishing = if pool.state == State::Succeeded { excess(pool) } else { 0 };
    let vanished = |now: Moment| {
        let moments = now.reach(Ahead { removals: vanishing, ..Ahead::default() });
        moments.into_iter().filter(move |moment| moment.machines() + vanishing == now.machines())
    };
    let begins = now.into_iter().flat_map(vanished);
    begins
        .flat_map(|at| {
            at.reach(written(pool, at, write, false)).into_iter().map(move |then| (at.worth(), then.worth()))
        })
        .collect()
}

/// What the scale of the subject holds for the add-ons before the step and after it.
pub fn guaranteed(pool: &Pool, write: Write) -> (u8, u8) {
    let before = if pool.system && pool.runs() { least(pool) } else { 0 };
    let after = match write {
        Write::Demote | Write::Delete | Write::Empty | Write::Stop => 0,
        Write::Scale(to) => before.min(to),
        Write::Drain(nodes) => before - nodes.min(before),
        Write::Autoscale(Some(to)) => before.min(to.min),
        _ => before,
    };
    (before, after)
}

/// What the scale of a pool beside the subject holds for the add-ons at worst.
pub fn guaranteed_beside(pool: &Pool) -> u8 {
    let may_leave = matches!(pool.state, State::RemovalFailed | State::Busy("Deleting" | "Stopping" | "Updating"));
    match pool.own {
        _ if may_leave => 0,
        Some(own) => guaranteed(pool, own.write).1,
        None => guaranteed(pool, Write::Label).1,
    }
}
