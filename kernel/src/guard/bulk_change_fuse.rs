//! `BulkChangeFuse`: so many pools may be deleted, stopped or emptied within a window of time, and then a person has to say
//! that it is meant. Never counts what others do to pools.

use super::rule::{Broken, Rule, Standing};
use crate::bulk::{BulkKind, counted};
use crate::facts::Facts;
use crate::intent::Deletion;
use crate::names::{WHY_UNKNOWN, capped, counted as number, shorten};
use crate::step::Step;
use crate::time::Span;

/// How many pools a finding names.
const SHOWN: usize = 10;

/// Refuses to delete, stop or empty one more pool than may be within the window, and for now while it is not known which
/// were. A pool that is counted already may be changed again: what failed is tried again, and one that was stopped may be
/// deleted.
///
/// A drain that leads to a deletion is refused before it begins, as the deletion would be.
///
/// A person may let one change of one pool pass, by the pool's name.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    if BulkKind::of(&step.change).is_none() && !step.change.leads_to_deletion() {
        return None;
    }
    if facts.intents.iter().any(|intent| intent.policy == step.policy && intent.may_exceed_fuse) {
        return None;
    }
    let broken = |standing, finding, remedy| {
        Some(Broken { rule: Rule::BulkChangeFuse, standing, finding, remedy, pods: Vec::new() })
    };
    let recorded = match facts.bulk.fresh(facts.now, facts.settings.stale_after) {
        Ok(recorded) => recorded,
        Err(reason) => {
            let finding = format!(
                "which pools were deleted, stopped or emptied lately is not known: {}",
                shorten(&reason, WHY_UNKNOWN)
            );
            return broken(Standing::Passing, finding, UNREAD.to_owned());
        }
    };
    let (recent, mut on_their_way) = counted(recorded, facts.in_flight(), (facts.now, facts.settings));
    let is_own = |pool: &str| pool == step.pool;
    let drained = drained_for_deletion(facts).filter(|pool| !recent.iter().any(|change| change.pool == *pool));
    on_their_way.extend(drained);
    on_their_way.remove(step.pool.as_str());
    let most = facts.settings.bulk_changes;
    if recent.iter().any(|change| is_own(&change.pool)) || recent.len() + on_their_way.len() < most {
        return None;
    }
    let names = recent.iter().map(ToString::to_string);
    let names = capped(names.chain(on_their_way.iter().map(|pool| format!("{pool} (on its way)"))), SHOWN, ", ");
    let window = in_words(facts.settings.bulk_window);
    let finding = format!(
        "no more than {} may be deleted, stopped or emptied within {window}, and these were: {names}",
        number(most, "pool")
    );
    let remedy = format!(
        "see whether all of this is meant; it goes on by itself when the window has moved on; to let this one pass now: \
         kubectl annotate nodepoolpolicy {} aks.nodepool.dev/allow-bulk-change={}",
        step.policy, step.pool
    );
    broken(Standing::Lasting, finding, remedy)
}

/// Pools that are being emptied to be deleted: nothing has been written to Azure for them yet.
fn drained_for_deletion<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a str> {
    let deleting = facts.intents.iter().filter(|intent| intent.deletion == Some(Deletion::Delete));
    let begun =
        deleting.filter(|intent| facts.nodes_of(&intent.pool).iter().any(|it| it.is_drained_for(&intent.policy)));
    begun.map(|intent| intent.pool.as_str())
}

/// A span in whole minutes, or else in seconds.
fn in_words(span: Span) -> String {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match span.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(60) => number(size(seconds / 60), "minute"),
        seconds => number(size(seconds), "second"),
    }
}

const UNREAD: &str = "the operator reads the NodePoolInventory cluster by itself; if this stays, look at its log and at its \
                      access to the API server";

#[cfg(test)]
mod tests;
