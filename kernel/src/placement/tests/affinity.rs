//! Affinity and anti-affinity between pods.

use crate::placement::testing::{feasible, labels, node, pod, take_away, term, why, world};
use crate::placement::{Namespaces, Pod, PodTerm, Selector, Test, World};

/// Two nodes in zone 1, one in zone 2, one without a zone; the pod `db` on the first.
fn zones() -> World {
    let mut world = world(vec![
        node("a", &[("zone", "1")]),
        node("b", &[("zone", "1")]),
        node("c", &[("zone", "2")]),
        node("d", &[]),
    ]);
    world.add("a", pod("db"));
    world
}

fn near(terms: &[PodTerm]) -> Pod {
    Pod { affinity: terms.to_vec(), ..pod("p") }
}

fn apart(terms: &[PodTerm]) -> Pod {
    Pod { anti_affinity: terms.to_vec(), ..pod("p") }
}

#[test]
fn affinity_asks_for_a_pod_in_the_same_place_by_every_term() {
    let world = zones();
    assert_eq!(feasible(&world, &near(&[term("db", "zone")])), ["a", "b"]);
    assert_eq!(feasible(&world, &near(&[term("db", "zone"), term("db", "host")])), ["a"]);
    let mut both = near(&[term("db", "zone"), term("web", "zone")]);
    assert_eq!(feasible(&world, &both), [""; 0], "no pod matches both terms");
    both.affinity.pop();
    assert_eq!(feasible(&world, &both), ["a", "b"]);
    assert_eq!(
        why(&world, &near(&[term("web", "zone")])),
        "0 of 4 nodes: 4 have no pod that it must run with, by zone"
    );
}

#[test]
fn the_first_of_its_kind_may_go_anywhere_that_has_the_key() {
    let own = near(&[term("p", "zone")]);
    assert_eq!(feasible(&zones(), &own), ["a", "b", "c"]);
    let mut world = zones();
    world.add("c", Pod { labels: labels(&[("app", "p")]), ..pod("p0") });
    assert_eq!(feasible(&world, &own), ["c"]);
    let mut elsewhere = zones();
    elsewhere.add("d", Pod { labels: labels(&[("app", "p")]), ..pod("p0") });
    assert_eq!(feasible(&elsewhere, &own), ["a", "b", "c"], "one on a node without the key does not count");
    assert_eq!(feasible(&zones(), &near(&[term("p", "zone"), term("q", "zone")])), [""; 0], "it must match all terms");
}

#[test]
fn anti_affinity_keeps_away_in_both_directions() {
    let mut world = zones();
    assert_eq!(feasible(&world, &apart(&[term("db", "zone")])), ["c", "d"]);
    assert_eq!(feasible(&world, &apart(&[term("db", "host"), term("x", "zone")])), ["b", "c", "d"]);
    world.add("c", Pod { anti_affinity: vec![term("p", "zone"), term("q", "host")], ..pod("loner") });
    assert_eq!(feasible(&world, &pod("p")), ["a", "b", "d"]);
    assert_eq!(feasible(&world, &pod("q")), ["a", "b", "d"]);
    let near_db = Pod { node_selector: labels(&[("zone", "1")]), ..apart(&[term("db", "zone")]) };
    assert_eq!(
        why(&world, &near_db),
        "0 of 4 nodes: 2 are not selected by its node selector or affinity, 2 have a pod that it must not run with, by zone"
    );
}

#[test]
fn one_pod_that_repels_is_named() {
    let mut world = world(vec![node("a", &[])]);
    for name in ["z", "b", "m"] {
        world.add("a", Pod { anti_affinity: vec![term("p", "host")], ..pod(name) });
    }
    assert_eq!(why(&world, &pod("p")), "0 of 1 node: 1 has a pod that must not run with it (apps/b)");
    for name in ["z", "b", "m"] {
        assert!(take_away(&mut world, "apps", name));
    }
    assert_eq!(feasible(&world, &pod("p")), ["a"]);
}

#[test]
fn terms_mean_the_namespaces_that_they_name_or_select() {
    let mut world = zones();
    world.add("c", Pod { namespace: "other".into(), ..pod("db") });
    let of = |names: &[&str], selector: Selector| {
        let namespaces = Namespaces { names: names.iter().map(|name| (*name).to_owned()).collect(), selector };
        feasible(&world, &near(&[PodTerm { namespaces, ..term("db", "zone") }])).join(" ")
    };
    let team = |name: &str| Selector::everything().and("team", Test::In(vec![name.into()]));
    assert_eq!(of(&["other"], Selector::Nothing), "c");
    assert_eq!(of(&["other", "apps"], Selector::Nothing), "a b c");
    assert_eq!(of(&[], Selector::everything()), "a b c");
    assert_eq!(of(&[], team("other")), "c");
    assert_eq!(of(&["apps"], team("other")), "a b c");
    assert_eq!(of(&[], team("none")), "");
}

#[test]
fn a_running_pod_repels_by_the_labels_of_the_others_namespace() {
    let against = |selector| PodTerm { namespaces: Namespaces { names: [].into(), selector }, ..term("p", "host") };
    let team = |name: &str| Selector::everything().and("team", Test::In(vec![name.into()]));
    for (selector, repels) in [
        (Selector::Nothing, false),
        (Selector::everything(), true),
        (team("apps"), true),
        (team("other"), false),
        (Selector::everything().and("team", Test::DoesNotExist), false),
    ] {
        let mut world = world(vec![node("a", &[])]);
        world.add("a", Pod { namespace: "other".into(), anti_affinity: vec![against(selector.clone())], ..pod("x") });
        assert_eq!(feasible(&world, &pod("p")).is_empty(), repels, "{selector:?}");
        let stranger = Pod { namespace: "gone".into(), ..pod("p") };
        let unlabelled = selector.matches(&labels(&[]));
        assert_eq!(feasible(&world, &stranger).is_empty(), unlabelled, "a namespace that is not there has no labels");
    }
}
