//! Both sides of break-glass.

use super::*;
use crate::bulk::{BulkChange, BulkKind};
use crate::testing::{NOW, ago, demote, edit, governed, pool, rules, stop};
use crate::{Known, Mode, Settings, Snapshot, guard};

fn word(rule: Rule) -> BreakGlass {
    BreakGlass { rule, until: NOW.after(Span::from_secs(600)), field: None }
}

/// A system pool, and a user pool that may not be stopped because of the fuse alone.
fn cluster(of: &str) -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 3)], of);
    snapshot.dependents.insert("apps".to_owned(), Known::seen(NOW, vec![]));
    let gone = |name: &str| {
        let (pool, policy, told) = (name.to_owned(), name.to_owned(), "t".to_owned());
        BulkChange { pool, policy, kind: BulkKind::Stopped, at: ago(60), told }
    };
    edit(&mut snapshot.bulk).extend(["b", "c", "d"].map(gone));
    snapshot
}

fn given(of: &str, word: BreakGlass) -> Snapshot {
    let mut snapshot = cluster(of);
    edit(&mut snapshot.intents).first_mut().unwrap().break_glass = Some(word);
    snapshot
}

#[test]
fn one_rule_lets_the_step_pass_and_that_is_told() {
    assert_eq!(rules(&cluster("apps"), &stop("apps")), [Rule::BulkChangeFuse]);
    let snapshot = given("apps", word(Rule::BulkChangeFuse));
    let approved = guard(stop("apps"), &snapshot, &Settings::default()).unwrap();
    let passed = approved.passed().unwrap();
    assert_eq!(passed.rule, Rule::BulkChangeFuse);
    assert!(passed.finding.contains("no more than 3 pools"), "{passed:?}");
    let harmless = crate::testing::put_label("apps", "x");
    assert_eq!(guard(harmless, &snapshot, &Settings::default()).unwrap().passed(), None, "there is nothing to pass");
}

#[test]
fn a_word_holds_until_it_ends_for_one_change_and_one_rule() {
    let fuse = || word(Rule::BulkChangeFuse);
    let seconds = |seconds| NOW.after(Span::from_secs(seconds));
    for (word, passes) in [
        (fuse(), true),
        (BreakGlass { until: NOW, ..fuse() }, false),
        (BreakGlass { until: NOW.after(Span::from_millis(1)), ..fuse() }, true),
        (BreakGlass { until: seconds(24 * 3600), ..fuse() }, true),
        (BreakGlass { until: seconds(24 * 3600 + 1), ..fuse() }, false),
        (BreakGlass { field: Some("powerState".to_owned()), ..fuse() }, true),
        (BreakGlass { field: Some("count".to_owned()), ..fuse() }, false),
        (self::word(Rule::WorkloadsDependOnPool), false),
        (self::word(Rule::StaleObservation), false),
    ] {
        let expected = if passes { vec![] } else { vec![Rule::BulkChangeFuse] };
        assert_eq!(rules(&given("apps", word.clone()), &stop("apps")), expected, "{word:?}");
    }
    let mut of_another = cluster("apps");
    let mut another = crate::testing::intent("another", "sys");
    another.break_glass = Some(fuse());
    edit(&mut of_another.intents).push(another);
    assert_eq!(rules(&of_another, &stop("apps")), [Rule::BulkChangeFuse], "it is another policy's word");
}

#[test]
fn of_several_broken_rules_the_others_stand() {
    let without = rules(&cluster("sys"), &demote("sys"));
    assert_eq!(without, [Rule::LastHealthySystemPool, Rule::SystemCapacityFloor]);
    assert_eq!(rules(&given("sys", word(Rule::SystemCapacityFloor)), &demote("sys")), [Rule::LastHealthySystemPool]);
}

#[test]
fn what_says_who_may_write_and_on_what_is_never_passed() {
    let mut paused = given("apps", word(Rule::Paused));
    paused.paused = Known::seen(NOW, true);
    edit(&mut paused.bulk).clear();
    assert_eq!(rules(&paused, &stop("apps")), [Rule::Paused]);
    let mut wrong = given("apps", word(Rule::WrongCluster));
    wrong.issuer = Known::seen(NOW, "https://another.example/".to_owned());
    edit(&mut wrong.bulk).clear();
    assert_eq!(rules(&wrong, &stop("apps")), [Rule::WrongCluster]);
    let never: Vec<&str> = Rule::ALL.iter().filter(|rule| !rule.may_be_passed()).map(|rule| rule.name()).collect();
    let expected = "WrongCluster StaleObservation ConflictingPolicy Paused Suspended ObserveOnly OperationInProgress \
                    ImmutableField SystemPoolMustRun";
    assert_eq!(never.join(" "), expected);
}

#[test]
fn what_is_read_for_the_step_is_read_first() {
    let broken =
        |rule, standing| Broken { rule, standing, finding: String::new(), remedy: String::new(), pods: vec![] };
    let upgrade = crate::testing::upgrade_to("apps", "1.34.2");
    for (step, rule, standing, known) in [
        (&stop("apps"), Rule::SystemPodsUnplaceable, Standing::Passing, false),
        (&stop("apps"), Rule::SystemPodsUnplaceable, Standing::Lasting, true),
        (&stop("apps"), Rule::DisruptionBudgetBlocks, Standing::Passing, true),
        (&upgrade, Rule::DisruptionBudgetBlocks, Standing::Passing, false),
        (&upgrade, Rule::VersionSkew, Standing::Passing, false),
        (&upgrade, Rule::VersionSkew, Standing::Lasting, true),
        (&upgrade, Rule::KubeSystemUnhealthy, Standing::Passing, true),
    ] {
        assert_eq!(is_known(step, &broken(rule, standing)), known, "{step} {rule}");
    }
}
