//! How a policy stands, as one word, from the conditions that people see. Never judges by anything else.

use nodepool_kernel::Time;

use crate::api::{Condition, ConditionStatus, NodePoolPolicyStatus, condition, time};

/// How a policy stands. Each policy is in exactly one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// The pool is as asked, or as it may be.
    Ready,
    /// A step is made, or an operation runs.
    Reconciling,
    /// Something is waited for that may pass by itself.
    Waiting,
    /// A step is refused for good.
    Refused,
    /// Somebody has to do something else.
    Stalled,
    /// The object is not a policy that this version understands.
    Malformed,
    /// All writes are paused.
    Paused,
    /// The policy is suspended.
    Suspended,
    /// The policy only observes, and the pool differs.
    ObserveOnly,
    /// The object is being deleted.
    Deleting,
    /// The policy is held, and its pool is not well.
    NotReady,
    /// It has not been looked at.
    New,
}

impl State {
    pub(super) const ALL: [Self; 12] = [
        Self::Ready,
        Self::Reconciling,
        Self::Waiting,
        Self::Refused,
        Self::Stalled,
        Self::Malformed,
        Self::Paused,
        Self::Suspended,
        Self::ObserveOnly,
        Self::Deleting,
        Self::NotReady,
        Self::New,
    ];

    /// Those that should pass.
    pub(super) const PASSING: [Self; 5] =
        [Self::Reconciling, Self::Waiting, Self::Refused, Self::Stalled, Self::Malformed];

    /// The name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Reconciling => "reconciling",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::ObserveOnly => "observe_only",
            Self::Deleting => "deleting",
            Self::NotReady => "not_ready",
            Self::New => "new",
        }
    }

    /// The state of a policy, and since when the condition that makes it so has been as it is.
    pub(super) fn of(status: &NodePoolPolicyStatus) -> (Self, Option<Time>) {
        let holds = |type_: &str| status.condition(type_).filter(|it| it.status == ConditionStatus::True);
        let (state, by) = if let Some(stalled) = holds(condition::STALLED) {
            (Self::of_stalled(stalled, status), Some(stalled))
        } else if let Some(reconciling) = holds(condition::RECONCILING) {
            let is_at_it = ["Progressing", "OperationInProgress"].contains(&reconciling.reason.as_str());
            (if is_at_it { Self::Reconciling } else { Self::Waiting }, Some(reconciling))
        } else {
            let ready = status.condition(condition::READY);
            (ready.map_or(Self::New, Self::of_ready), ready)
        };
        (state, by.and_then(|condition| time(&condition.last_transition_time)))
    }

    fn of_stalled(stalled: &Condition, status: &NodePoolPolicyStatus) -> Self {
        let refuses = |safe: &Condition| safe.status == ConditionStatus::False && safe.reason == stalled.reason;
        match stalled.reason.as_str() {
            "InvalidSpec" => Self::Malformed,
            _ if status.condition(condition::SAFE).is_some_and(refuses) => Self::Refused,
            _ => Self::Stalled,
        }
    }

    fn of_ready(ready: &Condition) -> Self {
        match ready.reason.as_str() {
            "Paused" => Self::Paused,
            "Suspended" => Self::Suspended,
            "ObserveOnly" => Self::ObserveOnly,
            "BeingDeleted" => Self::Deleting,
            _ if ready.status == ConditionStatus::True => Self::Ready,
            _ => Self::NotReady,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "2027-01-15T08:00:00Z";

    fn status(conditions: &[(&str, bool, &str)]) -> NodePoolPolicyStatus {
        let of = |(type_, holds, reason): &(&str, bool, &str)| Condition {
            type_: (*type_).to_owned(),
            status: if *holds { ConditionStatus::True } else { ConditionStatus::False },
            reason: (*reason).to_owned(),
            message: String::new(),
            last_transition_time: if *holds { THEN } else { "2027-01-15T07:00:00Z" }.to_owned(),
            observed_generation: 1,
        };
        NodePoolPolicyStatus { conditions: conditions.iter().map(of).collect(), ..Default::default() }
    }

    #[test]
    fn a_policy_is_in_the_state_that_its_conditions_tell() {
        let (ready, reconciling, stalled, safe) =
            (condition::READY, condition::RECONCILING, condition::STALLED, condition::SAFE);
        for (conditions, state) in [
            (vec![], State::New),
            (vec![(ready, true, "UpToDate"), (reconciling, false, "UpToDate")], State::Ready),
            (vec![(ready, false, "Progressing"), (reconciling, true, "Progressing")], State::Reconciling),
            (vec![(ready, false, "x"), (reconciling, true, "OperationInProgress")], State::Reconciling),
            (vec![(ready, false, "x"), (reconciling, true, "WaitingForStep")], State::Waiting),
            (vec![(ready, false, "x"), (reconciling, true, "StaleObservation")], State::Waiting),
            (vec![(stalled, true, "VersionSkew"), (safe, false, "VersionSkew")], State::Refused),
            (vec![(stalled, true, "PoolFailed"), (safe, false, "VersionSkew")], State::Stalled),
            (vec![(stalled, true, "PoolFailed"), (safe, true, "NothingRefused")], State::Stalled),
            (vec![(ready, false, "InvalidSpec"), (stalled, true, "InvalidSpec")], State::Malformed),
            (vec![(ready, true, "Paused"), (stalled, false, "Paused"), (safe, false, "VersionSkew")], State::Paused),
            (vec![(ready, true, "Suspended")], State::Suspended),
            (vec![(ready, true, "ObserveOnly")], State::ObserveOnly),
            (vec![(ready, true, "BeingDeleted")], State::Deleting),
            (vec![(ready, false, "PoolFailed"), (stalled, false, "PoolFailed")], State::NotReady),
        ] {
            assert_eq!(State::of(&status(&conditions)).0, state, "{conditions:?}");
        }
    }

    #[test]
    fn a_state_lasts_since_the_condition_that_makes_it() {
        let waits = status(&[(condition::READY, false, "x"), (condition::RECONCILING, true, "WriteDelayed")]);
        assert_eq!(State::of(&waits), (State::Waiting, time(THEN)));
        assert_eq!(State::of(&NodePoolPolicyStatus::default()), (State::New, None));
    }
}
