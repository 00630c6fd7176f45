//! Many pods, one after the other.

use crate::placement::testing::{node, pod, term, world};
use crate::placement::{Pod, Resources, place};

fn of(name: &str, cpu: i128) -> Pod {
    Pod { requests: Resources { cpu, ..Resources::default() }, ..pod(name) }
}

#[test]
fn each_pod_takes_its_room_before_the_next() {
    let world = world(vec![node("a", &[]), node("b", &[])]);
    assert_eq!(place(&world, &[of("p", 3000), of("q", 3000)]).unwrap(), ["a", "b"]);
    let crowd = [of("p", 3000), of("q", 3000), of("r", 3000), of("s", 1000)];
    let unplaceable = place(&world, &crowd).unwrap_err();
    assert_eq!(unplaceable.len(), 1, "the one after it still finds room");
    assert_eq!(unplaceable[0].to_string(), "apps/r finds no place: 0 of 2 nodes: 2 lack cpu (wants 3, free at most 1)");
    assert_eq!(place(&world, &[]).unwrap(), [""; 0]);
}

#[test]
fn anti_affinity_counts_among_the_pods_themselves() {
    let world = world(vec![node("a", &[]), node("b", &[])]);
    let replica = |name: &str| Pod { labels: pod("web").labels, anti_affinity: vec![term("web", "host")], ..pod(name) };
    assert!(place(&world, &[replica("w1"), replica("w2")]).is_ok());
    let unplaceable = place(&world, &[replica("w1"), replica("w2"), replica("w3")]).unwrap_err();
    assert_eq!(unplaceable[0].pod, "apps/w3");
}

#[test]
fn a_sequence_that_rests_on_a_lucky_choice_has_no_place() {
    // The small pod fits both nodes, the large one only the one that is whole.
    let mut world = world(vec![node("a", &[]), node("b", &[])]);
    world.add("a", of("x", 2000));
    assert!(place(&world, &[of("small", 1000), of("large", 3500)]).is_err(), "the emptiest node would be spent");
    assert!(place(&world, &[of("large", 3500), of("small", 1000)]).is_ok());
    // The second is tied to the node that has less room: only the scheduler's habit keeps the first away from it.
    let tied = Pod { node_name: Some("a".into()), ..of("tied", 1500) };
    assert!(place(&world, &[of("small", 1000), tied.clone()]).is_err(), "the fullest node would be spent");
    assert!(place(&world, &[of("small", 500), tied]).is_ok());
    let pair = [of("p", 1500), of("q", 2500)];
    assert!(place(&world, &pair).is_ok(), "either choice leaves room");
}

#[test]
fn the_world_that_was_asked_about_stays_as_it_was() {
    let world = world(vec![node("a", &[])]);
    for _ in 0..3 {
        assert!(place(&world, &[of("p", 4000)]).is_ok());
    }
}

#[test]
fn of_nodes_with_the_same_cores_left_the_one_with_most_memory_left_is_the_emptiest() {
    let sized = |name: &str, gib: i128| {
        let mut sized = node(name, &[]);
        sized.allocatable.memory = gib << 30;
        sized
    };
    let world = world(vec![sized("a", 4), sized("b", 16), sized("c", 8)]);
    assert_eq!(place(&world, &[pod("p")]), Ok(vec!["b".to_owned()]));
}
