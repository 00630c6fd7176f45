//! Nodes that the autoscaler may remove.

use super::*;
use crate::SystemPods;
use crate::testing::autoscale;

#[test]
fn pods_need_a_place_beside_the_nodes_that_the_autoscaler_may_take() {
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).first_mut().unwrap().system_pods = SystemPods::Relocate;
    let on = |min| autoscale("sys", None, Some((min, 5)));
    assert_eq!(found(&snapshot, &on(1)), None, "there is another system pool");
    fill(&mut snapshot, "two");
    assert_eq!(found(&snapshot, &on(2)), None, "no node may go");
    assert_eq!(found(&snapshot, &on(1)), None, "it has a place on the node that stays");
    let finding = found(&snapshot, &on(0)).unwrap().finding;
    assert!(
        finding.starts_with(
            "the autoscaler, which could remove 2 nodes of pool sys, would leave pods without a place on any usable system \
             node that remains: kube-system/coredns-sys"
        ),
        "{finding}"
    );
    tie(&mut snapshot, "coredns-apps", "apps");
    assert_eq!(found(&snapshot, &autoscale("apps", None, Some((1, 5)))), None);
    assert!(found(&snapshot, &autoscale("apps", None, Some((0, 5)))).is_some(), "of any pool");
    assert_eq!(found(&snapshot, &autoscale("apps", None, None)), None);
}
