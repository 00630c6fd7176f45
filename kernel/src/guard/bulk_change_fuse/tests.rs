//! Both sides of the fuse.

use super::*;
use crate::bulk::BulkChange;
use crate::testing::{NOW, ago, broken, edit, governed, in_flight, intent, pool, pool_mut, rules, scale, start, stop};
use crate::{
    Change, Deletion, Known, Mode, Power, ProvisioningState, Settings, Snapshot, Verdict, decide, guard, plan,
};

/// A system pool and six user pools; `p` governs `a`, on which nothing depends.
fn cluster() -> Snapshot {
    let user = ["a", "b", "c", "d", "e", "f"].map(|name| pool(name, Mode::User, 3));
    let pools: Vec<_> = [pool("sys", Mode::System, 3)].into_iter().chain(user).collect();
    let mut snapshot = governed(pools, "a");
    for name in ["a", "b", "c", "d", "e", "f"] {
        snapshot.dependents.insert(name.to_owned(), Known::seen(NOW, vec![]));
    }
    snapshot
}

fn recorded(pool: &str, seconds_ago: i64) -> BulkChange {
    let told = format!("t-{seconds_ago}");
    BulkChange { pool: pool.into(), policy: pool.into(), kind: BulkKind::Deleted, at: ago(seconds_ago), told }
}

fn with(changes: &[(&str, i64)]) -> Snapshot {
    let changes = changes.iter().map(|(pool, seconds)| recorded(pool, *seconds)).collect();
    Snapshot { bulk: Known::seen(NOW, changes), ..cluster() }
}

fn blown(snapshot: &Snapshot, step: &Step) -> bool {
    broken(snapshot, step, Rule::BulkChangeFuse).is_some()
}

#[test]
fn so_many_pools_may_go_within_the_window_and_no_more() {
    for (changes, refused) in [
        (&[][..], false),
        (&[("b", 10), ("c", 20)], false),
        (&[("b", 10), ("c", 20), ("d", 30)], true),
        (&[("b", 10), ("c", 20), ("d", 3599)], true),
        (&[("b", 10), ("c", 20), ("d", 3600)], false),
        (&[("b", 10), ("b", 20), ("b", 30), ("c", 1)], false),
        (&[("b", -10), ("c", 20), ("d", 30)], true),
        (&[("a", 10), ("b", 10), ("c", 20), ("d", 30)], false),
        (&[("a", 4000), ("b", 10), ("c", 20), ("d", 30)], true),
    ] {
        let snapshot = with(changes);
        for step in [stop("a"), scale("a", 3, 0)] {
            assert_eq!(blown(&snapshot, &step), refused, "{step} {changes:?}");
        }
        for step in [scale("a", 3, 1), scale("a", 3, 5), crate::testing::put_label("a", "x")] {
            assert_eq!(rules(&snapshot, &step), [], "{step}");
        }
    }
    assert!(rules(&with(&[]), &stop("a")).is_empty());
}

#[test]
fn deletions_count_and_are_counted() {
    let delete = || Step { change: Change::Delete, ..stop("a") };
    for (changes, refused) in [(&[("b", 10), ("c", 20)][..], false), (&[("b", 10), ("c", 20), ("d", 30)], true)] {
        let mut snapshot = with(changes);
        edit(&mut snapshot.intents).first_mut().unwrap().deletion = Some(Deletion::Delete);
        assert_eq!(rules(&snapshot, &delete()), Vec::from_iter(refused.then_some(Rule::BulkChangeFuse)));
    }
}

#[test]
fn a_start_adds_and_is_never_counted() {
    let mut snapshot = with(&[("b", 10), ("c", 20), ("d", 30)]);
    let apps = pool_mut(&mut snapshot, "a");
    (apps.power, apps.count) = (Power::NotRunning("Stopped".into()), 0);
    assert_eq!(rules(&snapshot, &start("a")), []);
    snapshot = with(&[("b", 10), ("c", 20)]);
    snapshot.in_flight = in_flight([start("d")]);
    assert!(!blown(&snapshot, &stop("a")));
}

