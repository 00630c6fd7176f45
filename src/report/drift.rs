//! Where the pool differs from its policy, field by field, and since when. Never judges what comes of it.

use nodepool_kernel::Purpose;

use super::status::{Circumstances, brief};
use crate::api::{ConditionStatus, DriftedField, NodePoolPolicy, NodePoolPolicyStatus, condition, outcome};

/// The fields that differ. One that was told before differs since then.
pub(super) fn drift(
    policy: &NodePoolPolicy,
    old: &NodePoolPolicyStatus,
    about: &Circumstances<'_>,
    now: &str,
) -> Vec<DriftedField> {
    let is_same_policy = old.observed_generation == policy.metadata.generation;
    let in_sync = old.condition(condition::IN_SYNC).is_some_and(|it| it.status == ConditionStatus::True);
    let field = |field: String, wanted: &str, found: &str| {
        let before = old.drift.iter().find(|before| before.field == field);
        let is_news = in_sync && is_of_the_pool(&field, old);
        DriftedField {
            wanted: brief(wanted),
            found: brief(found),
            class: None,
            since: before.map_or(now, |before| &before.since).to_owned(),
            changed_elsewhere: is_same_policy && before.map_or(is_news, |before| before.changed_elsewhere),
            field,
        }
    };
    let plan = about.plan;
    let fields = plan.drift.iter().chain(&plan.kept_back);
    let fields = fields.map(|drift| field(drift.field.to_string(), &drift.wanted, &drift.found));
    let of_template = plan.template_drift.iter();
    let of_template = of_template.map(|it| DriftedField {
        class: it.mutability.map(|class| class.to_string()),
        ..field(format!("template.{}", it.field), &it.wanted, &it.actual)
    });
    let ahead =
        plan.ahead.map(|ahead| field(Purpose::Version.to_string(), &ahead.wanted.to_string(), &ahead.runs.to_string()));
    fields.chain(of_template).chain(ahead).collect()
}

/// Whether a field that differs anew may do so because the pool was changed: not because somebody asks for another image,
/// because a deletion is to be made again, or because the policy's own step failed.
fn is_of_the_pool(field: &str, old: &NodePoolPolicyStatus) -> bool {
    let has_failed =
        old.history.last().is_some_and(|last| [outcome::FAILED, outcome::CANCELED].contains(&last.outcome.as_str()));
    let is = |purpose: Purpose| field == purpose.to_string();
    !(is(Purpose::NodeImage) || is(Purpose::Delete) || (is(Purpose::Repair) && has_failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::HistoryEntry;

    #[test]
    fn what_becomes_of_the_policys_own_steps_is_no_change_by_somebody_else() {
        let after = |outcome: &str| {
            let history = vec![HistoryEntry { outcome: outcome.into(), ..HistoryEntry::default() }];
            NodePoolPolicyStatus { history, ..NodePoolPolicyStatus::default() }
        };
        for (field, outcome, expected) in [
            ("count", outcome::FAILED, true),
            ("count", outcome::SUCCEEDED, true),
            ("repair", outcome::SUCCEEDED, true),
            ("repair", outcome::FAILED, false),
            ("repair", outcome::CANCELED, false),
            ("deletionPolicy", outcome::FAILED, false),
            ("nodeImage", outcome::SUCCEEDED, false),
        ] {
            assert_eq!(is_of_the_pool(field, &after(outcome)), expected, "{field} after {outcome}");
        }
        assert!(is_of_the_pool("repair", &NodePoolPolicyStatus::default()));
    }
}
