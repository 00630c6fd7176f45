//! What is not known, or not modelled, never makes a place.

use crate::placement::testing::{feasible, labels, node, pod, spread, term, why};
use crate::placement::{Claim, Listing, Namespaces, Node, Obstacle, Pod, PodTerm, Selector, Test, World};

/// Two nodes of zone 1 and one of zone 2; of the pods on the second not all are listed.
fn partly(listing: Listing) -> World {
    let hidden = Node { all_pods_listed: false, ..node("b", &[("zone", "1")]) };
    let nodes = vec![node("a", &[("zone", "1")]), hidden, node("c", &[("zone", "2")])];
    World::new(nodes, Some([("apps".to_owned(), labels(&[]))].into()), listing)
}

fn only_repelling() -> Listing {
    Listing { repelling: true, ..Listing::default() }
}

fn all_of_apps() -> Listing {
    Listing { namespaces: ["apps".to_owned()].into(), repelling: true }
}

#[test]
fn a_pod_with_an_obstacle_has_no_place_and_all_obstacles_are_told() {
    let claim = Obstacle::Claim { name: "v".into(), problem: "is not bound".into() };
    let obstacles =
        vec![Obstacle::Gate("g".into()), claim, Obstacle::ResourceClaim("gpu".into()), Obstacle::Gate("g".into())];
    let world = partly(all_of_apps());
    assert_eq!(
        why(&world, &Pod { obstacles, ..pod("p") }),
        "it needs the resource claim gpu, which is not modelled; it waits at the scheduling gate g; the volume claim v is not bound"
    );
    let scheduler = vec![Obstacle::Scheduler("own".into()), Obstacle::NotModelled("the moon".into())];
    assert_eq!(
        why(&world, &Pod { obstacles: scheduler, ..pod("p") }),
        "the moon is not modelled; the scheduler own decides, not the default one"
    );
}

#[test]
fn nothing_is_placed_where_pods_are_not_listed() {
    assert_eq!(feasible(&partly(all_of_apps()), &pod("p")), ["a", "c"]);
    let alone = Pod { node_name: Some("b".into()), ..pod("p") };
    assert!(why(&partly(all_of_apps()), &alone).contains("1 runs pods that are not known"));
}

#[test]
fn a_pod_that_is_not_listed_may_repel() {
    assert_eq!(
        why(&partly(Listing::default()), &pod("p")),
        "a pod on b may repel it by its anti-affinity: not all pods there are known"
    );
    assert_eq!(feasible(&partly(only_repelling()), &pod("p")), ["a", "c"]);
}

#[test]
fn a_pod_that_is_not_listed_may_be_one_to_avoid() {
    let apart = Pod { anti_affinity: vec![term("x", "zone")], ..pod("p") };
    assert_eq!(feasible(&partly(only_repelling()), &apart), ["c"]);
    assert_eq!(feasible(&partly(all_of_apps()), &apart), ["a", "c"]);
    let by_label = Namespaces { names: [].into(), selector: Selector::everything() };
    let from_all = Pod { anti_affinity: vec![PodTerm { namespaces: by_label, ..term("x", "zone") }], ..pod("p") };
    assert_eq!(feasible(&partly(all_of_apps()), &from_all), ["c"]);
    let why = why(&partly(only_repelling()), &Pod { node_selector: labels(&[("zone", "1")]), ..apart });
    assert!(why.contains("1 may have a pod that it must not run with, by zone"), "{why}");
}

#[test]
fn a_pod_that_is_not_listed_may_be_the_first_of_its_kind() {
    let near = Pod { affinity: vec![term("p", "zone")], ..pod("p") };
    assert_eq!(feasible(&partly(only_repelling()), &near), [""; 0]);
    assert_eq!(feasible(&partly(all_of_apps()), &near), ["a", "c"]);
    let mut world = partly(only_repelling());
    world.add("c", Pod { labels: labels(&[("app", "p")]), ..pod("p0") });
    assert_eq!(feasible(&world, &near), ["c"], "one that is seen is enough");
}

#[test]
fn pods_that_are_not_listed_may_count_for_spreading() {
    let spread_out = Pod { spread: vec![spread("p", "zone")], ..pod("p") };
    assert_eq!(feasible(&partly(only_repelling()), &spread_out), ["c"]);
    assert_eq!(feasible(&partly(all_of_apps()), &spread_out), ["a", "c"]);
    let why = why(&partly(only_repelling()), &Pod { node_selector: labels(&[("zone", "1")]), ..spread_out });
    assert!(why.contains("1 has an unknown number of its kind for its topology spread over zone"), "{why}");
}

#[test]
fn a_claim_for_one_pod_may_be_in_use_by_one_that_is_not_listed() {
    let claims = vec![Claim { name: "v".into(), exclusive: true, ..Claim::default() }];
    let pod = Pod { claims, ..pod("p") };
    assert_eq!(why(&partly(only_repelling()), &pod), "the volume claim v may be in use by a pod that is not known");
    assert_eq!(feasible(&partly(all_of_apps()), &pod), ["a", "c"]);
}

#[test]
fn unknown_namespaces_approve_nothing_that_rests_on_their_labels() {
    let selector = Selector::everything().and("team", Test::In(vec!["x".into()]));
    let by_label = PodTerm { namespaces: Namespaces { names: [].into(), selector }, ..term("p", "host") };
    let world = || World::new(vec![node("a", &[]), node("b", &[])], None, Listing::default());
    for pod in [
        Pod { affinity: vec![by_label.clone()], ..pod("p") },
        Pod { anti_affinity: vec![by_label.clone()], ..pod("p") },
    ] {
        assert_eq!(why(&world(), &pod), "its affinity selects namespaces by their labels, which are unknown");
    }
    assert_eq!(feasible(&world(), &Pod { anti_affinity: vec![term("x", "host")], ..pod("p") }), ["a", "b"]);
    let mut repelling = world();
    repelling.add("a", Pod { anti_affinity: vec![by_label], ..pod("x") });
    assert_eq!(feasible(&repelling, &pod("p")), ["b"], "a running pod's term may mean any namespace");
}
