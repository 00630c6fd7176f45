//! A plan for a state that is reached is empty.

use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Change, Deletion, Known, NewPool, Os, PoolKind, Power, ProvisioningState, Settings, Snapshot, Step, plan,
};
use proptest::prelude::*;

use crate::cases;
use crate::clusters::{NOW, cluster};

/// What AKS makes of a write: what is sent replaces what was there, everything else stays.
fn merge(snapshot: &mut Snapshot, step: &Step) {
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    if let Change::Create(new) = &step.change {
        assert!(cluster.pool(&step.pool).is_none(), "{step}");
        cluster.pools.push(created(&step.pool, new));
    }
    if step.change == Change::Delete {
        cluster.pools.retain(|pool| pool.name != step.pool);
        snapshot.cluster = Known::seen(NOW, cluster);
        return;
    }
    let pool = cluster.pools.iter_mut().find(|pool| pool.name == step.pool).unwrap();
    match &step.change {
        Change::Mode { to, .. } => pool.mode.clone_from(to),
        Change::Count { to, .. } => pool.count = *to,
        Change::Taints { to, .. } => pool.taints.clone_from(to),
        Change::Labels { to, .. } => pool.labels.clone_from(to),
        Change::Tags { to, .. } => pool.tags.clone_from(to),
        Change::Autoscaling { to, .. } => pool.autoscaling = *to,
        Change::Repair { .. } | Change::Create(_) | Change::Delete => {}
    }
    // A write that succeeds ends what had failed.
    pool.state = ProvisioningState::Succeeded;
    pool.failure = None;
    snapshot.cluster = Known::seen(NOW, cluster);
}

/// A pool as it was sent.
fn created(name: &str, new: &NewPool) -> AgentPool {
    AgentPool {
        name: name.to_owned(),
        mode: new.mode.clone(),
        kind: PoolKind::ScaleSet,
        os: Os::Linux,
        power: Power::Running,
        state: ProvisioningState::Succeeded,
        count: new.count,
        autoscaling: new.autoscaling,
        taints: new.taints.clone().unwrap_or_default(),
        labels: new.labels.clone().unwrap_or_default(),
        tags: new.tags.clone().unwrap_or_default(),
        requested_version: None,
        current_version: None,
        max_unavailable: None,
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        failure: None,
        settings: Arc::clone(&new.template),
    }
}

/// What is planned. The deletion of a pool that ARM does not show is none: it only says that the cluster is not proven.
fn steps(snapshot: &Snapshot) -> Vec<Step> {
    let steps = plan(snapshot, &Settings::default()).policies.into_iter().flat_map(|policy| policy.steps);
    steps.filter(|step| snapshot.cluster.value().unwrap().pool(&step.pool).is_some()).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_state_that_is_reached_needs_no_step(mut snapshot in cluster()) {
        for step in steps(&snapshot) {
            merge(&mut snapshot, &step);
        }
        prop_assert_eq!(steps(&snapshot), vec![]);
    }

    #[test]
    fn one_write_at_a_time_gets_there_too(mut snapshot in cluster()) {
        let mut left = steps(&snapshot).len();
        while let Some(step) = steps(&snapshot).first() {
            merge(&mut snapshot, step);
            prop_assert_eq!(steps(&snapshot).len(), left - 1);
            left -= 1;
        }
    }

    #[test]
    fn a_step_changes_only_what_its_policy_names(snapshot in cluster()) {
        let intents = snapshot.intents.value().unwrap();
        for step in steps(&snapshot) {
            let intent = intents.iter().find(|intent| intent.policy == step.policy).unwrap();
            match &step.change {
                Change::Mode { to, .. } => prop_assert_eq!(intent.mode.as_ref(), Some(to)),
                Change::Count { to, .. } => prop_assert_eq!(intent.count, Some(*to)),
                Change::Taints { from, to } => {
                    let wanted = intent.taints.as_ref().unwrap();
                    prop_assert!(to.iter().all(|taint| wanted.contains(taint) || (taint.belongs_to_aks() && from.contains(taint))));
                    prop_assert!(from.iter().all(|taint| to.contains(taint) || !taint.belongs_to_aks()));
                }
                Change::Labels { from, to } => {
                    let wanted = intent.labels.as_ref().unwrap();
                    for key in step.change.changed_labels() {
                        prop_assert!(wanted.contains_key(key) || intent.owned_labels.contains(key));
                    }
                    prop_assert!(wanted.iter().all(|(key, value)| to.get(key) == Some(value)));
                    prop_assert!(from != to);
                }
                Change::Tags { from, to } => {
                    let wanted = intent.tags.as_ref().unwrap();
                    let is = |key: &String, other: &String| key.eq_ignore_ascii_case(other);
                    for key in from.iter().filter(|(key, value)| to.get(*key) != Some(*value)).map(|(key, _)| key) {
                        prop_assert!(wanted.keys().chain(&intent.owned_tags).any(|named| is(named, key)), "{key}");
                    }
                    let is_wanted = |(key, value)| from.get(key) == Some(value) || wanted.get(key) == Some(value);
                    prop_assert!(to.iter().all(is_wanted));
                    let is_made = |(key, value)| to.iter().any(|(found, other)| is(found, key) && other == value);
                    prop_assert!(wanted.iter().all(is_made));
                    prop_assert!(from != to);
                }
                Change::Autoscaling { from, to } => {
                    prop_assert_eq!(*to, intent.autoscaling);
                    prop_assert!(from != to && (to.is_some() || intent.count.is_some()));
                }
                Change::Create(new) => {
                    prop_assert!(snapshot.cluster.value().unwrap().pool(&step.pool).is_none());
                    prop_assert_eq!(new.autoscaling, intent.autoscaling);
                    prop_assert_eq!(Some(new.count), intent.autoscaling.map(|bounds| bounds.min).or(intent.count));
                    prop_assert_eq!((&new.taints, &new.labels, &new.tags), (&intent.taints, &intent.labels, &intent.tags));
                    prop_assert_eq!(Some(&new.template), intent.template.as_ref());
                }
                Change::Delete => prop_assert_eq!(intent.deletion, Some(Deletion::Delete)),
                Change::Repair { .. } => {
                    let pool = snapshot.cluster.value().unwrap().pool(&step.pool).unwrap();
                    prop_assert_eq!(&pool.state, &ProvisioningState::Failed);
                }
            }
        }
    }
}
