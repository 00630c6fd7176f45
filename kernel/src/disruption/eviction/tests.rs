use super::*;
use crate::placement::{Selector, Test};
use crate::snapshot::BudgetStatus;
use crate::testing::{budget, node, pod, with_labels};

/// A running, Ready pod with the label `app=dns`.
fn dns() -> Pod {
    with_labels(pod("dns-1", &node("apps", 0)), &[("app", "dns")])
}

fn unready() -> Pod {
    Pod { ready: false, ..dns() }
}

fn counted(healthy: i32, desired: i32, allowed: i32) -> Budget {
    let mut budget = budget("dns", "app", "dns", 0);
    budget.status = BudgetStatus { healthy, desired, allowed, ..budget.status };
    budget
}

fn outdated(budget: Budget) -> Budget {
    Budget { generation: budget.generation + 1, ..budget }
}

fn always(budget: Budget) -> Budget {
    Budget { unhealthy: UnhealthyPods::AlwaysAllow, ..budget }
}

fn verdict(pod: &Pod, budgets: &[Budget]) -> String {
    match eviction(pod, budgets) {
        Eviction::Evictable => "evictable".to_owned(),
        Eviction::Blocked { budget, why } => format!("blocked: {budget} {why}"),
        Eviction::Unclear { budget, why } => format!("unclear: {budget} {why}"),
    }
}

#[test]
fn a_healthy_pod_goes_while_its_budget_allows_one() {
    let none = "blocked: kube-system/dns allows no disruption: 2 healthy pods, 2 are needed";
    assert_eq!(verdict(&dns(), &[]), "evictable");
    assert_eq!(verdict(&dns(), &[counted(3, 2, 1)]), "evictable");
    assert_eq!(verdict(&dns(), &[counted(2, 2, 0)]), none);
    assert_eq!(verdict(&dns(), &[always(counted(2, 2, 0))]), none);
}

#[test]
fn a_budget_guards_what_it_selects_in_its_own_namespace() {
    let blocked = |selector: Option<Selector>, namespace: &str| {
        let budget = Budget { selector, namespace: namespace.into(), ..counted(2, 2, 0) };
        eviction(&dns(), &[budget]) != Eviction::Evictable
    };
    let key = |test: Test| Some(Selector::everything().and("app", test));
    for (selector, blocks) in [
        (Some(Selector::Nothing), false),
        (Some(Selector::everything()), true),
        (key(Test::In(vec!["web".into(), "dns".into()])), true),
        (key(Test::In(vec!["web".into()])), false),
        (key(Test::NotIn(vec!["dns".into()])), false),
        (Some(Selector::everything().and("tier", Test::NotIn(vec!["x".into()]))), true),
        (key(Test::Exists), true),
        (key(Test::DoesNotExist), false),
        (key(Test::Exists).map(|selector| selector.and("tier", Test::Exists)), false),
    ] {
        assert_eq!(blocked(selector.clone(), "kube-system"), blocks, "{selector:?}");
        assert!(!blocked(selector, "other"));
    }
}

#[test]
fn a_selector_that_is_not_understood_may_select_any_pod_of_its_namespace() {
    let strange = |name: &str| Budget { selector: None, name: name.into(), ..counted(9, 1, 8) };
    let says = "unclear: kube-system/a has a selector that can't be understood, so that it may select any pod";
    assert_eq!(verdict(&dns(), &[strange("b"), strange("a")]), says);
    assert_eq!(verdict(&dns(), &[strange("b"), strange("a"), counted(3, 2, 1)]), says);
    assert_eq!(verdict(&dns(), &[Budget { namespace: "other".into(), ..strange("a") }]), "evictable");
    assert_eq!(verdict(&Pod { deleting: true, ..dns() }, &[strange("a")]), "evictable");
}

#[test]
fn several_budgets_on_a_pod_let_nothing_go() {
    let (a, b) = (Budget { name: "a".into(), ..counted(9, 1, 8) }, Budget { name: "b".into(), ..counted(9, 1, 8) });
    let says = "blocked: kube-system/a, kube-system/b are 2 on one pod, which no eviction gets past";
    assert_eq!(verdict(&dns(), &[b.clone(), a.clone()]), says);
    assert_eq!(verdict(&unready(), &[always(b.clone()), always(a.clone())]), says);
    assert_eq!(verdict(&Pod { phase: Phase::Pending, ..dns() }, &[a, b]), "evictable");
}

