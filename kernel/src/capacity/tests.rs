//! Which nodes and pools count.

use super::*;
use crate::testing::{NOW, node, pool};
use crate::time::Span;

type EditNode = Box<dyn Fn(&mut Node)>;

#[test]
fn a_node_counts_only_when_add_ons_can_run_on_it() {
    let settings = Settings::default();
    let system = pool("sys", Mode::System, 1);
    let ago = |seconds: i64| Time::from_millis(NOW.as_millis() - seconds * 1000);
    let cases: Vec<(&str, EditNode, bool)> = vec![
        ("plain", Box::new(|_| ()), true),
        ("not ready", Box::new(move |n| n.readiness = Readiness::NotReady { since: ago(900) }), false),
        ("ready for 10 s", Box::new(move |n| n.readiness = Readiness::Ready { since: ago(10) }), false),
        ("ready for 60 s", Box::new(move |n| n.readiness = Readiness::Ready { since: ago(60) }), true),
        (
            "ready since it joined",
            Box::new(move |n| {
                n.joined = ago(20);
                n.readiness = Readiness::Ready { since: ago(10) };
            }),
            true,
        ),
        (
            "ready a minute after it joined",
            Box::new(move |n| {
                n.joined = ago(70);
                n.readiness = Readiness::Ready { since: ago(10) };
            }),
            true,
        ),
        (
            "ready more than a minute after it joined",
            Box::new(move |n| {
                n.joined = ago(71);
                n.readiness = Readiness::Ready { since: ago(10) };
            }),
            false,
        ),
        ("cordoned", Box::new(|n| n.cordoned = true), false),
        ("deleting", Box::new(|n| n.deleting = true), false),
        ("unlabelled", Box::new(|n| n.labelled_system = false), false),
        ("tainted", Box::new(|n| n.taints.push("a=b:NoSchedule".parse().unwrap())), false),
        ("add-ons only", Box::new(|n| n.taints.push("CriticalAddonsOnly=true:NoSchedule".parse().unwrap())), true),
        ("soft taint", Box::new(|n| n.taints.push("a=b:PreferNoSchedule".parse().unwrap())), true),
    ];
    for (case, edit, usable) in cases {
        let mut node = node("sys", 0);
        edit(&mut node);
        let found = usability(&node, &system, NOW, &settings);
        assert_eq!(found == Usability::Usable, usable, "{case}: {found:?}");
    }
}

#[test]
fn taints_that_have_not_reached_the_node_count_already() {
    let mut system = pool("sys", Mode::System, 1);
    system.taints.push("a=b:NoExecute".parse().unwrap());
    assert_ne!(usability(&node("sys", 0), &system, NOW, &Settings::default()), Usability::Usable);
}

#[test]
fn a_short_grace_tells_what_may_pass() {
    let settings = Settings { ready_for: Span::from_secs(60), ..Settings::default() };
    let mut fresh = node("sys", 0);
    fresh.readiness = Readiness::NotReady { since: Time::from_millis(NOW.as_millis() - 5_000) };
    assert!(UnusableReason::NotReady.may_pass(&fresh, NOW, &settings));
    fresh.readiness = Readiness::NotReady { since: Time::from_millis(NOW.as_millis() - 60_000) };
    assert!(!UnusableReason::NotReady.may_pass(&fresh, NOW, &settings));
    fresh.readiness = Readiness::NotReady { since: Time::from_millis(NOW.as_millis() - 61_000) };
    assert!(!UnusableReason::NotReady.may_pass(&fresh, NOW, &settings));
    assert!(!UnusableReason::Cordoned.may_pass(&fresh, NOW, &settings));
}

#[test]
fn of_several_reasons_one_that_lasts_is_given() {
    let settings = Settings::default();
    let reason = |edit: &dyn Fn(&mut Node)| {
        let mut node = node("sys", 0);
        (node.readiness, node.labelled_system) = (Readiness::NotReady { since: NOW }, false);
        node.taints.push("node.kubernetes.io/unreachable:NoExecute".parse().unwrap());
        edit(&mut node);
        match usability(&node, &pool("sys", Mode::System, 1), NOW, &settings) {
            Usability::Unusable(reason) => reason.to_string(),
            Usability::Usable => String::new(),
        }
    };
    assert_eq!(reason(&|_| ()), "is not Ready");
    let ready = |node: &mut Node| node.readiness = Readiness::Ready { since: NOW };
    assert_eq!(reason(&ready), "became Ready only a moment ago");
    let long = |node: &mut Node| node.readiness = Readiness::Ready { since: node.joined };
    assert_eq!(reason(&long), "lacks the label kubernetes.azure.com/mode=system");
    let labelled = |node: &mut Node| {
        long(node);
        node.labelled_system = true;
    };
    assert_eq!(reason(&labelled), "has the taint node.kubernetes.io/unreachable:NoExecute");
    assert_eq!(reason(&|node| node.taints.push("a=b:NoSchedule".parse().unwrap())), "has the taint a=b:NoSchedule");
    assert_eq!(reason(&|node| node.cordoned = true), "is cordoned");
    assert_eq!(reason(&|node| node.deleting = true), "is being deleted");
}
