//! What a node is and has: cordon, name, taints, selection, ports, room.

use crate::placement::testing::{feasible, labels, node, pod, take_away, why, world};
use crate::placement::{HostPort, Node, NodeTerm, Pod, Requirement, Resources, Test};
use crate::taint::{Taint, TaintEffect, Toleration, TolerationOperator};

fn tolerates(key: &str) -> Toleration {
    Toleration {
        key: Some(key.into()),
        operator: TolerationOperator::Exists,
        value: String::new(),
        effect: None,
        limited: false,
    }
}

fn tainted(name: &str, effect: TaintEffect) -> Node {
    Node { taints: vec![Taint::new("team", "x", effect)], ..node(name, &[]) }
}

#[test]
fn a_cordoned_node_takes_only_pods_that_tolerate_it() {
    let cordoned = Node { unschedulable: true, ..node("a", &[]) };
    let world = world(vec![cordoned, node("b", &[])]);
    assert_eq!(feasible(&world, &pod("p")), ["b"]);
    let tolerant = Pod { tolerations: vec![tolerates("node.kubernetes.io/unschedulable")], ..pod("p") };
    assert_eq!(feasible(&world, &tolerant), ["a", "b"]);
}

#[test]
fn taints_keep_pods_away_unless_they_only_prefer() {
    let nodes = vec![
        tainted("a", TaintEffect::NoSchedule),
        tainted("b", TaintEffect::NoExecute),
        tainted("c", TaintEffect::PreferNoSchedule),
    ];
    let world = world(nodes);
    assert_eq!(feasible(&world, &pod("p")), ["c"]);
    assert_eq!(feasible(&world, &Pod { tolerations: vec![tolerates("team")], ..pod("p") }), ["a", "b", "c"]);
    let only = |effect| Toleration { effect: Some(effect), ..tolerates("team") };
    assert_eq!(feasible(&world, &Pod { tolerations: vec![only(TaintEffect::NoExecute)], ..pod("p") }), ["b", "c"]);
}

#[test]
fn a_named_or_selected_node_is_the_only_one() {
    let world = world(vec![node("a", &[("disk", "ssd")]), node("b", &[])]);
    assert_eq!(feasible(&world, &Pod { node_name: Some("b".into()), ..pod("p") }), ["b"]);
    assert_eq!(feasible(&world, &Pod { node_selector: labels(&[("disk", "ssd")]), ..pod("p") }), ["a"]);
    let absent = Requirement { key: "disk".into(), test: Test::DoesNotExist };
    let term = NodeTerm { labels: vec![absent], names: vec![] };
    assert_eq!(feasible(&world, &Pod { node_affinity: Some(vec![term]), ..pod("p") }), ["b"]);
    assert_eq!(
        why(&world, &Pod { node_affinity: Some(vec![]), ..pod("p") }),
        "0 of 2 nodes: 2 are not selected by its node selector or affinity"
    );
}

#[test]
fn a_host_port_is_taken_once() {
    let port = |ip: &str| HostPort { ip: ip.into(), protocol: "TCP".into(), port: 53 };
    let with = |name: &str, ip: &str| Pod { ports: vec![port(ip)], ..pod(name) };
    let mut world = world(vec![node("a", &[]), node("b", &[])]);
    world.add("a", with("dns", ""));
    assert_eq!(feasible(&world, &with("p", "10.0.0.1")), ["b"]);
    world.add("b", with("dns-b", "10.0.0.2"));
    assert_eq!(feasible(&world, &with("p", "10.0.0.1")), ["b"]);
    assert_eq!(why(&world, &with("p", "")), "0 of 2 nodes: 2 have the host port 53/TCP taken");
    assert!(take_away(&mut world, "apps", "dns"));
    assert_eq!(feasible(&world, &with("p", "")), ["a"]);
}

#[test]
fn room_is_what_running_pods_leave() {
    let mut world = world(vec![node("a", &[]), Node { max_pods: 1, ..node("b", &[]) }]);
    let of = |name: &str, cpu| Pod { requests: Resources { cpu, ..Resources::default() }, ..pod(name) };
    world.add("a", of("x", 3500));
    assert_eq!(feasible(&world, &of("p", 500)), ["a", "b"], "there is room for one pod");
    world.add("b", of("y", 0));
    assert_eq!(feasible(&world, &of("p", 500)), ["a"]);
    assert_eq!(
        why(&world, &of("p", 501)),
        "0 of 2 nodes: 1 runs as many pods as allowed, 1 lacks cpu (wants 501m, free 500m)"
    );
    assert!(
        take_away(&mut world, "apps", "x")
            && !take_away(&mut world, "apps", "x")
            && !take_away(&mut world, "none", "x")
    );
    assert_eq!(feasible(&world, &of("p", 4000)), ["a"]);
    world.add("nowhere", of("z", 4000));
    assert_eq!(feasible(&world, &of("p", 4000)), ["a"], "a pod on a node that is not there takes no room");
}

#[test]
fn shortages_of_a_resource_count_together_with_what_is_free_at_most() {
    let mut world = world(vec![node("a", &[]), node("b", &[]), tainted("c", TaintEffect::NoSchedule)]);
    let of = |name: &str, cpu| Pod { requests: Resources { cpu, ..Resources::default() }, ..pod(name) };
    world.add("a", of("x", 3990));
    world.add("b", of("y", 3880));
    assert_eq!(
        world.feasible(&of("p", 500)).unwrap_err().to_string(),
        "apps/p finds no place: 0 of 3 nodes: 2 lack cpu (wants 500m, free at most 120m), 1 has the taint team=x:NoSchedule"
    );
}

#[test]
fn a_node_that_is_not_to_be_used_says_why() {
    let away = Node { unavailable: Some("not Ready".into()), ..node("a", &[]) };
    assert_eq!(why(&world(vec![away]), &pod("p")), "0 of 1 node: 1 is not Ready");
    assert_eq!(why(&world(vec![]), &pod("p")), "there is no node");
}

#[test]
fn a_message_shows_the_most_frequent_reasons_only() {
    let away = |name: &str, why: &str| Node { unavailable: Some(why.into()), ..node(name, &[]) };
    let nodes = ["one", "two", "three", "four", "five", "six"].map(|name| away(name, name));
    let nodes = nodes.into_iter().chain([away("seven", "six")]).collect();
    assert_eq!(
        why(&world(nodes), &pod("p")),
        "0 of 7 nodes: 2 are six, 1 is five, 1 is four, 1 is one, 2 for other reasons"
    );
}
