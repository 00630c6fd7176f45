//! The difference between an intent and a pool, as steps in a sound order. Never looks at other pools.

use std::collections::BTreeSet;

use crate::intent::Intent;
use crate::keys::Keys;
use crate::snapshot::AgentPool;
use crate::step::{Change, Purpose, Step};
use crate::taint::Taint;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The field of the policy's spec.
    pub field: Purpose,
    /// What differs, in words.
    pub text: String,
    /// What was found.
    pub found: String,
    /// What the policy wants.
    pub wanted: String,
}

/// The steps that bring `pool` to what `intent` asks for.
///
/// What adds comes before what takes away. Taints come before a promotion, which AKS refuses while the pool carries
/// restricted ones, and after a demotion, before which it refuses the same ones.
pub(super) fn toward(intent: &Intent, pool: &AgentPool) -> Vec<Step> {
    let mode = mode(intent, pool);
    let demotes = mode.as_ref().is_some_and(Change::demotes);
    let (scale_up, scale_down) = match count(intent, pool) {
        Some(change) if change.scales_up() => (Some(change), None),
        change => (None, change),
    };
    let (autoscaler_off, bounds) = match autoscaling(intent, pool) {
        Some(change @ Change::Autoscaling { to: None, .. }) => (Some(change), None),
        change => (None, change),
    };
    let (taints, labels, tags) = (taints(intent, pool), labels(intent, pool), tags(intent, pool));
    let upgrade = upgrade(intent, pool);
    let ordered = if demotes {
        [autoscaler_off, scale_up, labels, tags, upgrade, mode, taints, bounds, scale_down]
    } else {
        [taints, mode, autoscaler_off, scale_up, labels, tags, upgrade, bounds, scale_down]
    };
    ordered
        .into_iter()
        .flatten()
        .map(|change| Step { policy: intent.policy.clone(), pool: pool.name.clone(), change })
        .collect()
}

/// A step of a policy on its pool.
pub(super) fn on_its_own(intent: &Intent, pool: &AgentPool, change: Change) -> Step {
    Step { policy: intent.policy.clone(), pool: pool.name.clone(), change }
}

/// What differs, field by field, in the order of the fields. `steps` are those of [`toward`].
pub(super) fn drift(steps: &[Step]) -> Vec<Drift> {
    let differs = |Step { change, .. }: &Step| {
        let (found, wanted) = change.found_and_wanted();
        Drift { field: change.purpose(), text: change.to_string(), found, wanted }
    };
    let mut drift: Vec<Drift> = steps.iter().map(differs).collect();
    drift.sort_by_key(|drift| drift.field);
    drift
}

fn mode(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let to = intent.mode.as_ref().filter(|mode| **mode != pool.mode)?;
    Some(Change::Mode { from: pool.mode.clone(), to: to.clone() })
}

fn count(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let owned = intent.autoscaling.is_none() && !is_of_somebody_else(intent, pool);
    let to = intent.count.filter(|count| *count != pool.count && owned)?;
    Some(Change::Count { from: pool.count, to })
}

/// Whether the policy sets a count, and the pool has an autoscaler that this policy has never had anything to do with.
pub(super) fn is_of_somebody_else(intent: &Intent, pool: &AgentPool) -> bool {
    let wants_none = intent.count.is_some() && intent.autoscaling.is_none();
    wants_none && pool.autoscaling.is_some() && !intent.owns_autoscaler
}

/// A policy that says how many nodes there are wants no autoscaler, and turns its own off; one that says neither leaves it
/// alone.
fn autoscaling(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let to = match (intent.autoscaling, intent.count) {
        (None, None) => return None,
        (None, Some(_)) if is_of_somebody_else(intent, pool) => return None,
        (to, _) => to,
    };
    (to != pool.autoscaling).then_some(Change::Autoscaling { from: pool.autoscaling, to })
}

