//! The operation that runs on a policy's pool, or the drain of its nodes, as the status tells it. Never asks how it goes.

use nodepool_kernel::{AgentPool, Change, Drain, Node, Readiness, Verdict, Version};

use super::status::{Circumstances, brief, rfc3339, shortened};
use crate::api::{HistoryEntry, Operation, outcome};

/// The operation that runs on the pool, with what is known of it from before. While ARM has not been read, what was
/// known stays: its end is still to be recorded.
pub(super) fn operation(
    before: Option<&Operation>,
    history: &[HistoryEntry],
    about: &Circumstances<'_>,
    now: &str,
) -> Option<Operation> {
    let kind = match (about.pool.and_then(|pool| pool.state.operation()), about.in_flight) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "Accepted",
        (None, None) if about.is_unobserved() => return before.filter(|before| !before.is_drain()).cloned(),
        (None, None) if about.joining.is_some() => {
            let before = before.filter(|before| !before.is_drain())?.clone();
            return Some(Operation { percent: joined(&before, about), ..before });
        }
        (None, None) => return drain(about),
    };
    let step = about.in_flight.map(|step| step.change.to_string());
    let field = about.in_flight.map(|step| step.change.purpose().to_string());
    // Another step than before is another operation.
    let before = before.filter(|before| !before.is_drain() && (step.is_none() || step == before.step));
    let step = step.or_else(|| before.and_then(|before| before.step.clone()));
    Some(Operation {
        kind: kind.to_owned(),
        since: before.map_or_else(|| now.to_owned(), |operation| operation.since.clone()),
        field: field.or_else(|| before.and_then(|before| before.field.clone())),
        started_by: if step.is_some() { Operation::THIS_POLICY } else { Operation::UNKNOWN }.to_owned(),
        percent: about.in_flight.and_then(|step| percent(&step.change, about)),
        correlation_id: step.as_deref().and_then(|step| correlation(history, step)),
        step,
    })
}

/// The id of the request that began the step last.
fn correlation(history: &[HistoryEntry], step: &str) -> Option<String> {
    let step = brief(step);
    let began = history.iter().rev().find(|entry| entry.outcome == outcome::STARTED && entry.step == step)?;
    began.correlation_id.clone()
}

/// The drain of the policy's nodes, if one is under way: since when, what is next, and what that waits for.
fn drain(about: &Circumstances<'_>) -> Option<Operation> {
    let own = nodes_of(about).filter(|node| node.is_drained_for(&about.plan.policy));
    let since = own.filter_map(|node| Some(node.drained()?.since)).min()?;
    let step_that = |is_next: fn(&Change) -> bool| about.verdicts.iter().find(|it| is_next(&it.step().change));
    let next = step_that(Change::ends_drain).or_else(|| step_that(Change::removes))?;
    let step = &next.step().change;
    let says = match next {
        Verdict::Approved(_) => step.to_string(),
        Verdict::Waits { reason, .. } => format!("{step}; waits for {reason}"),
        Verdict::Refused(refusal) => {
            let finding = refusal.leading().map(|broken| broken.finding.as_str()).unwrap_or_default();
            format!("{step}; waits: {finding}")
        }
    };
    Some(Operation {
        kind: Operation::DRAINING.to_owned(),
        since: rfc3339(since),
        step: Some(shortened(&says)),
        field: Some(step.purpose().to_string()),
        started_by: Operation::THIS_POLICY.to_owned(),
        percent: None,
        correlation_id: None,
    })
}

/// The nodes of the policy's pool, as far as they are known.
fn nodes_of<'a>(about: &'a Circumstances<'_>) -> impl Iterator<Item = &'a Node> {
    let nodes = about.nodes.value().into_iter().flatten();
    nodes.filter(|node| node.pool.as_deref() == Some(&about.plan.pool))
}

fn is_ready(node: &Node) -> bool {
    matches!(node.readiness, Readiness::Ready { .. })
}

/// How much of the nodes of a new or started pool is Ready.
fn joined(operation: &Operation, about: &Circumstances<'_>) -> Option<i32> {
    let pool = about.pool.filter(|_| operation.brings_nodes() && about.nodes.value().is_some())?;
    share(nodes_of(about).filter(|node| is_ready(node)).count(), pool.count)
}

/// How much of a change the nodes show to be done, from 0 to 100, where they show it.
fn percent(change: &Change, about: &Circumstances<'_>) -> Option<i32> {
    about.nodes.value()?;
    let counted = |is_done: &dyn Fn(&Node) -> bool| nodes_of(about).filter(|node| is_done(node)).count();
    let counts = |pool: &AgentPool| pool.count;
    match change {
        Change::Create(new) => share(counted(&is_ready), new.count),
        Change::Start => share(counted(&is_ready), about.pool.map_or(0, counts)),
        Change::Version { to, .. } => {
            let runs = |node: &Node| Version::parse(node.kubelet_version.trim_start_matches('v'));
            let is_done = |node: &Node| is_ready(node) && runs(node).is_some_and(|version| to.covers(version));
            share(counted(&is_done), about.pool.map_or(0, counts))
        }
        Change::NodeImage { from } => {
            let has_another = |node: &Node| node.image_version.as_ref().is_some_and(|image| image != from);
            share(counted(&|node| is_ready(node) && has_another(node)), about.pool.map_or(0, counts))
        }
        Change::Count { .. } | Change::Drain(Drain::RemoveMachines { .. }) => {
            let (from, to) = change.counts()?;
            let (before, present) = (usize::try_from(from).ok()?, counted(&|node| to < from || is_ready(node)));
            let done = if to > from { present.saturating_sub(before) } else { before.saturating_sub(present) };
            share(done, from.abs_diff(to))
        }
        _ => None,
    }
}

/// So many of the whole, in percent.
fn share(done: usize, whole: u32) -> Option<i32> {
    let whole = usize::try_from(whole).ok().filter(|whole| *whole > 0)?;
    i32::try_from(done.min(whole).saturating_mul(100) / whole).ok()
}
