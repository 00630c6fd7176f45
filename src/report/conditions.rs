//! The conditions of a status. Never moves a transition time unless the condition's status moves.

use crate::api::{Condition, ConditionStatus, condition};

/// One condition before it has a time.
pub(super) struct Draft {
    pub(super) type_: &'static str,
    pub(super) status: ConditionStatus,
    pub(super) reason: String,
    pub(super) message: String,
}

/// A draft of a condition.
pub(super) fn draft(type_: &'static str, holds: bool, reason: &str, message: impl Into<String>) -> Draft {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    Draft { type_, status, reason: reason.to_owned(), message: message.into() }
}

/// The conditions in the order in which people look for them, with the transition times of the old ones where the
/// status is unchanged.
pub(super) fn merge(old: &[Condition], drafts: Vec<Draft>, generation: i64, now: &str) -> Vec<Condition> {
    let order = [
        condition::READY,
        condition::RECONCILING,
        condition::STALLED,
        condition::IN_SYNC,
        condition::SAFE,
        condition::SYSTEM_HEALTHY,
        condition::PAUSED,
    ];
    let mut conditions: Vec<Condition> = drafts
        .into_iter()
        .map(|draft| {
            let before = old.iter().find(|old| old.type_ == draft.type_ && old.status == draft.status);
            Condition {
                type_: draft.type_.to_owned(),
                status: draft.status,
                reason: draft.reason,
                message: draft.message,
                last_transition_time: before.map_or(now, |old| old.last_transition_time.as_str()).to_owned(),
                observed_generation: generation,
            }
        })
        .collect();
    conditions.sort_by_key(|condition| order.iter().position(|type_| *type_ == condition.type_));
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let first = merge(&[], vec![draft(condition::READY, true, "UpToDate", "a")], 1, "t1");
        let same = merge(&first, vec![draft(condition::READY, true, "Other", "b")], 2, "t2");
        assert_eq!((same[0].last_transition_time.as_str(), same[0].reason.as_str()), ("t1", "Other"));
        let moved = merge(&same, vec![draft(condition::READY, false, "Other", "b")], 2, "t3");
        assert_eq!(moved[0].last_transition_time, "t3");
    }
}
