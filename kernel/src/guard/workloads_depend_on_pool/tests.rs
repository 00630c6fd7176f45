use std::collections::BTreeMap;

use super::*;
use crate::snapshot::{ProvisioningState, Tie};
use crate::testing::{
    NOW, ago, broken, demote, edit, governed, in_flight, pool, pool_mut, promote, put_label, put_taints, repair, rules,
    scale,
};
use crate::{Deletion, Known, Snapshot};

/// A system pool and two user pools; `p` is to be deleted with the pool `apps`, on which nothing depends.
fn cluster() -> Snapshot {
    let pools = vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3), pool("web", Mode::User, 3)];
    let mut snapshot = governed(pools, "apps");
    edit(&mut snapshot.intents).first_mut().unwrap().deletion = Some(Deletion::Delete);
    snapshot.dependents = BTreeMap::from([("apps".to_owned(), Known::seen(NOW, vec![]))]);
    snapshot
}

fn delete(pool: &str) -> Step {
    Step { policy: "p".into(), pool: pool.to_owned(), change: Change::Delete }
}

fn depends(pod: &str, tie: Tie) -> Dependent {
    Dependent { pod: pod.to_owned(), tie }
}

fn with(dependents: Known<Vec<Dependent>>) -> Snapshot {
    let mut snapshot = cluster();
    snapshot.dependents = BTreeMap::from([("apps".to_owned(), dependents)]);
    snapshot
}

fn found(snapshot: &Snapshot, step: &Step) -> Option<Broken> {
    broken(snapshot, step, Rule::WorkloadsDependOnPool)
}

#[test]
fn a_pool_on_which_nothing_depends_may_go() {
    assert_eq!(rules(&cluster(), &delete("apps")), []);
    assert_eq!(rules(&cluster(), &scale("apps", 3, 0)), []);
}

#[test]
fn pods_that_depend_on_the_pool_are_named_with_what_ties_them_and_the_way_out() {
    let nowhere = Tie::Nowhere("0 of 3 nodes: 3 have the taint x:NoSchedule".into());
    let snapshot =
        with(Known::seen(NOW, vec![depends("shop/db", Tie::Data("data".into())), depends("shop/web", nowhere)]));
    for step in [delete("apps"), scale("apps", 3, 0)] {
        let found = found(&snapshot, &step).unwrap();
        assert_eq!(found.standing, Standing::Lasting);
        assert_eq!(
            found.finding,
            "2 pods depend on pool apps, which would take them along: shop/db (its volume data is on a disk of its node); \
             shop/web (0 of 3 nodes: 3 have the taint x:NoSchedule)"
        );
        assert!(found.remedy.ends_with("kubectl annotate nodepoolpolicy p aks.nodepool.dev/allow-workload-loss=apps"));
        assert_eq!(found.pods, ["shop/db", "shop/web"]);
    }
    let alone = found(&with(Known::seen(NOW, vec![depends("a/b", Tie::Alone)])), &delete("apps")).unwrap();
    assert!(
        alone.finding.starts_with("1 pod depends on pool apps, which would take it along: a/b (nothing"),
        "{alone:?}"
    );
}

#[test]
fn only_what_takes_all_nodes_of_a_user_pool_is_judged() {
    let mut snapshot = with(Known::unknown("no answer"));
    for step in
        [scale("apps", 3, 1), scale("apps", 3, 4), put_label("apps", "a"), put_taints("apps", &["a=b:NoSchedule"])]
    {
        assert_eq!(found(&snapshot, &step), None, "{step}");
    }
    assert!(found(&snapshot, &scale("apps", 3, 0)).is_some());
    pool_mut(&mut snapshot, "apps").mode = Mode::System;
    assert_eq!(found(&snapshot, &delete("apps")), None, "the other rules keep what system pools are for");
}

#[test]
fn a_person_may_allow_the_loss() {
    let mut snapshot = with(Known::seen(NOW, vec![depends("a/b", Tie::Alone)]));
    assert!(found(&snapshot, &delete("apps")).is_some());
    edit(&mut snapshot.intents).first_mut().unwrap().may_lose_workloads = true;
    assert_eq!(rules(&snapshot, &delete("apps")), []);
    edit(&mut snapshot.intents).first_mut().unwrap().policy = "q".into();
    assert!(found(&snapshot, &delete("apps")).is_some(), "another policy's word");
}

#[test]
fn what_is_not_known_refuses_for_now() {
    let mut unread = cluster();
    unread.dependents.clear();
    for (snapshot, why) in [
        (with(Known::unknown("no answer")), "no answer"),
        (with(Known::seen(ago(301), vec![])), "not seen for more than 300 s"),
        (with(Known::seen(ago(301), vec![depends("a/b", Tie::Alone)])), "not seen for more than 300 s"),
        (unread, "they have not been read yet"),
    ] {
        let found = found(&snapshot, &delete("apps")).unwrap();
        assert_eq!(found.standing, Standing::Passing);
        assert_eq!(found.finding, format!("which pods depend on pool apps is not known: {why}"));
    }
    assert_eq!(found(&with(Known::seen(ago(300), vec![])), &delete("apps")), None);
}

#[test]
fn the_room_that_pods_may_need_must_not_go_at_the_same_time() {
    let sent = |step: Step| {
        let mut snapshot = cluster();
        snapshot.in_flight = in_flight([step]);
        found(&snapshot, &delete("apps")).map(|found| (found.standing, found.finding))
    };
    let waits = (Standing::Passing, "the pods on pool apps may need the room that goes with pool web".to_owned());
    for takes in [delete("web"), scale("web", 3, 2), put_taints("web", &["a=b:NoSchedule"]), put_label("web", "a")] {
        assert_eq!(sent(takes.clone()), Some(waits.clone()), "{takes}");
    }
    for adds in [scale("web", 3, 4), promote("web"), repair("web")] {
        assert_eq!(sent(adds.clone()), None, "{adds}");
    }
    assert!(sent(demote("sys")).is_some());
    assert_eq!(sent(scale("apps", 3, 2)), None, "the pool itself is busy, which another rule says");
    for (operation, count, expected) in [
        ("Deleting", 3, true),
        ("Stopping", 3, true),
        ("Updating", 3, true),
        ("Scaling", 3, false),
        ("Scaling", 2, true),
        ("Upgrading", 3, false),
    ] {
        let mut snapshot = cluster();
        let web = pool_mut(&mut snapshot, "web");
        (web.state, web.count) = (ProvisioningState::Busy(operation.into()), count);
        assert_eq!(found(&snapshot, &delete("apps")).is_some(), expected, "{operation} {count}");
    }
}
