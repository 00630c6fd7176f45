//! What a policy owns: label and tag keys, and the autoscaler. Never forgets a key that is still on the pool while its policy
//! manages the field.

use std::collections::BTreeMap;

use nodepool_kernel::{AgentPool, Keys, Problem};

use super::status::Circumstances;
use crate::api::{NodePoolPolicy, NodePoolPolicyStatus};

/// Adds what the policy names to what it owns. Tells whether there is anything new.
pub fn own_what_is_named(policy: &NodePoolPolicy, status: &mut NodePoolPolicyStatus) -> bool {
    let names_bounds = policy.spec.autoscaling.is_some();
    let mut is_new = names_bounds && !status.owns_autoscaler;
    status.owns_autoscaler |= names_bounds;
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
    let Some(present) = present.filter(|_| governs(about)) else { return before.to_vec() };
    keys.owned(named, before, present)
}

/// Whether the autoscaler of the pool is the policy's: it names bounds, or has named them and now says a count, which turns
/// off what is still on. One that does not govern its pool gains nothing.
pub(super) fn owns_autoscaler(policy: &NodePoolPolicy, before: bool, about: &Circumstances<'_>) -> bool {
    if !governs(about) {
        return before && policy.spec.autoscaling.is_some();
    }
    let is_on = |pool: &AgentPool| pool.autoscaling.is_some();
    let may_be_on = about.pool.map_or(about.is_unobserved(), is_on);
    policy.spec.autoscaling.is_some() || (before && policy.spec.count.is_some() && may_be_on)
}

fn governs(about: &Circumstances<'_>) -> bool {
    !about.plan.problems.iter().any(|problem| matches!(problem, Problem::ConflictingPolicy { .. }))
}
