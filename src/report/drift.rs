//! Where the pool differs from its policy, field by field, and since when. Never judges what comes of it.

use nodepool_kernel::Purpose;

use super::status::{Circumstances, brief};
use crate::api::{ConditionStatus, DriftedField, NodePoolPolicy, NodePoolPolicyStatus, condition};

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
        // That somebody asks for another image is no change of the pool.
        let is_news = in_sync && field != Purpose::NodeImage.to_string();
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
