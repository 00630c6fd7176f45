//! What any snapshot is held to, shared by the fuzz target and the tests: no panic, and less information approves no step
//! that is refused. Never looks whether a verdict is the right one.

use arbitrary::{Arbitrary, Result, Unstructured};
use nodepool_kernel::{Known, ProvisioningState, Readiness, Settings, Snapshot, Span, Step, Time, decide, guard, plan};

use crate::strange::{settings, snapshot, step};

/// Plans and judges the snapshot that the bytes stand for, and the same with less information. Answers how many steps were
/// approved, and how many refused.
pub fn hold(input: &[u8]) -> (usize, usize) {
    // Bytes that are missing count as zeros.
    judge(&mut Unstructured::new(input)).unwrap_or_default()
}

fn judge(input: &mut Unstructured<'_>) -> Result<(usize, usize)> {
    let (whole, settings) = (snapshot(input)?, settings(input)?);
    let plan = plan(&whole, &settings);
    for verdict in decide(&plan, &whole, &settings) {
        let _ = format!("{verdict:?} {}", verdict.step());
    }
    let mut steps: Vec<Step> = plan.policies.into_iter().flat_map(|policy| policy.steps).collect();
    let pools = whole.cluster.value().map_or(&[][..], |cluster| &cluster.pools);
    let intents = whole.intents.value().map_or(&[][..], Vec::as_slice);
    for _ in 0..4 {
        steps.push(step(input, pools, intents)?);
    }
    let poorer = degrade(&whole, &settings, u64::arbitrary(input)?);
    let (mut approved, mut refused) = (0, 0);
    for step in steps {
        let passes = guard(step.clone(), &whole, &settings).is_ok();
        if passes {
            approved += 1;
        } else {
            refused += 1;
        }
        for (loss, poorer) in &poorer {
            if !passes || *loss == Loss::OfPart {
                let verdict = guard(step.clone(), poorer, &settings);
                assert!(verdict.is_err(), "approved with {loss:?}: {step}\n{poorer:#?}\n{settings:?}");
            }
        }
    }
    Ok((approved, refused))
}

/// What a snapshot has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// A part is unknown or too old: nothing passes.
    OfPart,
    /// What is left may be enough.
    OfDetail,
}

/// The snapshot with less information in it, in several ways.
fn degrade(whole: &Snapshot, settings: &Settings, which: u64) -> Vec<(Loss, Snapshot)> {
    let mut poorer: Vec<(Loss, Snapshot)> = vec![];
    let mut with = |loss, change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = whole.clone();
        change(&mut snapshot);
        poorer.push((loss, snapshot));
    };
    with(Loss::OfDetail, &|it| it.issuer = Known::unknown("no answer"));
    for at in [None, too_old(whole.now, settings.stale_after)] {
        with(Loss::OfPart, &|it| spoil(&mut it.intents, at));
        with(Loss::OfPart, &|it| spoil(&mut it.cluster, at));
        with(Loss::OfPart, &|it| spoil(&mut it.nodes, at));
        with(Loss::OfPart, &|it| spoil(&mut it.pods, at));
        with(Loss::OfPart, &|it| spoil(&mut it.budgets, at));
        with(Loss::OfPart, &|it| spoil(&mut it.workloads, at));
    }
    with(Loss::OfDetail, &|it| it.dependents.clear());
    let chosen = |index: usize| which >> (index % 64) & 1 == 1;
    with(Loss::OfDetail, &|it| {
        let mut index = 0;
        let Known::Seen { value: nodes, .. } = &mut it.nodes else { return };
        nodes.retain(|node| {
            index += 1;
            !chosen(index) || !is_plain(node, whole)
        });
    });
    with(Loss::OfDetail, &|it| {
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
/// is a warning, and a cluster without it looks better.
fn is_plain(node: &nodepool_kernel::Node, whole: &Snapshot) -> bool {
    let usable = matches!(node.readiness, Readiness::Ready { since } if since == node.joined)
        && node.labelled_system
        && node.taints.is_empty()
        && !node.cordoned
        && !node.deleting
        && !node.quarantined;
    let pools = whole.cluster.value().map_or(&[][..], |cluster| &cluster.pools);
    let at_rest = pools
        .iter()
        .filter(|pool| node.pool.as_ref() == Some(&pool.name))
        .all(|pool| pool.state == ProvisioningState::Succeeded);
    usable && at_rest && node.provider_id.as_deref().is_none_or(|id| id.is_empty() || id == crate::strange::OURS)
}