/// The step that turns the policy's autoscaler on again, if it is off.
pub(super) fn autoscaler_back(intent: &Intent, pool: &AgentPool) -> Option<Step> {
    let change = autoscaling(intent, pool).filter(|_| pool.autoscaling.is_none())?;
    Some(on_its_own(intent, pool, change))
}

fn taints(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let wanted = intent.taints.as_ref()?;
    let kept = pool.taints.iter().filter(|taint| taint.belongs_to_aks() && !wanted.contains(taint));
    let to: Vec<Taint> = kept.chain(wanted).cloned().collect();
    let same = to.iter().collect::<BTreeSet<_>>() == pool.taints.iter().collect::<BTreeSet<_>>();
    (!same).then(|| Change::Taints { from: pool.taints.clone(), to })
}

fn labels(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let to = Keys::Exact.toward(&pool.labels, intent.labels.as_ref()?, &intent.owned_labels)?;
    Some(Change::Labels { from: pool.labels.clone(), to })
}

fn tags(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let to = Keys::AnyCase.toward(&pool.tags, intent.tags.as_ref()?, &intent.owned_tags)?;
    Some(Change::Tags { from: pool.tags.clone(), to })
}

fn upgrade(intent: &Intent, pool: &AgentPool) -> Option<Change> {
    let (from, to) = intent.upgrade.toward(pool)?;
    Some(Change::UpgradeSettings { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Mode;
    use crate::testing::{intent, pool};

    fn purposes(steps: &[Step]) -> Vec<Purpose> {
        steps.iter().map(|step| step.change.purpose()).collect()
    }

    fn taint(text: &str) -> Taint {
        text.parse().unwrap()
    }

    #[test]
    fn a_reached_state_needs_no_step_whatever_the_order_of_taints() {
        let mut pool = pool("apps", Mode::User, 3);
        pool.taints = vec![taint("a=1:NoSchedule"), taint("b=1:NoSchedule")];
        pool.labels = [("tier".to_owned(), "web".to_owned()), ("foreign".to_owned(), "x".to_owned())].into();
        let mut intent = intent("p", "apps");
        intent.mode = Some(Mode::User);
        intent.count = Some(3);
        intent.taints = Some(vec![taint("b=1:NoSchedule"), taint("a=1:NoSchedule")]);
        intent.labels = Some([("tier".to_owned(), "web".to_owned())].into());
        pool.tags = [("Owner".to_owned(), "shop".to_owned()), ("foreign".to_owned(), "x".to_owned())].into();
        intent.tags = Some([("owner".to_owned(), "shop".to_owned())].into());
        assert_eq!(toward(&intent, &pool), []);
    }

    #[test]
    fn a_field_that_is_absent_is_not_managed() {
        let mut pool = pool("apps", Mode::User, 3);
        pool.taints = vec![taint("a=1:NoSchedule")];
        pool.labels = [("tier".to_owned(), "web".to_owned())].into();
        pool.tags = pool.labels.clone();
        let mut intent = intent("p", "apps");
        intent.owned_labels = ["tier".to_owned()].into();
        intent.owned_tags = intent.owned_labels.clone();
        assert_eq!(toward(&intent, &pool), []);
    }

    #[test]
    fn owned_keys_that_are_no_longer_named_go_and_foreign_ones_stay() {
        let mut pool = pool("apps", Mode::User, 3);
        pool.labels = [("old".to_owned(), "1".to_owned()), ("foreign".to_owned(), "x".to_owned())].into();
        let mut intent = intent("p", "apps");
        pool.tags = [("Old".to_owned(), "1".to_owned()), ("foreign".to_owned(), "x".to_owned())].into();
        intent.owned_labels = ["old".to_owned()].into();
        intent.owned_tags = intent.owned_labels.clone();
        intent.labels = Some([("new".to_owned(), "1".to_owned())].into());
        intent.tags = intent.labels.clone();
        let steps = toward(&intent, &pool);
        let [labels, tags] = &steps[..] else { panic!("{steps:?}") };
        let (Change::Labels { to: labels, .. }, Change::Tags { to: tags, .. }) = (&labels.change, &tags.change) else {
            panic!("{steps:?}")
        };
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["foreign", "new"]);
        assert_eq!(tags.keys().collect::<Vec<_>>(), ["foreign", "new"]);
    }

    #[test]
    fn the_taints_that_aks_keeps_are_neither_compared_nor_dropped() {
        let spot = taint("kubernetes.azure.com/scalesetpriority=spot:NoSchedule");
        let mut pool = pool("spot", Mode::User, 3);
        pool.taints = vec![spot.clone()];
        let mut intent = intent("p", "spot");
        intent.taints = Some(vec![]);
        assert_eq!(toward(&intent, &pool), []);
        intent.taints = Some(vec![taint("a=1:NoSchedule")]);
        let steps = toward(&intent, &pool);
        let [Step { change: Change::Taints { to, .. }, .. }] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(to, &[spot, taint("a=1:NoSchedule")]);
    }

    #[test]
    fn steps_come_in_a_sound_order() {
        let mut pool = pool("apps", Mode::User, 2);
        pool.taints = vec![taint("a=1:NoSchedule")];
        let mut intent = intent("p", "apps");
        intent.mode = Some(Mode::System);
        intent.count = Some(3);
        intent.taints = Some(vec![]);
        intent.labels = Some([("x".to_owned(), "y".to_owned())].into());
        intent.tags = intent.labels.clone();
        let promoting = toward(&intent, &pool);
        let (labels, tags) = (Purpose::Labels, Purpose::Tags);
        assert_eq!(purposes(&promoting), [Purpose::Taints, Purpose::Mode, Purpose::Count, labels, tags]);

        pool.mode = Mode::System;
        intent.mode = Some(Mode::User);
        let demoting = toward(&intent, &pool);
        assert_eq!(purposes(&demoting), [Purpose::Count, labels, tags, Purpose::Mode, Purpose::Taints]);
        intent.count = Some(1);
        assert_eq!(purposes(&toward(&intent, &pool)).last(), Some(&Purpose::Count));
    }

    #[test]
    fn the_autoscaler_owns_the_count_and_a_fixed_count_turns_the_policys_own_off_first() {
        let bounds = |min, max| Some(crate::Autoscaling { min, max });
        for (present, autoscaling, count, steps) in [
            (bounds(1, 5), bounds(1, 5), None, vec![]),
            (bounds(1, 5), None, None, vec![]),
            (None, bounds(1, 5), None, vec!["turn the autoscaler on, 1 to 5 nodes"]),
            (
                bounds(1, 5),
                bounds(2, 5),
                None,
                vec!["change the autoscaler's bounds from 1 to 5 nodes to 2 to 5 nodes"],
            ),
            (bounds(1, 5), None, Some(2), vec!["turn the autoscaler off"]),
            (bounds(1, 5), None, Some(1), vec!["turn the autoscaler off", "scale from 2 to 1 nodes"]),
            (bounds(1, 5), bounds(1, 5), Some(4), vec![]),
            (None, None, Some(1), vec!["scale from 2 to 1 nodes"]),
        ] {
            let mut pool = pool("apps", Mode::User, 2);
            pool.autoscaling = present;
            let mut intent = Intent { autoscaling, count, owns_autoscaler: true, ..intent("p", "apps") };
            let texts = |intent: &Intent| -> Vec<String> {
                toward(intent, &pool).iter().map(|step| step.change.to_string()).collect()
            };
            assert_eq!(texts(&intent), steps);
            intent.owns_autoscaler = false;
            let of_somebody_else = present.is_some() && autoscaling.is_none();
            assert_eq!(texts(&intent), if of_somebody_else { vec![] } else { steps });
            assert_eq!(is_of_somebody_else(&intent, &pool), of_somebody_else && count.is_some());
        }
    }
}