#[test]
fn what_is_on_its_way_counts_once() {
    let mut snapshot = with(&[("b", 10), ("c", 20)]);
    snapshot.in_flight = in_flight([stop("c"), scale("e", 3, 2)]);
    assert!(!blown(&snapshot, &stop("a")), "c is recorded already");
    snapshot.in_flight = in_flight([stop("d")]);
    let found = broken(&snapshot, &stop("a"), Rule::BulkChangeFuse).unwrap();
    assert!(found.finding.ends_with("b (deleted at t-10), c (deleted at t-20), d (on its way)"), "{}", found.finding);
}

#[test]
fn a_refusal_names_pools_times_and_the_way_on() {
    let found = broken(&with(&[("d", 30), ("b", 10), ("c", 20)]), &stop("a"), Rule::BulkChangeFuse).unwrap();
    assert_eq!(found.standing, Standing::Lasting);
    assert_eq!(
        found.finding,
        "no more than 3 pools may be deleted, stopped or emptied within 60 minutes, and these were: b (deleted at t-10), c \
         (deleted at t-20), d (deleted at t-30)"
    );
    assert!(found.remedy.ends_with("kubectl annotate nodepoolpolicy p aks.nodepool.dev/allow-bulk-change=a"));
    assert_eq!(
        [Span::from_secs(90), Span::from_secs(60), Span::from_millis(1)].map(in_words),
        ["90 seconds", "1 minute", "0 seconds"]
    );
}

#[test]
fn a_person_lets_one_pass_and_what_is_not_known_lets_none() {
    let mut snapshot = with(&[("b", 10), ("c", 20), ("d", 30)]);
    edit(&mut snapshot.intents).first_mut().unwrap().may_exceed_fuse = true;
    assert_eq!(rules(&snapshot, &stop("a")), []);
    for known in [Known::unknown("no answer"), Known::seen(ago(301), vec![])] {
        let unread = Snapshot { bulk: known, ..cluster() };
        let found = broken(&unread, &stop("a"), Rule::BulkChangeFuse).unwrap();
        assert_eq!(found.standing, Standing::Passing);
        assert!(found.finding.starts_with("which pools were deleted, stopped or emptied lately is not known: "));
        assert_eq!(rules(&unread, &scale("a", 3, 4)), [], "nothing else rests on it");
    }
}

#[test]
fn the_number_and_the_window_are_settings() {
    let judged = |bulk_changes, seconds| {
        let settings = Settings { bulk_changes, bulk_window: Span::from_secs(seconds), ..Settings::default() };
        guard(stop("a"), &with(&[("b", 10), ("c", 20)]), &settings).is_ok()
    };
    assert_eq!([judged(1, 3600), judged(2, 3600), judged(3, 3600)], [false, false, true]);
    assert_eq!([judged(1, 10), judged(1, 11), judged(2, 20), judged(2, 21)], [true, false, true, false]);
}

#[test]
fn a_commit_that_stops_many_pools_gets_no_further_than_the_fuse() {
    let mut snapshot = cluster();
    edit(&mut snapshot.intents).clear();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let wish =
            crate::Intent { power: Some(crate::PowerWish::Stopped), may_lose_workloads: true, ..intent(name, name) };
        edit(&mut snapshot.intents).push(wish);
    }
    let verdicts = decide(&plan(&snapshot, &Settings::default()), &snapshot, &Settings::default());
    let approved: Vec<&str> = verdicts
        .iter()
        .filter(|verdict| matches!(verdict, Verdict::Approved(_)))
        .map(|verdict| verdict.step().pool.as_str())
        .collect();
    assert_eq!(approved, ["a", "b", "c"], "approved in this pass count");
    let fused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(refusal) if refusal.leading().is_some_and(|it| it.rule == Rule::BulkChangeFuse));
    assert_eq!(verdicts.iter().filter(|verdict| fused(verdict)).count(), 3);
    pool_mut(&mut snapshot, "a").state = ProvisioningState::Busy("Stopping".into());
}
