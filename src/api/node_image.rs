//! The annotation that asks once for the latest node image, and what the status keeps of it. Never decides whether a pool has
//! the image.

use kube::{KubeSchema, ResourceExt as _};
use nodepool_kernel as kernel;
use serde::{Deserialize, Serialize};

use super::policy::NodePoolPolicy;
use super::status::{NodePoolPolicyStatus, outcome};

/// The annotation that asks for the latest node image whenever its value changes.
pub const UPGRADE_NODE_IMAGE: &str = "aks.nodepool.dev/upgrade-node-image";

/// So much of the value is compared and repeated in the status; a time takes less.
const LONGEST: usize = 64;

/// The upgrade of the node image that somebody asked for and that has not been answered.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeImageUpgrade {
    /// The value of the annotation.
    pub request: String,
    /// The image that the pool had when Azure was asked: another one since answers the request.
    pub from: String,
    /// Whether Azure has taken the upgrade, and it has not failed since. Absent for `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

/// Which upgrade is asked for, if any. An empty value asks for none.
fn requested(policy: &NodePoolPolicy) -> Option<String> {
    let value = policy.annotations().get(UPGRADE_NODE_IMAGE)?.trim();
    Some(value.chars().take(LONGEST).collect()).filter(|value: &String| !value.is_empty())
}

/// The upgrade that is asked for and that the status does not know to be answered.
pub(super) fn image_request(policy: &NodePoolPolicy) -> Option<kernel::ImageRequest> {
    let status = policy.status.as_ref();
    let answered = status.and_then(|status| status.last_handled_node_image_upgrade.clone());
    let requested = requested(policy).filter(|requested| answered.as_ref() != Some(requested))?;
    let begun = status.and_then(|status| status.node_image_upgrade.as_ref()).filter(|begun| begun.request == requested);
    Some(kernel::ImageRequest {
        from: begun.map(|begun| begun.from.clone()),
        taken: begun.is_some_and(|begun| begun.taken),
    })
}

/// Takes note that Azure is about to be asked for the upgrade of a pool that has this image. A request that is asked again
/// keeps the image that it began with; a new one is not held by the abort of what was before it.
pub fn begin_image_upgrade(policy: &NodePoolPolicy, status: &mut NodePoolPolicyStatus, image: &str) {
    let Some(request) = requested(policy) else { return };
    if let Some(begun) = status.node_image_upgrade.as_mut().filter(|begun| begun.request == request) {
        begun.taken = false;
        return;
    }
    status.node_image_upgrade = Some(NodeImageUpgrade { request, from: image.to_owned(), taken: false });
    status.attempt.take_if(|attempt| attempt.outcome == outcome::CANCELED);
}

/// What the status keeps from now on: the upgrade that is still asked for, and the last request that was answered.
#[must_use]
pub fn image_upgrade_kept(
    policy: &NodePoolPolicy,
    old: (Option<NodeImageUpgrade>, Option<String>),
    answered: bool,
) -> (Option<NodeImageUpgrade>, Option<String>) {
    let requested = requested(policy);
    let begun = old.0.filter(|begun| !answered && requested.as_ref() == Some(&begun.request));
    (begun, requested.filter(|_| answered).or(old.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Attempt, NodePoolPolicySpec};

    fn asking(value: &str, status: NodePoolPolicyStatus) -> NodePoolPolicy {
        let mut policy = NodePoolPolicy::new("apps", NodePoolPolicySpec::default());
        policy.annotations_mut().insert(UPGRADE_NODE_IMAGE.into(), value.into());
        policy.status = Some(status);
        policy
    }

    fn begun(request: &str, taken: bool) -> NodeImageUpgrade {
        NodeImageUpgrade { request: request.into(), from: "old".into(), taken }
    }

    #[test]
    fn a_value_asks_until_it_is_answered_and_again_when_it_is_another() {
        let request = |from: Option<&str>, taken| Some(kernel::ImageRequest { from: from.map(str::to_owned), taken });
        for (value, handled, upgrade, expected) in [
            ("1", None, None, request(None, false)),
            (" 1 ", None, Some(begun("1", false)), request(Some("old"), false)),
            ("1", None, Some(begun("1", true)), request(Some("old"), true)),
            ("1", Some("1"), None, None),
            ("2", Some("1"), Some(begun("1", true)), request(None, false)),
            ("", None, None, None),
        ] {
            let last_handled_node_image_upgrade = handled.map(str::to_owned);
            let node_image_upgrade = upgrade.clone();
            let status =
                NodePoolPolicyStatus { node_image_upgrade, last_handled_node_image_upgrade, ..Default::default() };
            assert_eq!(image_request(&asking(value, status)), expected, "{value:?} {handled:?} {upgrade:?}");
        }
        assert_eq!(image_request(&NodePoolPolicy::new("apps", NodePoolPolicySpec::default())), None);
        let long = asking(&"x".repeat(300), NodePoolPolicyStatus::default());
        assert_eq!(image_upgrade_kept(&long, (None, None), true).1.unwrap().len(), 64);
    }

    #[test]
    fn what_is_kept_is_the_image_that_the_request_began_with() {
        let canceled = Attempt {
            outcome: outcome::CANCELED.into(),
            failures: 1,
            generation: 1,
            next: None,
            code: String::new(),
            message: String::new(),
            remedy: None,
            correlation_id: None,
        };
        let mut status = NodePoolPolicyStatus { attempt: Some(canceled.clone()), ..Default::default() };
        let policy = asking("1", NodePoolPolicyStatus::default());
        begin_image_upgrade(&policy, &mut status, "old");
        assert_eq!((status.node_image_upgrade.clone(), status.attempt.is_some()), (Some(begun("1", false)), false));
        (status.node_image_upgrade, status.attempt) = (Some(begun("1", true)), Some(canceled));
        begin_image_upgrade(&policy, &mut status, "new");
        assert_eq!((status.node_image_upgrade.clone(), status.attempt.is_some()), (Some(begun("1", false)), true));

        let kept = |value: &str, answered| {
            image_upgrade_kept(&asking(value, status.clone()), (Some(begun("1", true)), Some("0".into())), answered)
        };
        assert_eq!(kept("1", false), (Some(begun("1", true)), Some("0".to_owned())));
        assert_eq!(kept("1", true), (None, Some("1".to_owned())));
        assert_eq!(kept("2", false), (None, Some("0".to_owned())), "nobody asks for that any more");
    }
}
