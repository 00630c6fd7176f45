//! A plan for a state that is reached is empty.

use std::sync::Arc;

use nodepool_kernel::{
    AgentPool, Aim, Change, Cluster, Deletion, Drain, Enforcement, Known, Mode, NewPool, Os, PoolKind, Power,
    PowerWish, Problem, ProvisioningState, Purpose, Settings, Snapshot, Step, SystemPods, Version, WantedVersion, plan,
};
use proptest::prelude::*;

use crate::cases;
use crate::clusters::{NOW, cluster, mark};

/// What AKS makes of a write: what is sent replaces what was there, everything else stays.
pub fn merge(snapshot: &mut Snapshot, step: &Step) {
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    if let Change::Create(new) = &step.change {
        assert!(cluster.pool(&step.pool).is_none(), "{step}");
        let mut pool = created(&step.pool, new);
        pool.current_version = new.version.map(patched).or(cluster.version.map(|version| version.to_string()));
        cluster.pools.push(pool);
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
        Change::UpgradeSettings { to, .. } => to.apply(pool),
        Change::Version { to, .. } => {
            (pool.requested_version, pool.current_version) = (Some(to.to_string()), Some(patched(*to)));
        }
        Change::NodeImage { .. } => {
            pool.node_image = Some("new".to_owned());
            taken(snapshot, step);
        }
        Change::Repair { .. } | Change::Create(_) | Change::Delete => {}
        Change::Stop => (pool.power, pool.count) = (Power::NotRunning("Stopped".into()), 0),
        Change::Start => pool.power = Power::Running,
        Change::Drain(drain) => return drained(snapshot, &step.policy, drain, cluster),
    }
    // A write that succeeds ends what had failed.
    pool.state = ProvisioningState::Succeeded;
    pool.failure = None;
    snapshot.cluster = Known::seen(NOW, cluster);
}

/// Takes note that Azure has upgraded an image for the policy, as its status does, and that this has ended.
fn taken(snapshot: &mut Snapshot, step: &Step) {
    let mut intents = snapshot.intents.value().unwrap().clone();
    let asking = intents.iter_mut().filter(|intent| intent.policy == step.policy);
    asking.filter_map(|intent| intent.image.as_mut()).for_each(|request| request.taken = true);
    snapshot.intents = Known::seen(NOW, intents);
    snapshot.in_flight.retain(|write| write.step.pool != step.pool);
}

/// What runs when a version is asked for.
fn patched(version: Version) -> String {
    Version { patch: version.patch.or(Some(9)), ..version }.to_string()
}

/// What becomes of nodes, pods and the pool by a change of a drain.
fn drained(snapshot: &mut Snapshot, policy: &str, drain: &Drain, mut cluster: Cluster) {
    let mut nodes = snapshot.nodes.value().unwrap().clone();
    match drain {
        Drain::Cordon { nodes: closed, .. } => {
            for node in nodes.iter_mut().filter(|node| closed.contains(&node.name)) {
                assert!(!node.cordoned, "{}", node.name);
                (node.cordoned, node.drain) = (true, Some(Box::new(mark(policy))));
            }
        }
        Drain::Uncordon { nodes: open, .. } => {
            for node in nodes.iter_mut().filter(|node| open.contains(&node.name)) {
                assert_eq!(node.drain.take().unwrap().policy, policy);
                node.cordoned = false;
            }
        }
        Drain::RemoveMachines { machines, .. } => {
            let gone: Vec<_> = nodes.iter().filter(|node| machines.contains(&node.name)).collect();
            assert!(gone.len() == machines.len() && gone.iter().all(|node| node.is_drained_for(policy)));
            let pool = gone.first().unwrap().pool.clone().unwrap();
            nodes.retain(|node| !machines.contains(&node.name));
            let pool = cluster.pools.iter_mut().find(|it| it.name == pool).unwrap();
            pool.count -= u32::try_from(machines.len()).unwrap();
            (pool.state, pool.failure) = (ProvisioningState::Succeeded, None);
        }
        Drain::Evict { .. } => {
            let mut pods = snapshot.pods.value().unwrap().clone();
            pods.retain(|pod| !matches!(drain, Drain::Evict { pod: gone, .. } if pod.full_name() == *gone));
            snapshot.pods = Known::seen(NOW, pods);
            for known in snapshot.occupancy.values_mut() {
                let mut left = known.value().unwrap().clone();
                left.pods.retain(|it| !matches!(drain, Drain::Evict { uid, .. } if it.uid == *uid));
                *known = Known::seen(NOW, left);
            }
        }
    }
    snapshot.nodes = Known::seen(NOW, nodes);
    snapshot.cluster = Known::seen(NOW, cluster);
}

