//! When a request for the latest node image is a step, where it stands among the others, and when it is answered.

use super::*;
use crate::image::ImageRequest;
use crate::snapshot::{Mode, PoolFailure, ProvisioningState};
use crate::testing::{LATEST_IMAGE, edit, governed, in_flight, nodes_mut, offer, pool, pool_mut, upgrade_image};
use crate::version::{Version, WantedVersion};
use crate::{Cause, PolicyPlan, Problem, Settings, Verdict, decide, plan};

/// A user pool, whose policy is asked for the latest image.
fn asked() -> Snapshot {
    let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("apps", Mode::User, 2)], "apps");
    edit(&mut snapshot.intents)[0].image = Some(ImageRequest::default());
    snapshot
}

fn planned(snapshot: &Snapshot) -> PolicyPlan {
    plan(snapshot, &Settings::default()).of("p").unwrap().clone()
}

fn steps(snapshot: &Snapshot) -> Vec<String> {
    planned(snapshot).steps.iter().map(|step| step.change.to_string()).collect()
}

const STEP: &str = "upgrade the node image from AKSUbuntu-2204gen2containerd-202601.07.0 to the latest";

#[test]
fn a_request_is_a_step_until_the_pool_has_the_latest_image() {
    let mut snapshot = asked();
    assert_eq!(steps(&snapshot), [STEP], "what is the latest is read for it");
    assert!(!planned(&snapshot).image_answered);
    offer(&mut snapshot, "apps", &[]);
    assert_eq!(steps(&snapshot), [STEP]);
    pool_mut(&mut snapshot, "apps").node_image = Some(LATEST_IMAGE.into());
    assert_eq!((steps(&snapshot), planned(&snapshot).image_answered), (vec![], true));
    snapshot.in_flight = in_flight([upgrade_image("apps")]);
    assert!(!planned(&snapshot).image_answered, "it is answered when the write has ended");
    edit(&mut snapshot.intents)[0].image = None;
    assert_eq!((steps(&snapshot), planned(&snapshot).image_answered), (vec![], false), "nobody asks");
}

#[test]
fn an_image_that_arm_does_not_tell_is_told_and_nothing_is_done() {
    let mut snapshot = asked();
    pool_mut(&mut snapshot, "apps").node_image = None;
    let plan = planned(&snapshot);
    let reason = "it does not tell which node image pool apps has".to_owned();
    assert_eq!((plan.steps, plan.problems), (vec![], vec![Problem::NotObserved { reason }]));
}

#[test]
fn it_comes_after_all_else_and_after_an_upgrade_of_the_version() {
    let mut snapshot = asked();
    offer(&mut snapshot, "apps", &["1.34.2"]);
    let intent = &mut edit(&mut snapshot.intents)[0];
    intent.version = Version::parse("1.34").map(WantedVersion::Exactly);
    intent.labels = Some([("tier".to_owned(), "web".to_owned())].into());
    let all = ["set the labels tier=web", "upgrade from Kubernetes 1.33.5 to 1.34.2", STEP];
    assert_eq!(steps(&snapshot), all);
    let reason = |snapshot: &Snapshot, nth: usize| {
        let verdicts = decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
        match verdicts.iter().find(|verdict| verdict.step().change.to_string() == all[nth]).unwrap() {
            Verdict::Approved(_) => "approved".to_owned(),
            Verdict::Waits { reason, .. } => reason.clone(),
            Verdict::Refused(refusal) => refusal.leading().unwrap().rule.to_string(),
        }
    };
    assert_eq!(reason(&snapshot, 2), "the step before it, pool apps: set the labels tier=web");
    edit(&mut snapshot.intents)[0].labels = None;
    assert_eq!(reason(&snapshot, 2), "the step before it, pool apps: upgrade from Kubernetes 1.33.5 to 1.34.2");
    // A version that waits for its control plane does not keep the image waiting.
    edit(&mut snapshot.cluster).version = Version::parse("1.33.9");
    let waiting = plan(&snapshot, &Settings::default());
    let verdicts = decide(&waiting, &snapshot, &Settings::default());
    assert!(matches!(&verdicts[..], [Verdict::Refused(_), Verdict::Approved(_)]), "{verdicts:?}");
}

#[test]
fn a_stopped_upgrade_of_the_version_is_finished_first_and_one_of_the_image_by_asking_again() {
    let mut snapshot = asked();
    offer(&mut snapshot, "apps", &["1.34.2"]);
    pool_mut(&mut snapshot, "apps").requested_version = Some("1.34.2".into());
    let verdicts = |snapshot: &Snapshot| decide(&plan(snapshot, &Settings::default()), snapshot, &Settings::default());
    assert!(matches!(&verdicts(&snapshot)[..], [Verdict::Refused(refusal)]
        if refusal.leading().unwrap().finding.contains("its unfinished upgrade")));
    edit(&mut snapshot.intents)[0].version = Version::parse("1.34").map(WantedVersion::Exactly);
    assert!(matches!(&verdicts(&snapshot)[..], [Verdict::Approved(_), Verdict::Waits { reason, .. }]
        if reason.starts_with("the unfinished upgrade of its pool")));

    let mut mixed = asked();
    offer(&mut mixed, "apps", &[]);
    edit(&mut mixed.intents)[0].image = Some(ImageRequest { from: upgrade_from(), taken: false });
    edit(&mut mixed.intents)[0].labels = Some([("tier".to_owned(), "web".to_owned())].into());
    let pool = pool_mut(&mut mixed, "apps");
    pool.failure = Some(PoolFailure { code: "PodDrainFailure".into(), message: "a budget".into() });
    (pool.state, pool.node_image) = (ProvisioningState::Failed, Some(LATEST_IMAGE.into()));
    nodes_mut(&mut mixed, "apps").take(1).for_each(|node| node.image_version = Some(LATEST_IMAGE.into()));
    let found = verdicts(&mixed);
    let of = |upgrades: bool| found.iter().find(|it| it.step().change.upgrades() == upgrades).unwrap();
    assert!(matches!(of(true), Verdict::Approved(_)), "the label waits for it: {found:?}");
    assert!(matches!(of(false), Verdict::Waits { reason, .. } if reason.starts_with("the unfinished upgrade")));
}

fn upgrade_from() -> Option<String> {
    pool("apps", Mode::User, 1).node_image
}

#[test]
fn an_upgrade_that_somebody_aborted_is_not_begun_again_until_somebody_asks_anew() {
    let mut snapshot = asked();
    pool_mut(&mut snapshot, "apps").state = ProvisioningState::Canceled;
    let intent = &mut edit(&mut snapshot.intents)[0];
    intent.attempt = Some(crate::Attempt {
        cause: Cause::Canceled,
        failures: 1,
        generation: intent.generation,
        next: None,
        code: String::new(),
        message: String::new(),
        remedy: String::new(),
    });
    for (from, holds) in [(upgrade_from(), true), (None, false)] {
        edit(&mut snapshot.intents)[0].image = Some(ImageRequest { from, taken: false });
        assert_eq!(planned(&snapshot).problems, if holds { vec![Problem::Canceled] } else { vec![] });
    }
    edit(&mut snapshot.intents)[0].image = None;
    edit(&mut snapshot.intents)[0].labels = Some([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(planned(&snapshot).problems, [Problem::Canceled]);
    assert_eq!(planned(&snapshot).steps.len(), 1);
}
