//! What becomes of the work when the replica that leads is killed, told to stop, paused or cut off: the other one goes on, nothing is
//! done twice, and no change is asked for without the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Lane, Match, Testbed, wait_for};

use super::drains::{ends_with, evicted_once, five_nodes_without_operator, homes, marked, removed_only, scaled_to};
use super::replicas::{LASTS, Pair, Which, pair, plain_pair};
use super::support::{DEADLINE, Scene, Story, policy, story, write};

use Which::{First, Second};

/// More looks than a replica that waits makes in the time of a lease: fifteen, and some for the beginning and the end.
const LOOKS_IN_A_LEASE: usize = 18;

pub fn stories() -> Vec<Story> {
    vec![
        story("of_two_replicas_one_works_and_the_other_asks_for_the_lease_alone", one_works),
        story("a_replica_takes_over_a_drain_whose_leader_was_killed", killed),
        story("a_leader_that_is_told_to_stop_hands_over_at_once", told_to_stop),
        story("a_leader_that_does_not_know_what_came_of_its_write_keeps_the_lease_when_it_stops", unknown_outcome),
        story("a_leader_that_was_paused_ends_and_its_late_write_is_rejected", |lane| paused(lane, true)),
        story("a_late_write_without_etags_changes_only_what_its_policy_owns", |lane| paused(lane, false)),
        story("a_leader_that_is_cut_from_the_api_server_ends_before_the_other_begins", cut_from_api_server),
        story("a_leader_that_is_cut_from_arm_goes_on_leading", cut_from_arm),
        story("a_lease_that_somebody_takes_ends_its_leader", taken_by_hand),
        story("a_lease_that_somebody_deletes_stays_with_its_leader", deleted_by_hand),
        story("clocks_that_differ_by_years_do_not_matter_to_the_lease", clocks_apart),
    ]
}

async fn begin(lane: Lane) -> anyhow::Result<Pair> {
    plain_pair(Testbed::builder(lane)).await
}

async fn one_works(lane: Lane) -> anyhow::Result<Scene> {
    let pair = begin(lane).await?;
    pair.scene.apply(policy("apps", json!({"count": 2}))).await?;
    pair.scene.ready("apps").await?;
    ensure!(pair.arm(Second).journal().is_empty(), "the one that waits does not ask ARM");
    let asked = pair.api(Second).journal();
    let other = asked.iter().find(|passage| !passage.request.is_about_a_lease());
    ensure!(other.is_none(), "the one that waits asked for {other:?}");
    wait_for("the leader to be ready", DEADLINE, async || {
        let told = pair.probe(First, "readyz").await?;
        Ok(if told.0 == 200 { Ok(()) } else { Err(told.1) })
    })
    .await?;
    let told = [pair.leader_metric(First).await?, pair.leader_metric(Second).await?];
    ensure!(told == [Some(1.0), Some(0.0)], "the metrics of the leader: {told:?}");
    for which in Which::BOTH {
        for path in ["startupz", "livez"] {
            let (status, text) = pair.probe(which, path).await?;
            ensure!(status == 200, "{which:?} answers /{path} with {status}: {text}");
        }
    }
    pair.ends().await
}

async fn killed(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = pair(five_nodes_without_operator(lane).await?).await?;
    let homes = homes(&pair.scene, "system").await?;
    let eviction = || Match::method("POST").path_contains("/eviction");
    // The second pod is on its way when the leader dies.
    let evictions = pair.api(First).hold(eviction());
    pair.scene.apply(scaled_to(3, "Relocate")).await?;
    let going = marked(&pair.scene, 2).await?;
    evictions.arrived().await?;
    evictions.release_one();
    evictions.arrived().await?;
    pair.operator(First).kill().await?;
    drop(evictions);
    ends_with(&pair.scene, 3).await?;
    pair.leads(Second).await?;
    evicted_once(&pair.scene, &homes, &going);
    removed_only(&pair.scene, &going);
    let (looks, after) = pair.takeover_by(Second)?;
    ensure!(after >= LASTS, "it took over {after:?} after the other one's last word");
    ensure!(looks <= LOOKS_IN_A_LEASE, "it looked {looks} times");
    pair.ends().await
}

