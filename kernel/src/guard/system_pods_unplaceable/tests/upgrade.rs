//! Upgrades: each node in turn, with its successor counted on as far as it is known.

use super::*;
use crate::SystemPods;
use crate::testing::upgrade_to;

fn relocating(change: impl Fn(&mut Snapshot)) -> Option<Broken> {
    let mut snapshot = cluster();
    edit(&mut snapshot.intents)[0].system_pods = SystemPods::Relocate;
    change(&mut snapshot);
    broken(&snapshot, &upgrade_to("sys", "1.34.2"), Rule::SystemPodsUnplaceable)
}

#[test]
fn each_node_in_turn_is_emptied_onto_the_others_or_the_node_more() {
    assert_eq!(relocating(|_| ()), None);
    let full = |it: &mut Snapshot| {
        fill(it, "two");
        let node = nodes_mut(it, "sys").nth(1).unwrap().name.clone();
        let requests = Resources { cpu: 3500, ..Resources::default() };
        places(it).world.add(&node, placement::Pod { requests, ..testing::pod("big") });
    };
    assert_eq!(relocating(full), None, "the surge node takes what its predecessor had");
    let without_surge = relocating(|it| {
        full(it);
        pool_mut(it, "sys").max_surge = Some("0".into());
    });
    let found = without_surge.unwrap();
    assert!(
        found.finding.starts_with(
            "the upgrade of pool sys, which takes one node after the other, (with aks-sys-12345678-vmss000000 gone) would \
             leave pods without a place on any usable system node that remains: kube-system/coredns-sys"
        ),
        "{}",
        found.finding
    );
}

#[test]
fn a_node_more_is_no_place_for_what_is_tied_to_the_old_one() {
    let tied = |key: &'static str, zones: &'static [&'static str]| {
        relocating(|it| {
            for (index, zone) in zones.iter().enumerate() {
                let node = nodes_mut(it, "sys").nth(index).unwrap();
                node.zone = Some((*zone).to_owned());
                let name = node.name.clone();
                places(it).world.edit(&name, |labels, _| {
                    labels.insert("topology.kubernetes.io/zone".to_owned(), (*zone).to_owned());
                    labels.insert("kubernetes.io/hostname".to_owned(), name.clone());
                });
            }
            let wanted = if key.ends_with("zone") { "1".to_owned() } else { crate::testing::node("sys", 0).name };
            placed(it, "coredns-sys").node_selector = [(key.to_owned(), wanted)].into();
        })
        .is_some()
    };
    let zone = "topology.kubernetes.io/zone";
    assert!(!tied(zone, &["1", "1"]), "all nodes are in one zone, and so is the next");
    assert!(tied(zone, &["1", "2"]), "it may come in another zone");
    assert!(tied("kubernetes.io/hostname", &["1", "1"]));
}
