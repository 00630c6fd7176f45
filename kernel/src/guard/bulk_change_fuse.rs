//! `BulkChangeFuse`: so many pools may be deleted, stopped or emptied within a window of time, and then a person has to say
//! that it is meant. Never counts what others do to pools.

use super::rule::{Broken, Rule, Standing};
use crate::bulk::{BulkKind, counted};
use crate::facts::Facts;
use crate::names::{capped, counted as number, shorten};
use crate::step::Step;
use crate::time::Span;

/// How many pools a finding names.
const SHOWN: usize = 10;

/// Refuses to delete, stop or empty one more pool than may be within the window, and for now while it is not known which
/// were. A pool that is counted already may be changed again: what failed is tried again, and one that was stopped may be
/// deleted.
///
/// A person may let one change of one pool pass, by the pool's name.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    BulkKind::of(&step.change)?;
    if facts.intents.iter().any(|intent| intent.policy == step.policy && intent.may_exceed_fuse) {
        return None;
    }
    let broken = |standing, finding, remedy| {
        Some(Broken { rule: Rule::BulkChangeFuse, standing, finding, remedy, pods: Vec::new() })
    };
    let recorded = match facts.bulk.fresh(facts.now, facts.settings.stale_after) {
        Ok(recorded) => recorded,
        Err(reason) => {
            let finding =
                format!("which pools were deleted, stopped or emptied lately is not known: {}", shorten(&reason, 240));
            return broken(Standing::Passing, finding, UNREAD.to_owned());
        }
    };
    let (recent, on_their_way) = counted(recorded, facts.in_flight(), (facts.now, facts.settings));
    let is_own = |pool: &str| pool == step.pool;
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