#[test]
fn pods_that_nobody_counts_on_go_whatever_the_budget_says() {
    let spent = [outdated(counted(0, 2, 0))];
    for (phase, deleting, goes) in [
        (Phase::Running, false, false),
        (Phase::Unknown, false, false),
        (Phase::Running, true, true),
        (Phase::Pending, false, true),
        (Phase::Finished, false, true),
    ] {
        for ready in [true, false] {
            let pod = Pod { phase, deleting, ready, ..dns() };
            assert_eq!(eviction(&pod, &spent) == Eviction::Evictable, goes, "{phase:?} {deleting} {ready}");
        }
    }
}

#[test]
fn pods_that_are_not_ready_go_as_the_policy_says() {
    for (budget, goes) in [
        (counted(2, 2, 0), true),
        (counted(3, 2, 1), true),
        (counted(1, 2, 0), false),
        (counted(1, 2, 1), true),
        (counted(0, 0, 0), false),
        (always(counted(1, 2, 0)), true),
        (always(counted(0, 0, 0)), true),
        (outdated(counted(2, 2, 0)), true),
        (outdated(counted(1, 2, 1)), false),
        (outdated(always(counted(1, 2, 0))), true),
    ] {
        assert_eq!(eviction(&unready(), std::slice::from_ref(&budget)) == Eviction::Evictable, goes, "{budget:?}");
    }
}

#[test]
fn a_status_that_says_nothing_lets_nothing_go() {
    let unconfirmed = |number: usize| {
        let mut budget = counted(3, 2, 1);
        budget.status.unconfirmed = number;
        budget
    };
    let old = "unclear: kube-system/dns has no status yet, or one of an older version of it";
    assert_eq!(verdict(&dns(), &[outdated(counted(3, 2, 1))]), old);
    assert_eq!(verdict(&dns(), &[outdated(counted(3, 2, -1))]), old, "what is oldest is said first");
    assert_eq!(
        verdict(&dns(), &[counted(3, 2, -1)]),
        "unclear: kube-system/dns allows a negative number of disruptions"
    );
    assert_eq!(verdict(&dns(), &[unconfirmed(2000)]), "evictable");
    assert_eq!(verdict(&dns(), &[unconfirmed(2001)]), "unclear: kube-system/dns waits for 2001 evicted pods to go");
    let newer = Budget { generation: 0, ..counted(3, 2, 1) };
    assert_eq!(verdict(&dns(), &[newer]), "evictable");
}

#[test]
fn without_asking_an_outdated_count_excuses_no_pod_that_is_not_ready() {
    let claim = |budget: &Budget| Guards::of(&unready(), std::slice::from_ref(budget)).claim(&unready()) == Claim::Free;
    assert!(claim(&counted(2, 2, 0)) && claim(&always(counted(1, 2, 0))));
    assert!(claim(&outdated(always(counted(1, 2, 0)))), "that does not rest on the count");
    assert!(!claim(&outdated(counted(2, 2, 0))) && !claim(&counted(1, 2, 0)));
}

#[test]
fn pods_that_share_their_labels_share_the_search_for_their_budgets() {
    let budgets =
        [counted(2, 2, 1), Budget { namespace: "other".into(), name: "elsewhere".into(), ..counted(2, 2, 1) }];
    let first = dns();
    let (twin, away) = (Pod { ready: false, ..first.clone() }, Pod { namespace: "other".into(), ..first.clone() });
    let mut guarding = Guarding::new(&budgets);
    assert!(matches!(guarding.claim(&first), Claim::One(budget) if budget.name == "dns"));
    assert_eq!(guarding.claim(&twin), Claim::Free, "what differs between pods is still asked");
    assert!(matches!(guarding.claim(&away), Claim::One(budget) if budget.name == "elsewhere"));
}
