//! What the status shows of the pool, of the operation that runs on it, and of its differences from the policy.

use nodepool_kernel::{
    Change, Drain, InFlight, Known, Mode, NewPool, Node, ProvisioningState, Readiness, Snapshot, Step, Taint, Version,
};
use serde_json::json;

use super::{NOW, edit_pool, node, policy, pool, told, world};
use crate::api::{HistoryEntry, NodePoolPolicyStatus, Operation};
use crate::report::status::rfc3339;

/// The nodes of the pool `apps` are these.
fn with_nodes(snapshot: &mut Snapshot, nodes: impl IntoIterator<Item = Node>) {
    let Known::Seen { value, .. } = &mut snapshot.nodes else { panic!("no nodes") };
    value.retain(|node| node.pool.as_deref() != Some("apps"));
    value.extend(nodes);
}

/// Nodes of `apps`: Ready, with the next version, and with the next image, or without.
fn nodes(all: &[(bool, bool)]) -> Vec<Node> {
    let pool = pool("apps", Mode::User, 4);
    let made = all.iter().zip(0..).map(|((ready, new), index)| {
        let mut node = node(&pool, index);
        node.image_version = Some("image-1".into());
        if *new {
            (node.kubelet_version, node.image_version) = ("v1.34.2".into(), Some("image-2".into()));
        }
        if !ready {
            node.readiness = Readiness::NotReady { since: NOW };
        }
        node
    });
    made.collect()
}

fn operation(change: Change, nodes: Vec<Node>) -> Operation {
    let mut policy = policy("apps", json!({"count": 4}));
    let step = Step { policy: "apps".into(), pool: "apps".into(), change };
    let began = |id: &str, step: &str| HistoryEntry {
        step: step.into(),
        outcome: "Started".into(),
        correlation_id: Some(id.into()),
        ..HistoryEntry::default()
    };
    let words = step.change.to_string();
    let history = vec![began("id-1", &words), began("id-2", &words), began("id-3", "another step")];
    policy.status = Some(NodePoolPolicyStatus { history, ..NodePoolPolicyStatus::default() });
    let snapshot = world(&policy, |snapshot| {
        edit_pool("apps", |pool| pool.count = 4)(snapshot);
        with_nodes(snapshot, nodes);
        snapshot.in_flight = vec![InFlight { step, since: NOW }];
    });
    told(&policy, &snapshot, true, None).operation.unwrap()
}

#[test]
fn how_far_an_operation_is_is_told_as_the_nodes_show_it() {
    let (old, new, lost) = ((true, false), (true, true), (false, true));
    let version = |to: &str| Change::Version { from: None, to: Version::parse(to).unwrap() };
    let image = || Change::NodeImage { from: "image-1".into() };
    let create = || Change::Create(Box::new(NewPool::new(Mode::User, 4, std::sync::Arc::default())));
    let count = |from, to| Change::Count { from, to };
    let removal = Change::Drain(Drain::RemoveMachines { machines: vec!["apps-1".into(), "apps-2".into()], from: 4 });
    for (change, nodes, expected) in [
        (version("1.34"), nodes(&[old, old, old, old]), Some(0)),
        (version("1.34.2"), nodes(&[old, new, new, lost]), Some(50)),
        (version("1.34.3"), nodes(&[new, new, new, new]), Some(0)),
        (version("1.34"), nodes(&[new, new, new, new, old]), Some(100)),
        (image(), nodes(&[old, old, old, new]), Some(25)),
        (create(), nodes(&[]), Some(0)),
        (create(), nodes(&[old, old, lost]), Some(50)),
        (Change::Start, nodes(&[old, lost]), Some(25)),
        (count(1, 4), nodes(&[old]), Some(0)),
        (count(1, 4), nodes(&[old, old, lost]), Some(33)),
        (count(1, 4), nodes(&[old, old, old, old]), Some(100)),
        (count(4, 2), nodes(&[old, old, lost, lost]), Some(0)),
        (count(4, 2), nodes(&[old, old, lost]), Some(50)),
        (removal, nodes(&[old, old, lost]), Some(50)),
        (Change::Stop, nodes(&[old]), None),
        (Change::Delete, nodes(&[old]), None),
    ] {
        let words = change.to_string();
        assert_eq!(operation(change, nodes).percent, expected, "{words}");
    }
}

