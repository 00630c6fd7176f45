//! `LastHealthySystemPool`: a healthy system pool must remain. Never counts a pool that is not proven healthy.

use super::rule::{Broken, Rule, Standing};
use crate::capacity::{Outlook, after, explain_others};
use crate::facts::Facts;
use crate::step::Step;

/// Refuses a step that reduces system capacity and after or during which no healthy system pool would remain, whatever the
/// autoscalers of other pools take away.
///
/// In a cluster that has none already, a step that reduces nothing passes.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    if !breaks(facts, step, Outlook::Worst) {
        return None;
    }
    let standing = if breaks(facts, step, Outlook::Hopeful) { Standing::Lasting } else { Standing::Passing };
    let others = explain_others(facts, &step.pool);
    Some(Broken {
        rule: Rule::LastHealthySystemPool,
        standing,
        finding: format!("no healthy system pool would remain: {others}"),
        remedy: "bring another system pool to at least one node that is Ready, not cordoned and free of taints other \
                 than CriticalAddonsOnly, or promote another pool first"
            .to_owned(),
        pods: Vec::new(),
    })
}

fn breaks(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> bool {
    facts.lowers(step) && after(facts, step, outlook).kept == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Os, Power, ProvisioningState, Readiness};
    use crate::testing::{
        ago, broken, demote, governed, in_flight, nodes_mut, pool, pool_mut, promote, put_label, put_taints, rules,
        scale, taint,
    };
    use crate::{Mode, Node, PoolFailure, PoolKind, Snapshot};

    type Edit = Box<dyn Fn(&mut crate::AgentPool)>;

    /// System pools `one` and `two` of three nodes each; the steps are made on `one`.
    fn cluster() -> Snapshot {
        let pools = vec![pool("one", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
        governed(pools, "one")
    }

    fn found(edit_snapshot: impl Fn(&mut Snapshot)) -> Option<Broken> {
        let mut snapshot = cluster();
        edit_snapshot(&mut snapshot);
        broken(&snapshot, &demote("one"), Rule::LastHealthySystemPool)
    }

    fn standing(edit_snapshot: impl Fn(&mut Snapshot)) -> Option<Standing> {
        found(edit_snapshot).map(|broken| broken.standing)
    }

    fn nodes_of_two(edit_node: impl Fn(&mut Node)) -> Option<Standing> {
        standing(|snapshot| nodes_mut(snapshot, "two").for_each(&edit_node))
    }

    #[test]
    fn a_demotion_passes_beside_a_healthy_system_pool() {
        assert_eq!(rules(&cluster(), &demote("one")), []);
    }

    #[test]
    fn nodes_that_add_ons_cannot_use_do_not_make_a_pool_healthy() {
        let not_ready = |seconds| Readiness::NotReady { since: ago(seconds) };
        assert_eq!(nodes_of_two(|node| node.readiness = not_ready(900)), Some(Standing::Lasting));
        assert_eq!(nodes_of_two(|node| node.readiness = not_ready(5)), Some(Standing::Passing));
        assert_eq!(nodes_of_two(|node| node.readiness = Readiness::Ready { since: ago(5) }), Some(Standing::Passing));
        assert_eq!(nodes_of_two(|node| node.cordoned = true), Some(Standing::Lasting));
        assert_eq!(nodes_of_two(|node| node.deleting = true), Some(Standing::Lasting));
        assert_eq!(nodes_of_two(|node| node.labelled_system = false), Some(Standing::Passing));
        assert_eq!(nodes_of_two(|node| node.taints.push(taint("a=b:NoSchedule"))), Some(Standing::Lasting));
        assert_eq!(nodes_of_two(|node| node.taints.push(taint("a=b:PreferNoSchedule"))), None);
        let pressure = "node.kubernetes.io/memory-pressure:NoSchedule";
        assert_eq!(nodes_of_two(|node| node.taints.push(taint(pressure))), Some(Standing::Passing));
    }

    #[test]
    fn a_pool_that_can_not_be_relied_upon_does_not_remain() {
        let busy = |name: &str| ProvisioningState::Busy(name.to_owned());
        let failed = |code: &str| Some(PoolFailure { code: code.to_owned(), message: "x".into() });
        let cases: Vec<(&str, Edit, Option<Standing>)> = vec![
            ("scaling", Box::new(move |p| p.state = busy("Scaling")), None),
            ("updating", Box::new(move |p| p.state = busy("Updating")), Some(Standing::Passing)),
            ("deleting", Box::new(move |p| p.state = busy("Deleting")), Some(Standing::Lasting)),
            ("stopping", Box::new(move |p| p.state = busy("stopping")), Some(Standing::Lasting)),
            ("failed", Box::new(|p| p.state = ProvisioningState::Failed), None),
            ("stopped", Box::new(|p| p.power = Power::NotRunning("Stopped".into())), Some(Standing::Lasting)),
            ("windows", Box::new(|p| p.os = Os::Other("Windows".into())), Some(Standing::Lasting)),
            ("another type", Box::new(|p| p.kind = PoolKind::Other("VirtualMachines".into())), Some(Standing::Lasting)),
            ("user pool", Box::new(|p| p.mode = Mode::User), Some(Standing::Lasting)),
            ("half upgraded", Box::new(|p| p.requested_version = Some("1.34".into())), Some(Standing::Lasting)),
            (
                "upgrading",
                Box::new(move |p| {
                    p.requested_version = Some("1.34".into());
                    p.state = busy("Upgrading");
                    p.max_unavailable = Some("100%".into());
                }),
                Some(Standing::Passing),
            ),
            (
                "upgrade failed",
                Box::new(move |p| (p.state, p.failure) = (ProvisioningState::Failed, failed("UpgradeFailed"))),
                Some(Standing::Lasting),
            ),
            (
                "removal aborted",
                Box::new(move |p| (p.state, p.failure) = (ProvisioningState::Canceled, failed("PodDrainFailure"))),
                Some(Standing::Lasting),
            ),
            ("old failure", Box::new(move |p| p.failure = failed("PodDrainFailure")), None),
            ("tainted", Box::new(|p| p.taints = vec![taint("a=b:NoSchedule")]), Some(Standing::Lasting)),
            ("empty", Box::new(|p| p.count = 0), Some(Standing::Lasting)),
        ];
        for (case, edit_pool, expected) in cases {
            assert_eq!(standing(|snapshot| edit_pool(pool_mut(snapshot, "two"))), expected, "{case}");
        }
    }

    #[test]
    fn writes_in_flight_count_at_their_worst() {
        let in_flight = |step: crate::Step| standing(move |s| s.in_flight = in_flight([step.clone()]));
        assert_eq!(in_flight(put_label("two", "a")), None);
        assert_eq!(in_flight(demote("two")), Some(Standing::Lasting));
        assert_eq!(in_flight(put_taints("two", &["a=b:NoSchedule"])), Some(Standing::Lasting));
        let promoted = |seen: Mode| {
            standing(move |s| {
                pool_mut(s, "two").mode = seen.clone();
                s.in_flight = crate::testing::in_flight([promote("two")]);
            })
        };
        assert_eq!(promoted(Mode::User), Some(Standing::Passing));
        assert_eq!(promoted(Mode::System), Some(Standing::Passing), "the promotion may yet fail");
    }

    #[test]
    fn an_update_that_is_ours_leaves_the_nodes_alone() {
        let updating = |step: Option<crate::Step>| {
            standing(move |s| {
                pool_mut(s, "two").state = ProvisioningState::Busy("Updating".into());
                s.in_flight = in_flight(step.clone());
            })
        };
        assert_eq!(updating(None), Some(Standing::Passing));
        assert_eq!(updating(Some(put_label("two", "a"))), None);
        let failed_before = standing(|s| {
            pool_mut(s, "two").state = ProvisioningState::Failed;
            nodes_mut(s, "two").take(1).for_each(|node| node.kubelet_version = "v1.32.0".into());
            s.in_flight = in_flight([put_label("two", "a")]);
        });
        assert_eq!(failed_before, Some(Standing::Lasting), "our write goes on with the upgrade");
        for (operation, step) in [("Updating", put_label("two", "a")), ("Scaling", scale("two", 3, 4))] {
            let goes_on = standing(|s| {
                pool_mut(s, "two").state = ProvisioningState::Busy(operation.into());
                nodes_mut(s, "two").take(1).for_each(|node| node.kubelet_version = "v1.32.0".into());
                s.in_flight = in_flight([step.clone()]);
            });
            assert_eq!(goes_on, Some(Standing::Passing), "{operation} may be the upgrade that goes on");
        }
    }

    #[test]
    fn nodes_of_the_pool_itself_that_are_unusable_for_now_make_no_difference() {
        let both = |snapshot: &mut Snapshot| {
            nodes_mut(snapshot, "two").for_each(|node| node.cordoned = true);
            nodes_mut(snapshot, "one").for_each(|node| node.cordoned = true);
        };
        assert_eq!(standing(both), Some(Standing::Lasting));
    }

    #[test]
    fn what_reduces_nothing_passes_in_a_cluster_without_a_healthy_system_pool() {
        let mut snapshot = governed(vec![pool("one", Mode::System, 1)], "one");
        nodes_mut(&mut snapshot, "one").for_each(|node| node.cordoned = true);
        let addons = put_taints("one", &["CriticalAddonsOnly=true:NoSchedule"]);
        for step in [put_label("one", "a"), addons, crate::testing::scale("one", 1, 2)] {
            assert_eq!(rules(&snapshot, &step), [], "{step}");
        }
    }

    #[test]
    fn a_write_that_rolls_the_only_pool_must_leave_a_node() {
        let rolling = |unavailable: &str| {
            let mut snapshot = governed(vec![pool("one", Mode::System, 3)], "one");
            pool_mut(&mut snapshot, "one").requested_version = Some("1.34".into());
            pool_mut(&mut snapshot, "one").max_unavailable = Some(unavailable.into());
            broken(&snapshot, &put_label("one", "a"), Rule::LastHealthySystemPool).is_some()
        };
        assert!(!rolling("0") && !rolling("1") && !rolling("2"));
        assert!(rolling("3") && rolling("100%") && rolling("many"));
        let mut snapshot = governed(vec![pool("one", Mode::System, 3)], "one");
        let one = pool_mut(&mut snapshot, "one");
        (one.state, one.max_unavailable) = (ProvisioningState::Failed, Some("100%".into()));
        assert_eq!(rules(&snapshot, &put_label("one", "a")), []);
        let failure = PoolFailure { code: "UpgradeFailed".into(), message: "x".into() };
        pool_mut(&mut snapshot, "one").failure = Some(failure);
        assert!(broken(&snapshot, &put_label("one", "a"), Rule::LastHealthySystemPool).is_some());
    }

    #[test]
    fn the_autoscaler_of_another_pool_may_take_the_node_that_would_remain() {
        let beside = |cordoned: usize, bounds: Option<(u32, u32)>| {
            standing(move |snapshot| {
                nodes_mut(snapshot, "two").take(cordoned).for_each(|node| node.cordoned = true);
                pool_mut(snapshot, "two").autoscaling = bounds.map(|(min, max)| crate::Autoscaling { min, max });
            })
        };
        for (cordoned, bounds, expected) in [
            (2, None, None),
            (2, Some((3, 5)), None),
            (2, Some((2, 5)), Some(Standing::Lasting)),
            (1, Some((2, 5)), None),
            (1, Some((1, 5)), Some(Standing::Lasting)),
            (0, Some((1, 5)), None),
            (0, Some((0, 5)), Some(Standing::Lasting)),
        ] {
            assert_eq!(beside(cordoned, bounds), expected, "{cordoned} {bounds:?}");
        }
        let may_come_back = standing(|snapshot| {
            let not_ready = Readiness::NotReady { since: ago(5) };
            nodes_mut(snapshot, "two").take(2).for_each(|node| node.readiness = not_ready);
            pool_mut(snapshot, "two").autoscaling = Some(crate::Autoscaling { min: 2, max: 5 });
        });
        assert_eq!(may_come_back, Some(Standing::Passing));
    }

    #[test]
    fn the_finding_says_why_the_other_pools_do_not_count() {
        let alone =
            broken(&governed(vec![pool("one", Mode::System, 3)], "one"), &demote("one"), Rule::LastHealthySystemPool);
        assert_eq!(alone.unwrap().finding, "no healthy system pool would remain: there is no other system pool");
        let cordoned = found(|s| nodes_mut(s, "two").for_each(|node| node.cordoned = true)).unwrap();
        assert_eq!(
            cordoned.finding,
            "no healthy system pool would remain: system pool two has 0 usable of 3 nodes \
             (aks-two-12345678-vmss000000 is cordoned, aks-two-12345678-vmss000001 is cordoned, \
             aks-two-12345678-vmss000002 is cordoned)"
        );
        assert!(cordoned.remedy.contains("promote another pool first"));
        let half = found(|s| pool_mut(s, "two").requested_version = Some("1.34".into())).unwrap();
        assert!(half.finding.ends_with("system pool two is Succeeded, half upgraded and can't be relied upon"));
        let stopped = found(|s| pool_mut(s, "two").power = Power::NotRunning("Stopped".into())).unwrap();
        assert!(stopped.finding.ends_with("system pool two is not running"));
        let windows = found(|s| pool_mut(s, "two").os = Os::Other("Windows".into())).unwrap();
        assert!(windows.finding.ends_with("system pool two is not a Linux scale set"));
    }
}
