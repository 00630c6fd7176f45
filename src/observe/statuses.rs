//! The statuses that this process has written, and whether somebody else has written over them. Never writes one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::{NodePoolPolicy, NodePoolPolicyStatus};

/// By the name of the policy.
#[derive(Default)]
pub(super) struct Statuses(Mutex<BTreeMap<String, Written>>);

/// The status of a policy as this process has it. The watch lags behind our own writes, so that its status is taken
/// only for policies that this process has not written yet.
struct Written {
    uid: Option<String>,
    working: NodePoolPolicyStatus,
    published: NodePoolPolicyStatus,
    /// The `resourceVersion` that our last write made.
    version: Option<String>,
    /// The last version that the watch showed, with its status.
    shown: Option<(String, NodePoolPolicyStatus)>,
    /// Our last write as the watch has shown it: what comes after it with another status is somebody else's.
    arrived: Option<NodePoolPolicyStatus>,
    damaged: bool,
}

impl Written {
    fn of(policy: &NodePoolPolicy) -> Self {
        let status = policy.status.clone().unwrap_or_default();
        Self {
            uid: policy.metadata.uid.clone(),
            working: status.clone(),
            published: status,
            version: None,
            shown: None,
            arrived: None,
            damaged: false,
        }
    }
}

fn name(policy: &NodePoolPolicy) -> String {
    policy.metadata.name.clone().unwrap_or_default()
}

impl Statuses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Written>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives policies the status that this process last gave them.
    pub(super) fn give<'a>(&self, policies: impl Iterator<Item = &'a mut NodePoolPolicy>) {
        let statuses = self.lock();
        for policy in policies {
            let written = statuses.get(policy.metadata.name.as_deref().unwrap_or_default());
            if let Some(written) = written.filter(|written| written.uid == policy.metadata.uid) {
                policy.status = Some(written.working.clone());
            }
        }
    }

    /// Changes the status that a policy will have.
    pub(super) fn change(&self, policy: &NodePoolPolicy, change: impl FnOnce(&mut NodePoolPolicyStatus)) {
        let mut statuses = self.lock();
        let entry = statuses.entry(name(policy)).or_insert_with(|| Written::of(policy));
        if entry.uid != policy.metadata.uid {
            *entry = Written::of(policy);
        }
        change(&mut entry.working);
    }

    /// The status that this process last wrote, or that the API server has if it wrote none.
    pub(super) fn published(&self, policy: &NodePoolPolicy) -> NodePoolPolicyStatus {
        self.of_published(policy, Clone::clone)
    }

    /// What `of` makes of that status.
    pub(super) fn of_published<T>(&self, policy: &NodePoolPolicy, of: impl FnOnce(&NodePoolPolicyStatus) -> T) -> T {
        let statuses = self.lock();
        let written = statuses.get(policy.metadata.name.as_deref().unwrap_or_default());
        match (written.filter(|written| written.uid == policy.metadata.uid), &policy.status) {
            (Some(written), _) => of(&written.published),
            (None, Some(status)) => of(status),
            (None, None) => of(&NodePoolPolicyStatus::default()),
        }
    }

    /// Whether somebody else has written over it.
    pub(super) fn is_damaged(&self, policy: &NodePoolPolicy) -> bool {
        let statuses = self.lock();
        statuses.get(&name(policy)).is_some_and(|written| written.uid == policy.metadata.uid && written.damaged)
    }

    /// Takes note that the API server has this status now, and the `resourceVersion` that came of it.
    pub(super) fn publish(&self, policy: &NodePoolPolicy, status: NodePoolPolicyStatus, version: Option<String>) {
        let mut statuses = self.lock();
        let shown = statuses.remove(&name(policy)).and_then(|written| written.shown);
        // The watch may have been quicker than the answer.
        let arrived = shown.clone().filter(|(shown, _)| version.as_ref() == Some(shown)).map(|(_, status)| status);
        let uid = policy.metadata.uid.clone();
        let written =
            Written { uid, working: status.clone(), published: status, version, shown, arrived, damaged: false };
        statuses.insert(name(policy), written);
    }

    /// Takes note of a policy as the watch shows it. Tells whether somebody else has written over our status.
    pub(super) fn seen(&self, policy: &NodePoolPolicy) -> bool {
        let mut statuses = self.lock();
        let Some(written) = statuses.get_mut(&name(policy)) else { return false };
        let Some(version) = policy.metadata.resource_version.clone() else { return false };
        if written.uid != policy.metadata.uid {
            return false;
        }
        let status = policy.status.clone().unwrap_or_default();
        if written.version.as_ref() == Some(&version) {
            written.arrived = Some(status.clone());
        }
        written.damaged = written.arrived.as_ref().is_some_and(|ours| *ours != status);
        written.shown = Some((version, status));
        written.damaged
    }

    /// Forgets the statuses of policies that are gone.
    pub(super) fn forget(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| exists(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodePoolPolicySpec;

    fn policy(uid: &str, version: &str, status: Option<i64>) -> NodePoolPolicy {
        let mut policy = NodePoolPolicy::new("p", NodePoolPolicySpec::default());
        policy.metadata.uid = Some(uid.into());
        policy.metadata.resource_version = Some(version.into());
        policy.status = status.map(with_generation);
        policy
    }

    fn with_generation(generation: i64) -> NodePoolPolicyStatus {
        NodePoolPolicyStatus { observed_generation: Some(generation), ..Default::default() }
    }

    #[test]
    fn a_changed_status_is_not_a_published_one() {
        let statuses = Statuses::default();
        statuses.change(&policy("a", "1", None), |status| *status = with_generation(3));
        assert_eq!(statuses.published(&policy("a", "1", None)), NodePoolPolicyStatus::default());
        let mut other = policy("b", "1", None);
        statuses.give([&mut other].into_iter());
        assert_eq!(other.status, None, "it is another object");
    }

    #[test]
    fn what_somebody_else_writes_after_us_is_noticed_and_what_came_before_is_not() {
        let statuses = Statuses::default();
        let ours = || policy("a", "5", Some(7));
        assert!(!statuses.seen(&policy("a", "1", Some(1))), "nothing has been written");
        statuses.publish(&ours(), with_generation(7), Some("5".into()));
        assert!(!statuses.seen(&policy("a", "4", Some(1))), "the watch lags behind");
        assert!(!statuses.seen(&ours()));
        assert!(!statuses.seen(&policy("a", "6", Some(7))), "somebody has changed the spec");
        assert!(statuses.seen(&policy("a", "7", Some(1))));
        assert!(statuses.is_damaged(&ours()));
        assert!(statuses.seen(&policy("a", "8", None)), "or taken it away");
        assert!(!statuses.seen(&policy("a", "9", Some(7))), "or written it back");
        assert!(!statuses.is_damaged(&ours()));
        assert!(!statuses.seen(&policy("b", "10", Some(1))), "it is another object");
        statuses.seen(&policy("a", "11", Some(1)));
        statuses.publish(&ours(), with_generation(7), Some("12".into()));
        assert!(!statuses.is_damaged(&ours()), "it is written anew");
    }

    #[test]
    fn the_watch_may_be_quicker_than_the_answer_to_our_write() {
        let statuses = Statuses::default();
        statuses.publish(&policy("a", "1", None), with_generation(6), Some("1".into()));
        assert!(!statuses.seen(&policy("a", "5", Some(7))), "its own, of which it does not know yet");
        statuses.publish(&policy("a", "1", None), with_generation(7), Some("5".into()));
        assert!(statuses.seen(&policy("a", "6", Some(1))));
    }
}