#[test]
fn who_began_an_operation_is_told_with_the_id_of_the_request() {
    let ours = operation(Change::Stop, vec![]);
    assert_eq!((ours.started_by.as_str(), ours.correlation_id.as_deref()), ("ThisPolicy", Some("id-2")));
    let policy = policy("apps", json!({"count": 1}));
    let busy = edit_pool("apps", |pool| pool.state = ProvisioningState::Busy("Scaling".into()));
    let theirs = told(&policy, &world(&policy, busy), true, None).operation.unwrap();
    assert_eq!((theirs.started_by.as_str(), theirs.correlation_id, theirs.percent), ("Unknown", None, None));
}

#[test]
fn a_field_differs_since_it_was_first_seen_to() {
    let mut policy = policy("apps", json!({"count": 3, "labels": {"tier": "web"}}));
    let first = told(&policy, &world(&policy, |_| ()), true, None);
    let [count, labels] = &first.drift[..] else { panic!("{:?}", first.drift) };
    assert_eq!((count.field.as_str(), count.wanted.as_str(), count.found.as_str()), ("count", "3", "1"));
    let texts = (labels.field.as_str(), labels.wanted.as_str(), labels.found.as_str());
    assert_eq!(texts, ("labels", "tier=web", "none"));
    let at = rfc3339(NOW);
    assert!(first.drift.iter().all(|drift| drift.since == at && !drift.changed_elsewhere));

    // Later the count has another value, and the labels are as they should be.
    policy.status = Some(first);
    let later = world(&policy, |snapshot| {
        snapshot.now = NOW.after(nodepool_kernel::Span::from_secs(60));
        edit_pool("apps", |pool| {
            pool.count = 2;
            pool.labels = [("tier".to_owned(), "web".to_owned())].into();
        })(snapshot);
    });
    let [count] = &told(&policy, &later, true, None).drift[..] else { panic!("one field") };
    assert_eq!((count.found.as_str(), &count.since), ("2", &at));
}

#[test]
fn what_somebody_else_changed_is_told_as_such_until_the_policy_changes() {
    let mut policy = policy("apps", json!({"count": 1}));
    policy.status = Some(told(&policy, &world(&policy, |_| ()), true, None));
    let scaled = |snapshot: &mut Snapshot| edit_pool("apps", |pool| pool.count = 2)(snapshot);
    for again in [false, true] {
        let status = told(&policy, &world(&policy, scaled), true, None);
        assert!(status.drift[0].changed_elsewhere, "again: {again}");
        policy.status = Some(status);
    }
    policy.metadata.generation = Some(5);
    assert!(!told(&policy, &world(&policy, scaled), true, None).drift[0].changed_elsewhere);
}

#[test]
fn labels_and_taints_are_listed_in_order_and_not_without_end() {
    let policy = policy("apps", json!({}));
    let with = |labels: usize, taints: usize| {
        let edit = edit_pool("apps", move |pool| {
            pool.labels = (0..labels).map(|index| (format!("l{index:02}"), "x".repeat(9))).collect();
            let taint =
                |index| Taint::new(format!("{}{index}", "t".repeat(290)), "", nodepool_kernel::TaintEffect::NoSchedule);
            pool.taints = (0..taints).rev().map(taint).collect();
        });
        told(&policy, &world(&policy, edit), true, None).pool.unwrap()
    };
    let few = with(20, 3);
    assert_eq!((few.labels.len(), few.labels[0].as_str(), few.taints.len()), (20, "l00=xxxxxxxxx", 3));
    let many = with(21, 4);
    assert_eq!((many.labels.len(), many.labels[20].as_str()), (21, "and 1 more"));
    assert_eq!((many.taints.len(), many.taints[3].as_str()), (4, "and 1 more"));
}
