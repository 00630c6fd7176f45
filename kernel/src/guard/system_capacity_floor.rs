//! `SystemCapacityFloor`: enough usable system nodes must remain. Never counts nodes that may leave.

use super::rule::{Broken, Rule, Standing};
use crate::capacity::{Outlook, after, before, explain_others};
use crate::facts::Facts;
use crate::step::Step;

/// Refuses a step that reduces system capacity and leaves fewer usable system nodes than the floor, during it or
/// after it, or that leaves them to the minimums of autoscaled pools that are below the floor.
///
/// In a cluster that is below already, a step that reduces nothing passes.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let (finding, remedy) = finding(facts, step, Outlook::Worst)?;
    let lasts = self::finding(facts, step, Outlook::Hopeful).is_some();
    Some(Broken {
        rule: Rule::SystemCapacityFloor,
        standing: if lasts { Standing::Lasting } else { Standing::Passing },
        finding,
        remedy: remedy.to_owned(),
        pods: Vec::new(),
    })
}

/// What would be below the floor, in words, and what would help.
fn finding(facts: &Facts<'_>, step: &Step, outlook: Outlook) -> Option<(String, &'static str)> {
    let floor = facts.settings.min_ready_system_nodes;
    let after = if facts.lowers(step) { after(facts, step, outlook) } else { return None };
    if after.kept >= floor {
        return None;
    }
    let others = explain_others(facts, &step.pool);
    if after.usable < floor {
        let before = before(facts, step, outlook).usable;
        let finding =
            format!("{} of {before} usable system nodes would remain, the floor is {floor}; {others}", after.usable);
        return Some((finding, "add nodes to a system pool first, or repair the system nodes that are not usable"));
    }
    let finding = format!(
        "autoscalers may leave {} of the {} usable system nodes that would remain, the floor is {floor}; {others}",
        after.kept, after.usable
    );
    Some((finding, "raise the autoscaler's minimum of a system pool that stays, or add nodes to one that has none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Readiness;
    use crate::testing::{
        ago, autoscale, broken, demote, edit, governed, in_flight, nodes_mut, pool, pool_mut, put_label, put_taints,
        rules, scale, upgrade_to,
    };
    use crate::{Autoscaling, Mode, ProvisioningState, Settings, Snapshot, Step, guard};

    /// A system pool `one` and another, `two`, of these sizes.
    fn cluster(one: u32, two: u32) -> Snapshot {
        governed(vec![pool("one", Mode::System, one), pool("two", Mode::System, two)], "one")
    }

    fn standing(snapshot: &Snapshot, step: &Step) -> Option<Standing> {
        broken(snapshot, step, Rule::SystemCapacityFloor).map(|broken| broken.standing)
    }

    #[test]
    fn the_floor_holds_over_all_system_pools_together() {
        for (one, two, to, passes) in
            [(3, 0, 2, true), (3, 0, 1, false), (2, 0, 1, false), (3, 1, 1, true), (2, 1, 1, true), (5, 2, 1, true)]
        {
            let found = standing(&cluster(one, two), &scale("one", one, to));
            assert_eq!(found, (!passes).then_some(Standing::Lasting), "{one} and {two} to {to}");
        }
        assert_eq!(rules(&cluster(3, 2), &demote("one")), []);
        assert_eq!(rules(&cluster(3, 1), &demote("one")), [Rule::SystemCapacityFloor]);
    }

    #[test]
    fn the_floor_is_a_setting() {
        let snapshot = cluster(3, 1);
        for (floor, passes) in [(0, true), (1, true), (2, false)] {
            let settings = Settings { min_ready_system_nodes: floor, ..Settings::default() };
            assert_eq!(guard(demote("one"), &snapshot, &settings).is_ok(), passes, "{floor}");
        }
    }

    #[test]
    fn aks_may_choose_the_usable_nodes_to_go() {
        let mut snapshot = cluster(4, 0);
        nodes_mut(&mut snapshot, "one").take(1).for_each(|node| node.cordoned = true);
        assert_eq!(standing(&snapshot, &scale("one", 4, 3)), None);
        let found = broken(&snapshot, &scale("one", 4, 2), Rule::SystemCapacityFloor).unwrap();
        assert_eq!(found.standing, Standing::Lasting);
        assert_eq!(
            found.finding,
            "1 of 3 usable system nodes would remain, the floor is 2; system pool two has 0 usable of 0 nodes"
        );
        edit(&mut snapshot.nodes).retain(|node| !node.cordoned);
        assert!(standing(&snapshot, &scale("one", 4, 2)).is_some(), "the machine that has not joined may stay");
        assert_eq!(standing(&snapshot, &scale("one", 4, 3)), None);
    }

    #[test]
    fn a_machine_that_has_not_joined_may_stay_when_arm_shows_the_new_count_already() {
        let mut snapshot = cluster(3, 2);
        pool_mut(&mut snapshot, "two").state = ProvisioningState::Busy("Scaling".into());
        assert_eq!(standing(&snapshot, &demote("one")), None);
        snapshot.in_flight = in_flight([scale("two", 3, 2)]);
        assert_eq!(standing(&snapshot, &demote("one")), Some(Standing::Passing));
        snapshot.in_flight = in_flight([scale("three", 3, 2)]);
        assert_eq!(standing(&snapshot, &demote("one")), None);
    }

    #[test]
    fn nodes_that_were_beyond_the_count_before_it_was_raised_may_vanish_still() {
        let mut snapshot = cluster(3, 2);
        pool_mut(&mut snapshot, "two").state = ProvisioningState::Busy("Scaling".into());
        for (from, expected) in [(1, Some(Standing::Passing)), (2, None)] {
            snapshot.in_flight = in_flight([scale("two", from, 2)]);
            assert_eq!(standing(&snapshot, &demote("one")), expected, "{from}");
        }
        pool_mut(&mut snapshot, "two").count = 3;
        snapshot.in_flight = in_flight([scale("two", 2, 3)]);
        assert_eq!(standing(&snapshot, &demote("one")), None, "the machine that comes takes no other's place");
    }

    #[test]
    fn nodes_beyond_the_count_vanish() {
        let mut snapshot = cluster(3, 2);
        pool_mut(&mut snapshot, "two").count = 1;
        assert_eq!(standing(&snapshot, &demote("one")), Some(Standing::Lasting));
        let mut snapshot = cluster(3, 3);
        pool_mut(&mut snapshot, "two").count = 2;
        nodes_mut(&mut snapshot, "two").take(1).for_each(|node| node.cordoned = true);
        assert_eq!(standing(&snapshot, &demote("one")), Some(Standing::Passing));
    }

    #[test]
    fn what_is_in_progress_elsewhere_makes_the_refusal_passing() {
        let mut snapshot = cluster(3, 2);
        nodes_mut(&mut snapshot, "two").take(1).for_each(|node| node.readiness = Readiness::NotReady { since: ago(9) });
        assert_eq!(standing(&snapshot, &demote("one")), Some(Standing::Passing));
        let mut scaling = cluster(3, 1);
        pool_mut(&mut scaling, "two").count = 3;
        assert_eq!(standing(&scaling, &demote("one")), Some(Standing::Lasting));
        pool_mut(&mut scaling, "two").state = ProvisioningState::Busy("Scaling".into());
        assert_eq!(standing(&scaling, &demote("one")), Some(Standing::Passing));
        let mut sent = cluster(3, 1);
        sent.in_flight = in_flight([scale("two", 1, 3)]);
        assert_eq!(standing(&sent, &demote("one")), Some(Standing::Passing));
        sent.in_flight = in_flight([scale("two", 3, 1)]);
        assert_eq!(standing(&sent, &demote("one")), Some(Standing::Lasting));
    }

    #[test]
    fn the_counts_must_guarantee_the_floor_too() {
        let mut snapshot = cluster(3, 3);
        pool_mut(&mut snapshot, "two").autoscaling = Some(Autoscaling { min: 1, max: 5 });
        let found = broken(&snapshot, &demote("one"), Rule::SystemCapacityFloor).unwrap();
        assert_eq!(
            found.finding,
            "autoscalers may leave 1 of the 3 usable system nodes that would remain, the floor is 2; system pool two has 3 \
             usable of 3 nodes, of which its autoscaler may leave 1"
        );
        assert!(found.standing == Standing::Lasting && found.remedy.starts_with("raise the autoscaler's minimum"));
        let mut just_enough = snapshot.clone();
        nodes_mut(&mut just_enough, "two").take(1).for_each(|node| node.cordoned = true);
        let found = broken(&just_enough, &demote("one"), Rule::SystemCapacityFloor).unwrap();
        assert!(found.finding.starts_with("autoscalers may leave 0 of the 2 usable system nodes"), "{}", found.finding);
        pool_mut(&mut snapshot, "two").autoscaling = Some(Autoscaling { min: 2, max: 5 });
        assert_eq!(standing(&snapshot, &demote("one")), None);
        let mut rolling = cluster(3, 0);
        let one = pool_mut(&mut rolling, "one");
        one.autoscaling = Some(Autoscaling { min: 1, max: 5 });
        (one.requested_version, one.max_unavailable) = (Some("1.34".into()), Some("1".into()));
        assert_eq!(standing(&rolling, &put_label("one", "a")), None, "the pool itself counts by its nodes");
    }

    #[test]
    fn pools_that_can_not_be_relied_upon_hold_nothing_beside_an_autoscaled_one() {
        let found = |change: fn(&mut Snapshot)| {
            let mut snapshot = cluster(3, 3);
            let third = governed(vec![pool("three", Mode::System, 3)], "three");
            edit(&mut snapshot.cluster).pools.extend(third.cluster.value().unwrap().pools.clone());
            let joined =
                third.nodes.value().unwrap().iter().filter(|node| node.pool.as_deref() == Some("three")).cloned();
            edit(&mut snapshot.nodes).extend(joined);
            pool_mut(&mut snapshot, "two").autoscaling = Some(Autoscaling { min: 1, max: 5 });
            change(&mut snapshot);
            standing(&snapshot, &demote("one"))
        };
        assert_eq!(found(|_| ()), None);
        let cases: [fn(&mut Snapshot); 4] = [
            |s| nodes_mut(s, "three").for_each(|node| node.cordoned = true),
            |s| pool_mut(s, "three").taints = vec!["a=b:NoSchedule".parse().unwrap()],
            |s| pool_mut(s, "three").requested_version = Some("1.34".into()),
            |s| pool_mut(s, "three").mode = Mode::User,
        ];
        for (index, case) in cases.into_iter().enumerate() {
            assert_eq!(found(case), Some(Standing::Lasting), "{index}");
        }
        assert_eq!(
            found(|s| pool_mut(s, "three").state = ProvisioningState::Busy("Updating".into())),
            Some(Standing::Passing)
        );
    }

    #[test]
    fn the_autoscaler_may_leave_no_less_than_the_floor() {
        let alone = cluster(3, 0);
        assert_eq!(standing(&alone, &autoscale("one", None, Some((1, 5)))), Some(Standing::Lasting));
        assert_eq!(standing(&alone, &autoscale("one", None, Some((2, 5)))), None);
        let mut sent = cluster(3, 3);
        assert_eq!(standing(&sent, &autoscale("one", None, Some((1, 5)))), None, "the other pool is enough");
        sent.in_flight = in_flight([autoscale("one", None, Some((1, 5)))]);
        assert_eq!(standing(&sent, &scale("two", 3, 1)), None);
        assert_eq!(standing(&sent, &demote("two")), Some(Standing::Lasting));
    }

    #[test]
    fn below_the_floor_what_reduces_nothing_passes() {
        let snapshot = cluster(1, 0);
        let addons = put_taints("one", &["CriticalAddonsOnly=true:NoSchedule"]);
        for step in [put_label("one", "a"), addons, scale("one", 1, 2)] {
            assert_eq!(rules(&snapshot, &step), [], "{step}");
        }
        assert!(standing(&snapshot, &demote("one")).is_some());
    }

    #[test]
    fn a_write_that_rolls_must_leave_the_floor_meanwhile() {
        let rolling = |count, unavailable: &str| {
            let mut snapshot = cluster(count, 0);
            pool_mut(&mut snapshot, "one").requested_version = Some("1.34".into());
            pool_mut(&mut snapshot, "one").max_unavailable = Some(unavailable.into());
            standing(&snapshot, &put_label("one", "a")).is_some()
        };
        assert!(!rolling(3, "1") && !rolling(2, "0") && rolling(2, "1") && !rolling(1, "0"));
        let mut whole = cluster(2, 0);
        assert_eq!(standing(&whole, &upgrade_to("one", "1.34.2")), None);
        pool_mut(&mut whole, "one").max_unavailable = Some("1".into());
        assert!(standing(&whole, &upgrade_to("one", "1.34.2")).is_some());
        let mut single = cluster(1, 0);
        assert_eq!(standing(&single, &upgrade_to("one", "1.34.2")), None, "no node is ever missing");
        pool_mut(&mut single, "one").max_unavailable = Some("1".into());
        assert!(standing(&single, &upgrade_to("one", "1.34.2")).is_some());
    }

    #[test]
    fn only_a_half_upgraded_pool_rolls() {
        let mut snapshot = cluster(3, 0);
        pool_mut(&mut snapshot, "one").max_unavailable = Some("1".into());
        assert_eq!(standing(&snapshot, &scale("one", 3, 2)), None);
        pool_mut(&mut snapshot, "one").requested_version = Some("1.34".into());
        let found = broken(&snapshot, &scale("one", 3, 2), Rule::SystemCapacityFloor).unwrap();
        assert!(found.finding.starts_with("1 of 3 usable system nodes would remain"), "{}", found.finding);
    }

    #[test]
    fn a_moment_in_which_the_pools_own_nodes_are_not_ready_does_not_let_it_go() {
        let mut snapshot = cluster(3, 1);
        nodes_mut(&mut snapshot, "one").for_each(|node| node.readiness = Readiness::NotReady { since: ago(1) });
        assert!(standing(&snapshot, &demote("one")).is_some());
    }
}
