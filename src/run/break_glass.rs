//! The part of a pass that takes note of steps which a person lets pass a rule: before they are made, so that a crash forgets
//! none. Never decides whether one may pass.

use nodepool_kernel::{Approved, Step};

use super::pass::Pass;
use crate::clock::now;
use crate::report::take_passed;

impl Pass {
    /// Takes note of the rule that a person lets the step pass, if there is one, in status, history and an event. Tells whether
    /// the step may be made: not before that is written.
    pub(super) async fn record_passed(&self, approved: &Approved<Step>) -> bool {
        let Some(passed) = approved.passed() else { return true };
        let step = approved.get();
        let Some(policy) = self.policy(&step.policy) else { return false };
        let mut status = self.store.published(&policy);
        let before = status.clone();
        if !take_passed(&mut status, &policy, now(), (step, passed)) || !self.publish(&policy, status.clone()).await {
            return false;
        }
        if status != before {
            self.passed_rules.count(passed.rule.name());
        }
        true
    }
}