/// A pool as it was sent.
fn created(name: &str, new: &NewPool) -> AgentPool {
    let mut pool = AgentPool {
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
        node_image: None,
        max_surge: None,
        max_unavailable: None,
        drain_timeout_minutes: 30,
        node_soak_minutes: 0,
        undrainable_nodes: None,
        failure: None,
        settings: Arc::clone(&new.template),
    };
    new.upgrade.apply(&mut pool);
    pool
}

/// What is planned. The deletion of a pool that ARM does not show is none: it only says that the cluster is not proven.
fn steps(snapshot: &Snapshot) -> Vec<Step> {
    let steps = plan(snapshot, &Settings::default()).policies.into_iter().flat_map(|policy| policy.steps);
    steps.filter(|step| snapshot.cluster.value().unwrap().pool(&step.pool).is_some()).collect()
}

fn is_drain(step: &Step) -> bool {
    matches!(step.change, Change::Drain(_))
}

/// Whether a drain is wanted that finds too few nodes that it may take.
fn is_short_of_nodes(snapshot: &Snapshot) -> bool {
    let plan = plan(snapshot, &Settings::default());
    let mut problems = plan.policies.iter().flat_map(|policy| &policy.problems);
    problems.any(|problem| matches!(problem, Problem::TooFewNodes { .. }))
}

