//! How many policies stand how, by their published statuses and the verdicts of a pass. Never knows which they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nodepool_kernel::{Rule, Snapshot, Standing, Time, Verdict};

use super::sheet::{Sheet, number};
use super::state::State;
use crate::api::{ConditionStatus, NodePoolPolicyStatus, condition};

/// Why a pool differs from its policy, as the condition `InSync` has it, and in metrics.
const OUT_OF_SYNC: [(&str, &str); 4] = [
    ("Drifted", "drifted"),
    ("TemplateDiffers", "template_differs"),
    ("KeptBack", "kept_back"),
    ("AheadOfSpec", "ahead_of_spec"),
];

/// The policies, counted.
#[derive(Debug, Default)]
pub(super) struct Policies {
    states: BTreeMap<State, usize>,
    /// Since when the one has been in the state that has been so longest.
    since: BTreeMap<State, Time>,
    out_of_sync: BTreeMap<&'static str, usize>,
    refused: BTreeMap<(Rule, &'static str), usize>,
}

/// What is counted of one policy.
pub(super) struct Row {
    state: (State, Option<Time>),
    out_of_sync: Option<&'static str>,
}

impl Row {
    pub(super) fn of(status: &NodePoolPolicyStatus) -> Self {
        let in_sync = status.condition(condition::IN_SYNC).filter(|it| it.status == ConditionStatus::False);
        let reason = in_sync.and_then(|it| OUT_OF_SYNC.iter().find(|(reason, _)| *reason == it.reason));
        Self { state: State::of(status), out_of_sync: reason.map(|(_, name)| *name) }
    }
}

impl Policies {
    pub(super) fn of(rows: &[Row], snapshot: &Snapshot, verdicts: &[Verdict]) -> Self {
        let mut counted = Self { refused: refused(snapshot, verdicts), ..Self::default() };
        for Row { state: (state, since), out_of_sync } in rows {
            *counted.states.entry(*state).or_default() += 1;
            if let Some(since) = since {
                let longest = counted.since.entry(*state).or_insert(*since);
                *longest = (*longest).min(*since);
            }
            if let Some(reason) = out_of_sync {
                *counted.out_of_sync.entry(reason).or_default() += 1;
            }
        }
        counted
    }

    pub(super) fn write(&self, now: Time, sheet: &mut Sheet<'_>) -> fmt::Result {
        let count = |state| number(self.states.get(&state).copied().unwrap_or_default());
        sheet.gauges(
            "policies",
            "Policies by state; each is in one",
            State::ALL.map(|state| ([("state", state.name())], count(state))),
        )?;
        let age = |state| self.since.get(&state).map_or(0.0, |since| now.since(*since).as_secs_f64());
        sheet.gauges(
            "policy_state_age_seconds",
            "For how long the policy has been in the state that has been so longest, 0 if none is",
            State::PASSING.map(|state| ([("state", state.name())], age(state))),
        )?;
        let differing = |name| number(self.out_of_sync.get(name).copied().unwrap_or_default());
        sheet.gauges(
            "policies_out_of_sync",
            "Policies whose pool differs from them, by the reason of the condition InSync",
            OUT_OF_SYNC.map(|(_, name)| ([("reason", name)], differing(name))),
        )?;
        let refused = |key| number(self.refused.get(&key).copied().unwrap_or_default());
        let keys = refusing_rules().flat_map(|rule| STANDINGS.map(|standing| (rule, standing)));
        sheet.gauges(
            "policies_refused",
            "Policies of which a step breaks the rule now: for good (lasting), or so that it may pass by itself (passing)",
            keys.map(|key| ([("rule", key.0.name()), ("standing", key.1)], refused(key))),
        )
    }
}

const STANDINGS: [&str; 2] = ["lasting", "passing"];

/// The rules that refuse; the others hold a policy by somebody's will.
pub(super) fn refusing_rules() -> impl Iterator<Item = Rule> {
    let holds = |rule: &Rule| matches!(rule, Rule::Paused | Rule::Suspended | Rule::ObserveOnly);
    Rule::ALL.into_iter().filter(move |rule| !holds(rule))
}

/// Policies by the rule that a step of theirs breaks. A step that is under way is no longer judged.
fn refused(snapshot: &Snapshot, verdicts: &[Verdict]) -> BTreeMap<(Rule, &'static str), usize> {
    let mut broken = BTreeSet::new();
    for verdict in verdicts {
        let Verdict::Refused(refusal) = verdict else { continue };
        if snapshot.in_flight.iter().any(|write| write.step == refusal.step) {
            continue;
        }
        for it in &refusal.broken {
            let standing = match it.standing {
                Standing::Lasting => "lasting",
                Standing::Passing => "passing",
                Standing::Held => continue,
            };
            broken.insert((it.rule, standing, refusal.step.policy.as_str()));
        }
    }
    let mut counted = BTreeMap::new();
    for (rule, standing, _) in broken {
        *counted.entry((rule, standing)).or_default() += 1;
    }
    counted
}
