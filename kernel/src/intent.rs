//! What a policy asks for. Never knows how the policy was written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::guard::BreakGlass;
use crate::image::ImageRequest;
use crate::snapshot::{Autoscaling, Mode};
use crate::taint::Taint;
use crate::template::Template;
use crate::time::Time;
use crate::upgrade::UpgradeSettings;
use crate::version::WantedVersion;

/// One `NodePoolPolicy`, reduced to what it asks for. A field that is `None` is not managed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and none rules out another")]
pub struct Intent {
    /// The policy's name.
    pub policy: String,
    /// The policy's `metadata.generation`.
    pub generation: i64,
    /// The policy's `metadata.creationTimestamp`.
    pub created: Time,
    /// The pool.
    pub pool: String,
    /// Whether the operator may write.
    pub enforcement: Enforcement,
    /// Whether work on the policy is suspended.
    pub suspended: bool,
    /// The wanted mode.
    pub mode: Option<Mode>,
    /// The wanted number of nodes, without an autoscaler.
    pub count: Option<u32>,
    /// The wanted bounds of the autoscaler, which owns the number of nodes then. Never together with `count`.
    pub autoscaling: Option<Autoscaling>,
    /// Whether the autoscaler that is on is this policy's, which has named its bounds before: a count turns it off then.
    pub owns_autoscaler: bool,
    /// The wanted taints, all of them (AKS's own aside).
    pub taints: Option<Vec<Taint>>,
    /// The wanted labels; labels that are not named here are left alone unless they are owned.
    pub labels: Option<BTreeMap<String, String>>,
    /// Label keys that this policy has named before: they are removed when it names them no longer.
    pub owned_labels: BTreeSet<String>,
    /// The wanted tags; tags that are not named here are left alone unless they are owned.
    pub tags: Option<BTreeMap<String, String>>,
    /// Tag keys that this policy has named before: they are removed when it names them no longer.
    pub owned_tags: BTreeSet<String>,
    /// The wanted Kubernetes version.
    pub version: Option<WantedVersion>,
    /// That somebody asks for the latest node image, unless that has been answered.
    pub image: Option<ImageRequest>,
    /// The wanted settings of upgrades; those that are absent are not managed.
    pub upgrade: UpgradeSettings,
    /// The last attempt that failed, if nothing has succeeded or changed since.
    pub attempt: Option<Attempt>,
    /// Whether the policy's status says `Stalled` for its present generation.
    pub stalled: bool,
    /// Since when a step of this policy that could be made has waited for other steps; `None` if none does.
    pub waits_since: Option<Time>,
    /// What the pool is created from if it does not exist; compared, and never executed, if it does.
    pub template: Option<Arc<Template>>,
    /// Whether the pool's creation or start is known to have begun and not to have ended with all its nodes Ready.
    pub creating: bool,
    /// Whether the machines are to run.
    pub power: Option<PowerWish>,
    /// What is to become of the pool, if the policy's object is being deleted.
    pub deletion: Option<Deletion>,
    /// Whether pods that have nowhere else to go may be lost with the pool.
    pub may_lose_workloads: bool,
    /// Whether one change of the pool may pass the fuse of bulk changes.
    pub may_exceed_fuse: bool,
    /// A person's word that one rule lets one step pass.
    pub break_glass: Option<BreakGlass>,
    /// Whether protected pods may be moved off nodes that are to go.
    pub system_pods: SystemPods,
}

/// Whether the machines of a pool are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerWish {
    /// They run.
    Running,
    /// They are stopped.
    Stopped,
}

/// What may become of the protected pods of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SystemPods {
    /// They stay where they are.
    #[default]
    Protect,
    /// They may be evicted one by one, each when the one before runs elsewhere.
    Relocate,
}

/// What is to become of the pool of a policy whose object is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It stays as it is.
    Orphan,
    /// It goes, and the object stays until it is gone.
    Delete,
}

/// Whether the operator may write to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// Plans, guards and acts.
    Enforce,
    /// Plans, guards and reports; never writes.
    Observe,
}

/// A write that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What became of it.
    pub cause: Cause,
    /// How many times in a row.
    pub failures: u32,
    /// The generation of the policy that was acted on.
    pub generation: i64,
    /// No earlier than this is the next attempt; `None` if there is to be none.
    pub next: Option<Time>,
    /// ARM's code.
    pub code: String,
    /// ARM's message.
    pub message: String,
    /// What a person can do about it; empty if nobody said.
    pub remedy: String,
}

/// What became of a write that came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// ARM refused it.
    Refused,
    /// ARM took it, and its operation failed.
    Failed,
    /// Its operation, or another one on the pool, was canceled.
    Canceled,
    /// A drain could not go on, and its nodes were opened again.
    Drain,
}

impl Intent {
    /// Whether the policy itself lets the operator write.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.suspended && self.enforcement == Enforcement::Enforce
    }

    /// The failed attempt on the policy as it is, if nothing has succeeded since.
    #[must_use]
    pub fn failed_attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref().filter(|attempt| attempt.generation == self.generation)
    }

    /// The failed attempt that still holds back the next one, and until when.
    #[must_use]
    pub fn backing_off(&self, now: Time) -> Option<(&Attempt, Time)> {
        let attempt = self.failed_attempt()?;
        attempt.next.filter(|next| now < *next).map(|next| (attempt, next))
    }
}

/// The policy that governs `pool`: the oldest one that names it, ties by name. One that is being deleted and leaves the
/// pool as it is governs nothing any more.
#[must_use]
pub fn winner<'a>(intents: &'a [Intent], pool: &str) -> Option<&'a Intent> {
    intents
        .iter()
        .filter(|intent| intent.pool == pool && intent.deletion != Some(Deletion::Orphan))
        .min_by(|a, b| (a.created, &a.policy).cmp(&(b.created, &b.policy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, ago, intent};

    #[test]
    fn the_oldest_policy_wins_and_ties_go_by_name() {
        let mut old = intent("z", "apps");
        old.created = ago(10_000);
        let intents = [intent("b", "apps"), intent("a", "apps"), intent("0", "other"), old];
        let names = |intents: &[Intent]| winner(intents, "apps").map(|winner| winner.policy.clone());
        assert_eq!(names(&intents).as_deref(), Some("z"));
        assert_eq!(names(intents.get(..3).unwrap()).as_deref(), Some("a"));
        assert_eq!(names(intents.get(2..3).unwrap()), None);
    }

    #[test]
    fn a_failed_attempt_holds_until_its_time_or_a_new_generation() {
        let attempt = |generation, next| Attempt {
            cause: Cause::Refused,
            failures: 1,
            generation,
            next,
            code: "BadRequest".into(),
            message: "no".into(),
            remedy: String::new(),
        };
        for (generation, next, holds) in [
            (1, Some(NOW.after(crate::Span::from_millis(1))), true),
            (1, Some(NOW), false),
            (1, Some(ago(1)), false),
            (1, None, false),
            (0, Some(NOW.after(crate::Span::from_secs(60))), false),
        ] {
            let mut policy = intent("p", "apps");
            policy.attempt = Some(attempt(generation, next));
            assert_eq!(policy.backing_off(NOW).is_some(), holds, "{generation} {next:?}");
        }
        assert_eq!(intent("p", "apps").backing_off(NOW), None);
    }
}
