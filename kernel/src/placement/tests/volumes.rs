//! Volumes: where they are, how many fit, who uses them.

use crate::placement::testing::{feasible, node, pod, take_away, why, world};
use crate::placement::{Claim, Node, NodeTerm, Pod, Requirement, Test, Volume, zone_labels};

fn disk(handle: &str) -> Volume {
    Volume { driver: "disk".into(), handle: handle.into() }
}

fn claim(name: &str) -> Claim {
    Claim { name: name.into(), volume: Some(disk(name)), ..Claim::default() }
}

fn with(name: &str, claims: Vec<Claim>) -> Pod {
    Pod { claims, ..pod(name) }
}

#[test]
fn a_volume_ties_its_pod_to_where_it_can_be_reached() {
    let world = world(vec![node("a", &[("zone", "1")]), node("b", &[("zone", "2")])]);
    let zone = Requirement { key: "zone".into(), test: Test::In(vec!["2".into()]) };
    let term = NodeTerm { labels: vec![zone], names: vec![] };
    let tied = Claim { node_affinity: Some(vec![term]), ..claim("v") };
    assert_eq!(feasible(&world, &with("p", vec![tied.clone()])), ["b"]);
    let nowhere = Claim { node_affinity: Some(vec![]), ..tied };
    assert_eq!(why(&world, &with("p", vec![nowhere])), "0 of 2 nodes: 2 can't reach the volume of the claim v");
}

#[test]
fn zone_labels_of_a_volume_bind_nodes_that_have_any_zone_or_region() {
    let [old, _, new, region] = zone_labels().collect::<Vec<_>>()[..] else { panic!("four labels") };
    let nodes = vec![
        node("a", &[(new, "1")]),
        node("b", &[(new, "2")]),
        node("c", &[(old, "1")]),
        node("d", &[(region, "1")]),
        node("e", &[]),
    ];
    let world = world(nodes);
    let zoned = |label: &str| {
        let zones = [(label.to_owned(), ["1".to_owned(), "3".to_owned()].into())].into();
        feasible(&world, &with("p", vec![Claim { zones, ..claim("v") }])).join(" ")
    };
    assert_eq!(zoned(new), "a e", "a node without any such label takes volumes of every zone");
    assert_eq!(zoned(old), "a c e", "an old label is also looked for under its new name");
}

#[test]
fn a_node_attaches_so_many_volumes_of_a_driver() {
    let mut world = world(vec![node("a", &[]), node("b", &[])]);
    world.add("a", with("x", vec![claim("v1")]));
    assert_eq!(feasible(&world, &with("p", vec![claim("v2")])), ["a", "b"]);
    assert_eq!(feasible(&world, &with("p", vec![claim("v2"), claim("v3")])), ["b"]);
    assert_eq!(
        feasible(&world, &with("p", vec![claim("v1"), claim("v3")])),
        ["a", "b"],
        "one that is there is not new"
    );
    let crowded = Node { attached: [disk("old"), disk("older")].into(), ..node("a", &[]) };
    let mut full = self::world(vec![crowded]);
    full.add("a", with("x", vec![claim("v1")]));
    assert_eq!(feasible(&full, &with("p", vec![claim("v1")])), ["a"], "nothing is attached besides, full or not");
    assert_eq!(
        why(&world, &with("p", vec![claim("v2"), claim("v3"), claim("v4")])),
        "0 of 2 nodes: 2 can't attach more than 2 volumes of disk"
    );
    world.add("a", with("y", vec![claim("v1")]));
    assert!(take_away(&mut world, "apps", "x"));
    assert_eq!(feasible(&world, &with("p", vec![claim("v2"), claim("v3")])), ["b"], "another pod still uses it");
    assert!(take_away(&mut world, "apps", "y"));
    assert_eq!(feasible(&world, &with("p", vec![claim("v2"), claim("v3")])), ["a", "b"]);
}

#[test]
fn attachments_without_a_pod_and_volumes_that_cannot_be_traced_take_places() {
    let attached = Node { attached: [disk("old"), disk("older")].into(), ..node("a", &[]) };
    let mut world = world(vec![attached, node("b", &[])]);
    assert_eq!(feasible(&world, &with("p", vec![claim("v1")])), ["b"]);
    assert_eq!(feasible(&world, &with("p", vec![])), ["a", "b"]);
    world.add("b", Pod { untraced_volumes: 2, ..pod("x") });
    assert_eq!(feasible(&world, &with("p", vec![claim("v1")])), [""; 0]);
    assert!(take_away(&mut world, "apps", "x"));
    assert_eq!(feasible(&world, &with("p", vec![claim("v1")])), ["b"]);
}

#[test]
fn a_node_must_have_the_driver_and_say_so() {
    let nodes = vec![
        Node { drivers: None, ..node("a", &[]) },
        Node { drivers: Some([].into()), ..node("b", &[]) },
        Node { drivers: Some([("disk".to_owned(), None)].into()), ..node("c", &[]) },
    ];
    let many = (1..9).map(|number| claim(&format!("v{number}"))).collect();
    assert_eq!(feasible(&world(nodes.clone()), &with("p", many)), ["c"], "no limit is none");
    assert_eq!(
        why(&world(nodes.into_iter().take(2).collect()), &with("p", vec![claim("v")])),
        "0 of 2 nodes: 1 lacks the volume driver disk, 1 has volume drivers that are not known"
    );
}

#[test]
fn a_claim_for_one_pod_is_used_by_one_pod_in_the_whole_cluster() {
    let own = Claim { exclusive: true, volume: None, ..claim("v") };
    let mut world = world(vec![node("a", &[]), node("b", &[])]);
    world.add("a", with("x", vec![own.clone()]));
    assert_eq!(
        why(&world, &with("p", vec![own.clone()])),
        "0 of 2 nodes: 2 can't take the claim v, which another pod uses alone"
    );
    let elsewhere = Pod { namespace: "other".into(), ..with("p", vec![own.clone()]) };
    assert_eq!(feasible(&world, &elsewhere), ["a", "b"], "a claim of the same name in another namespace is another");
    assert!(take_away(&mut world, "apps", "x"));
    assert_eq!(feasible(&world, &with("p", vec![own])), ["a", "b"]);
}

#[test]
fn a_node_that_goes_gives_back_just_the_claims_of_the_pods_that_are_left_on_it() {
    let own = |name: &str| Claim { exclusive: true, volume: None, ..claim(name) };
    let of =
        |namespace: &str, name: &str, claim: &str| Pod { namespace: namespace.into(), ..with(name, vec![own(claim)]) };
    let pods = [of("apps", "x", "v"), of("other", "y", "v"), of("apps", "z", "w")];
    for turn in 0..pods.len() {
        let mut world = world(vec![node("a", &[]), node("b", &[])]);
        let mut turned = pods.clone();
        turned.rotate_left(turn);
        for pod in turned {
            world.add("a", pod);
        }
        assert!(take_away(&mut world, "apps", "x"));
        let left = world.without(&["a"].into());
        for (namespace, claim) in [("apps", "v"), ("other", "v"), ("apps", "w")] {
            assert_eq!(feasible(&left, &of(namespace, "p", claim)), ["b"], "{namespace}/{claim} after turn {turn}");
        }
    }
}