/// Takes away what a drain would wait for, if there may be one, now or after another step: nodes are opened and cordoned
/// again meanwhile.
fn calm(mut snapshot: Snapshot) -> Snapshot {
    let may_drain = |step: &Step| matches!(step.change, Change::Drain(_) | Change::Count { .. } | Change::Mode { .. });
    if steps(&snapshot).iter().any(may_drain) {
        let mut cluster = snapshot.cluster.value().unwrap().clone();
        let states = cluster.pools.iter_mut().map(|pool| &mut pool.state).chain([&mut cluster.state]);
        states.filter(|state| state.operation().is_some()).for_each(|state| *state = ProvisioningState::Succeeded);
        let mut intents = snapshot.intents.value().unwrap().clone();
        for intent in &mut intents {
            (intent.suspended, intent.enforcement, intent.attempt) = (false, Enforcement::Enforce, None);
        }
        (snapshot.cluster, snapshot.intents) = (Known::seen(NOW, cluster), Known::seen(NOW, intents));
        snapshot.in_flight.clear();
    }
    snapshot
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_state_that_is_reached_needs_no_step(snapshot in cluster()) {
        let mut snapshot = calm(snapshot);
        // What a stopped pool is to be otherwise is planned when it runs.
        for step in steps(&snapshot).into_iter().filter(|step| step.change.starts()) {
            merge(&mut snapshot, &step);
        }
        // A drain is planned change by change.
        for _ in 0..50 {
            let planned = steps(&snapshot);
            let Some(step) = planned.iter().find(|step| is_drain(step)) else { break };
            merge(&mut snapshot, step);
        }
        for step in steps(&snapshot) {
            prop_assert!(!is_drain(&step), "{step}");
            merge(&mut snapshot, &step);
        }
        // After a demotion the nodes that were drained for it are opened, and the autoscaler that was off is on again.
        for step in steps(&snapshot) {
            prop_assert!(step.change.ends_drain() || step.change.purpose() == Purpose::Autoscaling, "{step}");
            merge(&mut snapshot, &step);
        }
        prop_assert_eq!(steps(&snapshot), vec![]);
    }

    #[test]
    fn one_write_at_a_time_gets_there_too(snapshot in cluster()) {
        let mut snapshot = calm(snapshot);
        let (mut left, mut writes) = (steps(&snapshot).len(), 0);
        while let Some(step) = steps(&snapshot).first() {
            let drains = is_drain(step) || step.change.starts() || steps(&snapshot).iter().any(is_drain);
            merge(&mut snapshot, &step.clone());
            writes += 1;
            prop_assert!(writes < 60);
            let drains = drains || steps(&snapshot).iter().any(is_drain) || is_short_of_nodes(&snapshot);
            let now = steps(&snapshot).len();
            // A pool that is well again may have the image that was asked for.
            let asked = snapshot.intents.value().unwrap().iter().any(|intent| intent.image.is_some());
            prop_assert!(drains || now == left - 1 || (asked && now < left), "{now} instead of {}", left - 1);
            left = now;
        }
    }

    #[test]
    fn a_step_changes_only_what_its_policy_names(snapshot in cluster()) {
        let intents = snapshot.intents.value().unwrap();
        for step in steps(&snapshot).into_iter().filter(|step| !step.change.ends_drain()) {
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
                    let demotes = (&intent.mode, intent.system_pods) == (&Some(Mode::User), SystemPods::Relocate);
                    let is_for_drain = to.is_none() && (demotes || intent.deletion.is_some());
                    prop_assert!(*to == intent.autoscaling || is_for_drain);
                    let gives_way = intent.count.is_some() && intent.owns_autoscaler;
                    prop_assert!(from != to && (intent.autoscaling.is_some() || gives_way));
                }
                Change::Version { from, to } => {
                    let wanted = intent.version.unwrap();
                    let control_plane = snapshot.cluster.value().unwrap().version;
                    let asked = match wanted {
                        WantedVersion::Exactly(version) => version,
                        WantedVersion::ControlPlane => control_plane.unwrap(),
                    };
                    prop_assert!(asked.covers(*to), "{to}");
                    prop_assert!(from.is_none_or(|from| from.is_older_than(*to)), "never back");
                }
                Change::NodeImage { from } => {
                    prop_assert!(intent.image.is_some(), "nobody asks");
                    prop_assert_eq!(Some(from), snapshot.cluster.value().unwrap().pool(&step.pool).unwrap().node_image.as_ref());
                }
                Change::UpgradeSettings { from, to } => {
                    let named: Vec<_> = intent.upgrade.shown().collect();
                    prop_assert!(to.shown().all(|setting| named.contains(&setting)) && from != to);
                }
                Change::Create(new) => {
                    prop_assert_eq!(&new.upgrade, &intent.upgrade);
                    prop_assert!(snapshot.cluster.value().unwrap().pool(&step.pool).is_none());
                    prop_assert_eq!(new.autoscaling, intent.autoscaling);
                    prop_assert_eq!(Some(new.count), intent.autoscaling.map(|bounds| bounds.min).or(intent.count));
                    prop_assert_eq!((&new.taints, &new.labels, &new.tags), (&intent.taints, &intent.labels, &intent.tags));
                    prop_assert_eq!(Some(&new.template), intent.template.as_ref());
                }
                Change::Delete => prop_assert_eq!(intent.deletion, Some(Deletion::Delete)),
                Change::Stop => prop_assert_eq!(intent.power, Some(PowerWish::Stopped)),
                Change::Start => prop_assert_eq!(intent.power, Some(PowerWish::Running)),
                Change::Drain(drain) => match drain.aim() {
                    Some(Aim::Scale { to, .. }) => prop_assert_eq!(intent.count, Some(to)),
                    Some(Aim::Deletion) => prop_assert_eq!(intent.deletion, Some(Deletion::Delete)),
                    Some(Aim::Demotion) => {
                        prop_assert_eq!((&intent.mode, intent.system_pods), (&Some(Mode::User), SystemPods::Relocate));
                    }
                    None => {}
                }
                Change::Repair { .. } => {
                    let pool = snapshot.cluster.value().unwrap().pool(&step.pool).unwrap();
                    prop_assert_eq!(&pool.state, &ProvisioningState::Failed);
                }
            }
        }
    }
}
