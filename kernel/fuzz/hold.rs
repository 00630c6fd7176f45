//! What any snapshot is held to, shared by the fuzz target and the tests: no panic, and less information approves no step
//! that is refused. Never looks whether a verdict is the right one.

use arbitrary::{Arbitrary, Result, Unstructured};
use nodepool_kernel::{
    Known, ProvisioningState, Readiness, Settings, Snapshot, Span, Step, Time, decide, given_up, guard, plan,
};

use crate::strange::{settings, snapshot, step};

/// How many steps were judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged {
    /// Steps that passed.
    pub approved: usize,
    /// Of those, the changes of drains that take nodes or pods away.
    pub drains: usize,
    /// Steps that were refused.
    pub refused: usize,
}

/// Plans and judges the snapshot that the bytes stand for, and the same with less information.
pub fn hold(input: &[u8]) -> Judged {
    // Bytes that are missing count as zeros.
    judge(&mut Unstructured::new(input)).unwrap_or_default()
}

fn judge(input: &mut Unstructured<'_>) -> Result<Judged> {
    let (whole, settings) = (snapshot(input)?, settings(input)?);
    let plan = plan(&whole, &settings);
    let verdicts = decide(&plan, &whole, &settings);
    for verdict in &verdicts {
        let _ = format!("{verdict:?} {}", verdict.step());
    }
    let _ = format!("{:?}", given_up(&plan, &verdicts, &whole, &settings));
    let left_behind = plan.left_behind.into_iter();
    let mut steps: Vec<Step> = plan.policies.into_iter().flat_map(|policy| policy.steps).chain(left_behind).collect();
    for _ in 0..4 {
        steps.push(step(input, &whole)?);
    }
    let poorer = degrade(&whole, &settings, u64::arbitrary(input)?);
    let mut judged = Judged::default();
    for step in steps {
        let passes = guard(step.clone(), &whole, &settings).is_ok();
        let counted = if passes { &mut judged.approved } else { &mut judged.refused };
        *counted += 1;
        judged.drains += usize::from(passes && step.change.aim().is_some());
        for (loss, poorer) in &poorer {
            if *loss == Loss::Marks && step.change.aim().is_some() {
                continue;
            }
            // Whatever else is known or not, nodes that this operator cordoned may be opened again.
            if !passes || *loss == Loss::Part && !step.change.ends_drain() {
                let verdict = guard(step.clone(), poorer, &settings);
                assert!(verdict.is_err(), "approved with {loss:?}: {step}\n{poorer:#?}\n{settings:?}");
            }
        }
    }
    Ok(judged)
}

/// What a snapshot has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// A part is unknown or too old: nothing passes.
    Part,
    /// What is left may be enough.
    Detail,
    /// Whose drain it is that closed a node: a change of the drain is about fewer nodes then, and may be enough.
    Marks,
}

/// The snapshot with less information in it, in several ways.
fn degrade(whole: &Snapshot, settings: &Settings, which: u64) -> Vec<(Loss, Snapshot)> {
    let mut poorer: Vec<(Loss, Snapshot)> = vec![];
    let mut with = |loss, change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = whole.clone();
        change(&mut snapshot);
        poorer.push((loss, snapshot));
    };
    with(Loss::Detail, &|it| it.issuer = Known::unknown("no answer"));
    for at in [None, too_old(whole.now, settings.stale_after)] {
        with(Loss::Part, &|it| spoil(&mut it.intents, at));
        with(Loss::Part, &|it| spoil(&mut it.cluster, at));
        with(Loss::Part, &|it| spoil(&mut it.nodes, at));
        with(Loss::Part, &|it| spoil(&mut it.pods, at));
        with(Loss::Part, &|it| spoil(&mut it.budgets, at));
        with(Loss::Part, &|it| spoil(&mut it.workloads, at));
    }
    with(Loss::Detail, &|it| it.dependents.clear());
    with(Loss::Detail, &|it| it.occupancy.clear());
    with(Loss::Detail, &|it| {
        for known in it.occupancy.values_mut() {
            let Known::Seen { value: occupancy, .. } = known else { continue };
            // Whoever did not look at a node did not see its pods.
            occupancy.nodes.pop_first();
            occupancy.pods.retain(|it| occupancy.nodes.contains(it.node()));
        }
    });
    with(Loss::Marks, &|it| {
        let Known::Seen { value: nodes, .. } = &mut it.nodes else { return };
        for node in nodes {
            node.drain = None;
        }
    });
    let chosen = |index: usize| which >> (index % 64) & 1 == 1;
    with(Loss::Detail, &|it| {
        let mut index = 0;
        let Known::Seen { value: nodes, .. } = &mut it.nodes else { return };
        nodes.retain(|node| {
            index += 1;
            !chosen(index) || !is_plain(node, whole)
        });
    });
    with(Loss::Detail, &|it| {
        let Known::Seen { value: nodes, .. } = &mut it.nodes else { return };
        for (_, node) in nodes.iter_mut().enumerate().filter(|(index, _)| chosen(*index)) {
            node.readiness = Readiness::NotReady { since: whole.now };
        }
    });
    poorer
}

/// A time that is older than the limit, if there is one.
fn too_old(now: Time, limit: Span) -> Option<Time> {
    let limit = i64::try_from(limit.as_millis()).ok()?;
    Some(Time::from_millis(now.as_millis().checked_sub(limit)?.checked_sub(1)?))
}

fn spoil<T: Clone>(known: &mut Known<T>, at: Option<Time>) {
    *known = match (at, known.value()) {
        (Some(at), Some(value)) => Known::seen(at, value.clone()),
        _ => Known::unknown("no answer"),
    };
}

/// Whether the node speaks for nothing but capacity: one that shows an upgrade, a removal that goes on, or another cluster
/// is a warning, and a cluster without it looks better. So is one whose name another has, or one of a pool that has none in
/// ARM.
fn is_plain(node: &nodepool_kernel::Node, whole: &Snapshot) -> bool {
    let usable = matches!(node.readiness, Readiness::Ready { since } if since == node.joined)
        && node.labelled_system
        && node.taints.is_empty()
        && !node.cordoned
        && !node.deleting
        && !node.quarantined;
    let alike = whole.nodes.value().into_iter().flatten().filter(|other| other.name == node.name).count();
    let pools = whole.cluster.value().map_or(&[][..], |cluster| &cluster.pools);
    let at_rest = pools
        .iter()
        .filter(|pool| node.pool.as_ref() == Some(&pool.name))
        .all(|pool| pool.state == ProvisioningState::Succeeded && pool.count > 0);
    usable
        && at_rest
        && alike == 1
        && node.provider_id.as_deref().is_none_or(|id| id.is_empty() || id == crate::strange::OURS)
}