async fn told_to_stop(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = begin(lane).await?;
    let held = pair.scene.bed.emulator.operation("apps").hold();
    pair.scene.apply(policy("apps", json!({"count": 3}))).await?;
    held.arrived().await;
    let code = pair.operator(First).terminate().await?;
    ensure!(code == 0, "it ended with {code}");
    let last = pair.api(First).journal().into_iter().rfind(|passage| !passage.request.query.contains("watch=true"));
    let last = last.map(|passage| serde_json::from_slice::<Value>(&passage.request.body)).transpose()?;
    let holder = last.map(|lease| lease["spec"]["holderIdentity"].clone());
    ensure!(holder == Some(json!("")), "the last thing it does is to give the lease back: {holder:?}");
    pair.leads(Second).await?;
    let (looks, _) = pair.takeover_by(Second)?;
    ensure!(looks <= 2, "it looked {looks} times at a lease that was given back");
    held.release();
    pair.scene.ready("apps").await?;
    ensure!(pair.scene.writes() == [write("apps", json!({"count": 3}))], "{:?}", pair.scene.writes());
    pair.ends().await
}

async fn unknown_outcome(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = begin(lane).await?;
    // Neither the answer to its write nor anything that it asks after it reaches the leader.
    let (sent, is_sent) = (Arc::new(AtomicBool::new(false)), Ordering::SeqCst);
    let notes = Arc::clone(&sent);
    let lost = pair.arm(First).drop_answer(Match::method("PUT").when(move |_| {
        notes.store(true, is_sent);
        true
    }));
    let cut = pair.arm(First).drop_request(Match::method("GET").when(move |_| sent.load(is_sent)));
    pair.scene.apply(policy("apps", json!({"count": 2}))).await?;
    lost.arrived().await?;
    let code = pair.operator(First).terminate().await?;
    ensure!(code == 0, "it ended with {code}");
    ensure!(pair.log(First).contains("the lease is kept until it runs out"), "{}", pair.log(First));
    pair.leads(Second).await?;
    let (_, after) = pair.takeover_by(Second)?;
    ensure!(after >= LASTS, "it took over {after:?} after the other one's last word");
    drop(cut);
    pair.scene.ready("apps").await?;
    ensure!(pair.scene.writes() == [write("apps", json!({"count": 2}))], "{:?}", pair.scene.writes());
    pair.ends().await
}

/// The write of a leader is on its way when the leader is paused; it arrives after another replica has made another one.
async fn paused(lane: Lane, with_etags: bool) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).emulator(|settings| settings.switches.etags = with_etags);
    let mut pair = plain_pair(builder).await?;
    pair.scene.apply(policy("apps", json!({"labels": {"tier": "a"}}))).await?;
    pair.scene.ready("apps").await?;
    let on_its_way = pair.arm(First).hold(Match::method("PUT"));
    pair.scene.apply(policy("apps", json!({"labels": {"tier": "b"}}))).await?;
    on_its_way.arrived().await?;
    pair.operator(First).pause();
    pair.leads(Second).await?;
    pair.scene.apply(policy("apps", json!({"labels": {"tier": "c"}}))).await?;
    pair.scene.ready("apps").await?;
    // What somebody else has changed meanwhile is none of its business.
    pair.scene.edit_by_hand("apps", json!({"count": 2})).await?;
    pair.scene.bed.emulator.idle().await;
    let before = pair.scene.writes().len();
    on_its_way.release();
    wait_for("the late write to arrive", DEADLINE, async || {
        Ok(if pair.scene.writes().len() > before { Ok(()) } else { Err("it has not") })
    })
    .await?;
    pair.operator(First).go_on();
    let code = pair.operator(First).wait(DEADLINE).await?;
    ensure!(code == 1, "a leader that slept over its lease ended with {code}");
    ensure!(pair.log(First).contains("the lease is lost"), "{}", pair.log(First));
    wait_for("the pool to be as its policy asks", DEADLINE, async || {
        let labels = pair.scene.in_arm("apps", "nodeLabels");
        Ok(if labels["tier"] == "c" { Ok(()) } else { Err(labels.to_string()) })
    })
    .await?;
    pair.scene.looks_again().await?;
    pair.scene.ready("apps").await?;
    ensure!(pair.scene.in_arm("apps", "count") == 2, "{}", pair.scene.in_arm("apps", "count"));
    let statuses = pair.scene.bed.emulator.journal().writes().by_user_agent("nodepool-operator");
    let statuses: Vec<Option<u16>> = statuses.iter().map(|exchange| exchange.status).collect();
    // Without an eTag it is taken, and made good by the one that leads.
    let wanted = if with_etags { [Some(200), Some(200), Some(412)].to_vec() } else { [Some(200); 4].to_vec() };
    ensure!(statuses == wanted, "{statuses:?}");
    pair.ends().await
}

