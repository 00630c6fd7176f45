//! Topology spread constraints.

use crate::placement::testing::{feasible, labels, node, pod, spread, take_away, why, world};
use crate::placement::{Node, Pod, Selector, Spread, World};
use crate::taint::{Taint, TaintEffect};

/// Two nodes in zone 1, one in zone 2, one without a zone; two pods of `web` in zone 1, one in zone 2.
fn zones() -> World {
    let mut world = world(vec![
        node("a", &[("zone", "1")]),
        node("b", &[("zone", "1")]),
        node("c", &[("zone", "2")]),
        node("d", &[]),
    ]);
    for (node, name) in [("a", "w1"), ("b", "w2"), ("c", "w3")] {
        world.add(node, Pod { labels: labels(&[("app", "web")]), ..pod(name) });
    }
    world
}

fn web(spread: Spread) -> Pod {
    Pod { labels: labels(&[("app", "web")]), spread: vec![spread], ..pod("p") }
}

fn over_zones() -> Spread {
    spread("web", "zone")
}

#[test]
fn a_domain_may_have_only_so_many_more_than_the_one_with_fewest() {
    let world = zones();
    assert_eq!(feasible(&world, &web(over_zones())), ["c"]);
    assert_eq!(feasible(&world, &web(Spread { max_skew: 2, ..over_zones() })), ["a", "b", "c"]);
    let other = Pod { labels: labels(&[("app", "db")]), ..web(over_zones()) };
    assert_eq!(feasible(&world, &other), ["a", "b", "c"], "a pod that does not match itself adds nothing");
    let only_first = Pod { node_selector: labels(&[("zone", "1")]), ..web(over_zones()) };
    assert_eq!(feasible(&world, &only_first), ["a", "b"], "only the zones that it may use are compared");
}

#[test]
fn with_too_few_domains_the_fewest_is_none() {
    let two = |min_domains| web(Spread { min_domains, max_skew: 2, ..over_zones() });
    assert_eq!(feasible(&zones(), &two(2)), ["a", "b", "c"]);
    assert_eq!(feasible(&zones(), &two(3)), ["c"]);
}

#[test]
fn policies_say_which_nodes_count() {
    let mut tainted = node("e", &[("zone", "3")]);
    tainted.taints = vec![Taint::new("team", "", TaintEffect::NoSchedule)];
    let mut nodes: Vec<Node> = zones().nodes().cloned().collect();
    nodes.push(tainted);
    let mut world = world(nodes);
    world.add("a", Pod { labels: labels(&[("app", "web")]), ..pod("w1") });
    world.add("c", Pod { labels: labels(&[("app", "web")]), ..pod("w3") });
    assert_eq!(feasible(&world, &web(over_zones())), [""; 0], "the tainted zone has none, and counts");
    let honors = Spread { honor_taints: true, ..over_zones() };
    assert_eq!(feasible(&world, &web(honors)), ["a", "b", "c"]);
    let selective = |spread| Pod { node_selector: labels(&[("zone", "1")]), ..web(spread) };
    assert_eq!(feasible(&world, &selective(over_zones())), ["a", "b"]);
    assert_eq!(feasible(&world, &selective(Spread { honor_affinity: false, ..over_zones() })), [""; 0]);
}

#[test]
fn pods_that_go_are_not_counted_nor_those_of_other_namespaces() {
    let mut world = zones();
    assert!(take_away(&mut world, "apps", "w2"));
    assert_eq!(feasible(&world, &web(over_zones())), ["a", "b", "c"]);
    world.add("b", Pod { labels: labels(&[("app", "web")]), deleting: true, ..pod("going") });
    world.add("b", Pod { labels: labels(&[("app", "web")]), namespace: "other".into(), ..pod("foreign") });
    assert_eq!(feasible(&world, &web(over_zones())), ["a", "b", "c"]);
}

#[test]
fn a_selector_of_everything_counts_no_pod_but_matches_the_pod_itself() {
    let all = Spread { selector: Selector::everything(), ..over_zones() };
    assert_eq!(feasible(&zones(), &web(all)), ["a", "b", "c"]);
    let none = Spread { selector: Selector::Nothing, max_skew: 0, ..over_zones() };
    assert_eq!(feasible(&zones(), &web(none)), ["a", "b", "c"]);
}

#[test]
fn label_keys_narrow_to_the_pods_own_revision() {
    let by_revision = Spread { match_label_keys: vec!["hash".into(), "absent".into()], ..over_zones() };
    let mut pod = web(by_revision);
    assert_eq!(feasible(&zones(), &pod), ["c"]);
    pod.labels.insert("hash".into(), "new".into());
    assert_eq!(feasible(&zones(), &pod), ["a", "b", "c"], "no other pod has its revision");
}

#[test]
fn a_node_must_have_the_keys_of_all_constraints_to_count() {
    let mut pod = web(over_zones());
    pod.spread.push(spread("web", "rack"));
    assert_eq!(
        why(&zones(), &pod),
        "0 of 4 nodes: 3 lack the label rack of its topology spread, 1 lacks the label zone of its topology spread"
    );
}
