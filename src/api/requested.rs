//! A fresh look at Azure that somebody asks for. Never writes the annotation.

use kube::ResourceExt as _;

use super::policy::NodePoolPolicy;

/// The annotation that asks for a fresh look whenever its value changes, as for the objects of Flux.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// So much of the value is compared and repeated in the status; a time takes less.
const LONGEST: usize = 64;

/// Which fresh look is asked for, if any.
#[must_use]
pub fn requested_at(policy: &NodePoolPolicy) -> Option<String> {
    let value = policy.annotations().get(REQUESTED_AT)?;
    Some(value.chars().take(LONGEST).collect())
}

/// Whether a fresh look is asked for that the status does not know of.
#[must_use]
pub fn is_look_due(policy: &NodePoolPolicy) -> bool {
    let handled = policy.status.as_ref().and_then(|status| status.last_handled_reconcile_at.clone());
    requested_at(policy).is_some_and(|requested| handled != Some(requested))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NodePoolPolicySpec, NodePoolPolicyStatus};

    fn asking(value: Option<&str>, handled: Option<&str>) -> NodePoolPolicy {
        let mut policy = NodePoolPolicy::new("apps", NodePoolPolicySpec::default());
        policy.metadata.annotations = value.map(|value| [(REQUESTED_AT.to_owned(), value.to_owned())].into());
        let last_handled_reconcile_at = handled.map(str::to_owned);
        policy.status = Some(NodePoolPolicyStatus { last_handled_reconcile_at, ..Default::default() });
        policy
    }

    #[test]
    fn a_look_is_due_when_the_value_is_another_than_the_one_that_was_handled() {
        for (value, handled, due) in [
            (None, None, false),
            (None, Some("1"), false),
            (Some("1"), None, true),
            (Some("1"), Some("1"), false),
            (Some("2"), Some("1"), true),
        ] {
            assert_eq!(is_look_due(&asking(value, handled)), due, "{value:?} {handled:?}");
        }
    }

    #[test]
    fn a_value_that_no_time_has_is_cut() {
        let long = "x".repeat(300);
        let policy = asking(Some(&long), Some(&long[..64]));
        assert_eq!(requested_at(&policy).unwrap().len(), 64);
        assert!(!is_look_due(&policy));
    }
}
