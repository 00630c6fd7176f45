//! Which label and tag keys a policy owns. Never forgets a key that is still on the pool while its policy manages the field.

use std::collections::BTreeMap;

use nodepool_kernel::{Keys, Problem};

use super::status::Circumstances;
use crate::api::{NodePoolPolicy, NodePoolPolicyStatus};

/// Adds the keys that the policy names to those that it owns. Tells whether there is any new one.
pub fn own_what_is_named(policy: &NodePoolPolicy, status: &mut NodePoolPolicyStatus) -> bool {
    let mut is_new = false;
    for (named, owned) in [(&policy.spec.labels, &mut status.owned_labels), (&policy.spec.tags, &mut status.owned_tags)]
    {
        let before = owned.len();
        let missing: Vec<String> =
            named.iter().flat_map(BTreeMap::keys).filter(|key| !owned.contains(key)).cloned().collect();
        owned.extend(missing);
        owned.sort_unstable();
        is_new |= owned.len() > before;
    }
    is_new
}

/// The keys that the policy owns of a collection: those that it names, and those that it named before and that are still
/// on the pool. A policy that does not manage the collection owns none; one that does not govern its pool gains none.
pub(super) fn owned(
    keys: Keys,
    named: Option<&BTreeMap<String, String>>,
    before: &[String],
    present: Option<&BTreeMap<String, String>>,
    about: &Circumstances<'_>,
) -> Vec<String> {
    let Some(named) = named else { return Vec::new() };
    let governs = !about.plan.problems.iter().any(|problem| matches!(problem, Problem::ConflictingPolicy { .. }));
    let Some(present) = present.filter(|_| governs) else { return before.to_vec() };
    keys.owned(named, before, present)
}