async fn cut_from_api_server(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = begin(lane).await?;
    pair.scene.apply(policy("apps", json!({"count": 2}))).await?;
    pair.scene.ready("apps").await?;
    let cut = pair.api(First).drop_request(Match::any());
    let code = pair.operator(First).wait(DEADLINE).await?;
    ensure!(code == 1, "a leader that could not renew its lease ended with {code}");
    pair.leads(Second).await?;
    pair.scene.apply(policy("apps", json!({"count": 1}))).await?;
    pair.scene.ready("apps").await?;
    drop(cut);
    pair.operator(First).restart().await?;
    pair.waits(First).await?;
    pair.ends().await
}

async fn cut_from_arm(lane: Lane) -> anyhow::Result<Scene> {
    let pair = begin(lane).await?;
    let cut = pair.arm(First).drop_request(Match::any());
    pair.scene.apply(policy("apps", json!({"count": 2}))).await?;
    let renewals = pair.renewals_of(First);
    wait_for("the leader to renew its lease ten times more", DEADLINE, async || {
        let more = pair.renewals_of(First) - renewals;
        Ok(if more >= 10 { Ok(()) } else { Err(format!("{more} times")) })
    })
    .await?;
    ensure!(pair.renewals_of(Second) == 0, "another replica can't reach ARM better");
    drop(cut);
    pair.scene.ready("apps").await?;
    ensure!(pair.scene.writes() == [write("apps", json!({"count": 2}))], "{:?}", pair.scene.writes());
    pair.ends().await
}

async fn taken_by_hand(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = begin(lane).await?;
    let theirs = Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
    pair.lease().patch("nodepool-operator", &PatchParams::default(), &theirs).await?;
    let code = pair.operator(First).wait(DEADLINE).await?;
    ensure!(code == 1, "a leader whose lease was taken ended with {code}");
    ensure!(pair.log(First).contains("somebody has it"), "{}", pair.log(First));
    pair.leads(Second).await?;
    pair.scene.apply(policy("apps", json!({"count": 2}))).await?;
    pair.scene.ready("apps").await?;
    pair.ends().await
}

async fn deleted_by_hand(lane: Lane) -> anyhow::Result<Scene> {
    let pair = begin(lane).await?;
    for _ in 0..3 {
        let renewals = pair.renewals_of(First);
        pair.lease().delete("nodepool-operator", &DeleteParams::default()).await?;
        wait_for("the leader to put its lease there again", DEADLINE, async || {
            let more = pair.renewals_of(First) - renewals;
            Ok(if more >= 2 { Ok(()) } else { Err(format!("{more} times")) })
        })
        .await?;
    }
    ensure!(pair.renewals_of(Second) == 0, "the one that waits took a lease whose holder was alive");
    pair.ends().await
}

/// The clock of the machine that held the lease was years ahead, or years behind.
async fn clocks_apart(lane: Lane) -> anyhow::Result<Scene> {
    let mut pair = begin(lane).await?;
    for (written, transitions) in [("2006-01-02T15:04:05.000000Z", 10), ("2106-01-02T15:04:05.000000Z", 20)] {
        for which in Which::BOTH {
            pair.operator(which).kill().await?;
        }
        let theirs = json!({"spec": {
            "holderIdentity": "of another time", "renewTime": written, "leaseTransitions": transitions,
            "leaseDurationSeconds": LASTS.as_secs()
        }});
        pair.lease().patch("nodepool-operator", &PatchParams::default(), &Patch::Merge(theirs)).await?;
        pair.operator(First).restart().await?;
        pair.waits(First).await?;
        pair.leads(First).await?;
        let asked = pair.api(First).journal();
        let mut taking = asked.iter().rev().skip_while(|passage| passage.request.method != "PUT");
        let taken = taking.next().context("the lease was not taken")?;
        let looks: Vec<_> =
            taking.take_while(|it| it.request.is_about_a_lease() && it.request.method == "GET").collect();
        let first = looks.last().context("it did not look before")?;
        let waited = taken.at.duration_since(first.at)?;
        ensure!(waited >= LASTS, "it waited for {waited:?}");
        ensure!(looks.len() <= LOOKS_IN_A_LEASE, "it looked {} times", looks.len());
        pair.operator(Second).restart().await?;
        pair.waits(Second).await?;
    }
    pair.ends().await
}
