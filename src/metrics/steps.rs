//! How many steps were made and refused. Never knows of which policy or pool.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::policies::refusing_rules;
use crate::act::Outcome;
use crate::api::{NodePoolPolicyStatus, outcome};
use crate::report::refused_anew;

/// The fields that steps are about, as history names them.
const FIELDS: [&str; 15] = [
    "mode",
    "count",
    "taints",
    "labels",
    "repair",
    "create",
    "deletionPolicy",
    "uncordon",
    "tags",
    "autoscaling",
    "powerState",
    "upgrade",
    "kubernetesVersion",
    "nodeImage",
    "disruption",
];

/// What history tells of steps, and its name in metrics. That a rule was passed is counted by itself.
const OUTCOMES: [(&str, &str); 8] = [
    (outcome::STARTED, "started"),
    (outcome::SUCCEEDED, "succeeded"),
    (outcome::FAILED, "failed"),
    (outcome::CANCELED, "canceled"),
    (outcome::REFUSED, "refused_by_azure"),
    (outcome::UNKNOWN, "unknown"),
    (outcome::NOT_DONE, "not_done"),
    (outcome::GIVEN_UP, "given_up"),
];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The counters. A copy counts to the same ones.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    steps: Family<Labels<2>, Counter>,
    refusals: Family<Labels<1>, Counter>,
}

impl Steps {
    pub(super) fn new() -> Self {
        let refusals = Family::<Labels<1>, Counter>::default();
        for rule in refusing_rules() {
            // There from the beginning, so that the first refusal is an increase.
            drop(refusals.get_or_create(&[("rule", rule.name())]));
        }
        Self { steps: Family::default(), refusals }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "steps",
            "Steps by the field of the spec that they are about and by what became of them: how they were begun, and how \
             those that Azure carries out ended",
            self.steps.clone(),
        );
        registry.register("refusals", "Refusals for good that people were told of, by rule", self.refusals.clone());
    }

    /// Counts a step that was approved and came to nothing of which history tells.
    pub(super) fn acted(&self, field: &str, outcome: &Outcome) {
        let name = match outcome {
            Outcome::Superseded => "superseded",
            Outcome::Refused(_) => "refused",
            Outcome::Postponed { .. } => "postponed",
            Outcome::NotSent { .. } => "not_sent",
            Outcome::Accepted { .. } | Outcome::Made { .. } | Outcome::Unknown { .. } | Outcome::Rejected { .. } => {
                return;
            }
        };
        self.count(field, name);
    }

    /// Counts what is news in a status that people can see now.
    pub(super) fn published(&self, old: &NodePoolPolicyStatus, new: &NodePoolPolicyStatus) {
        for entry in new.history.iter().filter(|entry| !old.history.contains(entry)) {
            if let Some((_, name)) = OUTCOMES.iter().find(|(word, _)| *word == entry.outcome) {
                self.count(&entry.field, name);
            }
        }
        let rule = refused_anew(old, new).and_then(|safe| refusing_rules().find(|rule| rule.name() == safe.reason));
        if let Some(rule) = rule {
            self.refusals.get_or_create(&[("rule", rule.name())]).inc();
        }
    }

    fn count(&self, field: &str, outcome: &'static str) {
        // Statuses are stored where others can write: what they may hold is no label.
        let field = FIELDS.into_iter().find(|known| *known == field).unwrap_or("other");
        self.steps.get_or_create(&[("field", field), ("outcome", outcome)]).inc();
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Purpose, Time};

    use super::*;
    use crate::api::{Condition, ConditionStatus, HistoryEntry, condition};

    fn entry(time: &str, field: &str, outcome: &str) -> HistoryEntry {
        let (time, field, outcome) = (time.to_owned(), field.to_owned(), outcome.to_owned());
        HistoryEntry { time, field, outcome, ..HistoryEntry::default() }
    }

    fn refused(rule: &str) -> Condition {
        Condition {
            type_: condition::SAFE.to_owned(),
            status: ConditionStatus::False,
            reason: rule.to_owned(),
            message: String::new(),
            last_transition_time: String::new(),
            observed_generation: 1,
        }
    }

    fn steps(counted: &Steps, field: &'static str, outcome: &'static str) -> u64 {
        counted.steps.get_or_create(&[("field", field), ("outcome", outcome)]).get()
    }

    #[test]
    fn each_entry_of_a_history_is_counted_once() {
        let counted = Steps::new();
        let mut old = NodePoolPolicyStatus::default();
        let mut new = NodePoolPolicyStatus { history: vec![entry("1", "count", outcome::STARTED)], ..old.clone() };
        counted.published(&old, &new);
        old = new.clone();
        new.history.extend([entry("2", "count", outcome::FAILED), entry("3", "x\"}", outcome::RULE_PASSED)]);
        new.history.push(entry("4", "x\"}", outcome::UNKNOWN));
        counted.published(&old, &new);
        counted.published(&new, &new);
        assert_eq!(steps(&counted, "count", "started"), 1);
        assert_eq!(steps(&counted, "count", "failed"), 1);
        assert_eq!(steps(&counted, "other", "unknown"), 1);
    }

    #[test]
    fn a_step_that_was_not_made_is_counted_and_one_that_history_tells_of_is_not() {
        let counted = Steps::new();
        let error = || "E".to_owned();
        for outcome in [
            Outcome::Superseded,
            Outcome::Postponed { after: None, error: error() },
            Outcome::NotSent { error: error() },
            Outcome::Made { at: Time::default() },
            Outcome::Unknown { at: Time::default(), error: error() },
        ] {
            counted.acted("count", &outcome);
        }
        let told = ["superseded", "refused", "postponed", "not_sent", "started", "succeeded", "unknown"];
        assert_eq!(told.map(|outcome| steps(&counted, "count", outcome)), [1, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_refusal_is_counted_when_it_is_news() {
        let counted = Steps::new();
        let of = |rules: &[&str]| NodePoolPolicyStatus {
            conditions: rules.iter().map(|rule| refused(rule)).collect(),
            ..Default::default()
        };
        let count = |rule| counted.refusals.get_or_create(&[("rule", rule)]).get();
        for (old, new) in
            [(&[][..], &["VersionSkew"][..]), (&["VersionSkew"], &["VersionSkew"]), (&["VersionSkew"], &[])]
        {
            counted.published(&of(old), &of(new));
        }
        assert_eq!((count("VersionSkew"), count("WrongCluster")), (1, 0));
        counted.published(&of(&["VersionSkew"]), &of(&["WrongCluster"]));
        assert_eq!((count("VersionSkew"), count("WrongCluster")), (1, 1));
    }

    #[test]
    fn every_purpose_is_a_field() {
        let all = [
            Purpose::Mode,
            Purpose::Count,
            Purpose::Taints,
            Purpose::Labels,
            Purpose::Repair,
            Purpose::Create,
            Purpose::Delete,
            Purpose::Uncordon,
            Purpose::Tags,
            Purpose::Autoscaling,
            Purpose::Power,
            Purpose::Upgrade,
            Purpose::Version,
            Purpose::NodeImage,
        ];
        for purpose in all {
            assert!(FIELDS.contains(&purpose.to_string().as_str()), "{purpose}");
        }
        assert_eq!(FIELDS.len(), all.len() + 1, "and the one of drains that are given up");
    }
}
