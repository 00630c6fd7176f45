//! Two replicas whose machines tell different times of day, hours apart and jumping while they run: neither the lease nor a
//! drain that changes hands hangs on it. Never moves the clock that only measures how long something takes, as no machine does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use serde_json::json;
use tempfile::TempDir;
use testbed::{Lane, Match, OperatorOptions, Testbed, wait_for};

use super::drains::{ends_with, evicted_once, five_nodes_without_operator, homes, marked, removed_only, scaled_to};
use super::replicas::{LASTS, Pair, Which, pair_of, plain_bed};
use super::support::{DEADLINE, Scene, Story, policy, story, write};

use Which::{First, Second};

/// How far a clock can be off and still be called right: what a story takes at most.
const CLOSE: SignedDuration = SignedDuration::from_mins(30);

pub fn stories() -> Vec<Story> {
    vec![
        story("of_two_replicas_whose_clocks_are_hours_apart_one_works_at_a_time", jumping),
        story("a_drain_goes_on_with_a_replica_whose_clock_is_hours_behind", |lane| drained(lane, 2, -2)),
        story("a_drain_goes_on_with_a_replica_whose_clock_is_hours_ahead", |lane| drained(lane, -2, 2)),
    ]
}

/// The clocks of both replicas, in hours from the right time.
struct Clocks {
    library: PathBuf,
    folder: TempDir,
}

impl Clocks {
    /// Set so; nothing where the library is not installed that tells a process another time.
    fn set(first: i32, second: i32) -> anyhow::Result<Option<Self>> {
        let Some(library) = library() else {
            writeln!(
                std::io::stderr(),
                "SKIPPED: clocks that are apart: Debian's package libfaketime is not installed"
            )?;
            return Ok(None);
        };
        let clocks = Self { library, folder: TempDir::new()? };
        clocks.turn(First, first)?;
        clocks.turn(Second, second)?;
        Ok(Some(clocks))
    }

    fn file(&self, which: Which) -> PathBuf {
        self.folder.path().join(format!("{which:?}"))
    }

    /// Sets a clock while its replica runs.
    fn turn(&self, which: Which, hours: i32) -> anyhow::Result<()> {
        // Renamed, so that no replica ever reads half of it.
        let unfinished = self.folder.path().join("unfinished");
        std::fs::write(&unfinished, format!("{hours:+}h\n"))?;
        std::fs::rename(unfinished, self.file(which)).context("the clock can't be set")
    }

    /// The options of a replica with its clock. What was given up is soon tried again.
    fn of(&self, which: Which, options: OperatorOptions) -> OperatorOptions {
        options
            .arguments(&["--retry-seconds", "2"])
            .environment("LD_PRELOAD", &self.library.to_string_lossy())
            .environment("FAKETIME_TIMESTAMP_FILE", &self.file(which).to_string_lossy())
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }
}

/// Where Debian puts it, for the architecture of this machine.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir(Path::new("/usr/lib")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Waits until the lease tells that its holder's clock is so many hours from the right time.
async fn renewed_by_clock(pair: &Pair, hours: i32) -> anyhow::Result<()> {
    wait_for(&format!("a renewal by a clock that is {hours:+} hours off"), DEADLINE, async || {
        let told = pair.lease().get("nodepool-operator").await?.spec.and_then(|spec| spec.renew_time);
        let told = told.context("the lease has no time")?.0;
        let off = told.duration_since(jiff::Timestamp::try_from(SystemTime::now())?);
        let right = (off - SignedDuration::from_hours(i64::from(hours))).abs() < CLOSE;
        Ok(if right { Ok(()) } else { Err(format!("it is {off:#} off")) })
    })
    .await
}

async fn jumping(lane: Lane) -> anyhow::Result<Option<Scene>> {
    let Some(clocks) = Clocks::set(2, -2)? else { return Ok(None) };
    let bed = plain_bed(Testbed::builder(lane)).await?;
    let mut pair = pair_of(bed, |which, options| clocks.of(which, options)).await?;
    renewed_by_clock(&pair, 2).await?;
    let mut wished = Vec::new();
    let mut tiers = ["a", "b", "c", "d", "e", "f"].into_iter();
    for (leader, hours) in [(First, 2), (First, -3), (Second, -2), (Second, 3), (Second, -4), (First, 1)] {
        if pair.leader().await? != leader {
            pair.operator(leader.other()).kill().await?;
            pair.leads(leader).await?;
            let (_, after) = pair.takeover_by(leader)?;
            ensure!(after >= LASTS, "it took over {after:?} after the other one's last word");
            pair.restart_what_ended().await?;
            pair.waits(leader.other()).await?;
        }
        // The one that waits sees its clock jump as well, the other way.
        clocks.turn(leader, hours)?;
        clocks.turn(leader.other(), -hours)?;
        renewed_by_clock(&pair, hours).await?;
        let tier = json!({"labels": {"tier": tiers.next()}});
        pair.scene.apply(policy("apps", tier.clone())).await?;
        pair.scene.ready("apps").await?;
        ensure!(pair.leader().await? == leader, "a clock that jumped cost {leader:?} the lease");
        wished.push(write("apps", json!({"nodeLabels": tier["labels"]})));
    }
    ensure!(pair.scene.writes() == wished, "{:?}", pair.scene.writes());
    Ok(Some(pair.ends().await?))
}

/// A leader is killed in the middle of a drain, and one with another clock takes it over.
async fn drained(lane: Lane, first: i32, second: i32) -> anyhow::Result<Option<Scene>> {
    let Some(clocks) = Clocks::set(first, second)? else { return Ok(None) };
    let mut pair =
        pair_of(five_nodes_without_operator(lane).await?, |which, options| clocks.of(which, options)).await?;
    renewed_by_clock(&pair, first).await?;
    let homes = homes(&pair.scene, "system").await?;
    // The second pod is on its way when the leader dies.
    let evictions = pair.api(First).hold(Match::method("POST").path_contains("/eviction"));
    pair.scene.apply(scaled_to(3, "Relocate")).await?;
    let going = marked(&pair.scene, 2).await?;
    evictions.arrived().await?;
    evictions.release_one();
    evictions.arrived().await?;
    pair.operator(First).kill().await?;
    drop(evictions);
    pair.leads(Second).await?;
    renewed_by_clock(&pair, second).await?;
    ends_with(&pair.scene, 3).await?;
    for which in [First, Second] {
        ensure!(!pair.log(which).contains("DrainGivenUp"), "{which:?} gave the drain up");
        ensure!(pair.log(which).contains("not that of the API server"), "{which:?} says nothing of its clock");
    }
    evicted_once(&pair.scene, &homes, &going);
    removed_only(&pair.scene, &going);
    Ok(Some(pair.ends().await?))
}
