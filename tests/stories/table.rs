//! Tables of cases: what happens at which request of which step. Draws a sample by a seed, tells case after case on one
//! cluster, and counts them. Never says what a case is.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aks_emulator::PoolSpec;
use anyhow::{bail, ensure};
use nodepool_operator::api::NodePoolPolicyStatus;
use serde_json::json;
use testbed::{Lane, Testbed, wait_for};

use super::steps::{FOREIGN_LABEL, FOREIGN_TAG, POOLS, Step, present};
use super::support::{DEADLINE, Scene, binary, policy};

/// How many cases of a table are told in each setting: a number, `all`, or those whose words contain a text.
const CASES: &str = "NODEPOOL_FAULTS";
/// So many are told unless that says otherwise.
const SAMPLE: usize = 24;
/// Another seed draws another sample.
const SEED: &str = "NODEPOOL_SEED";
/// After so many failures the rest of a table is not told.
const MOST_FAILURES: usize = 8;
/// What one step may cost: its fresh look twice, its write twice, and what is read while it runs.
const MOST_REQUESTS: usize = 80;
/// As whom the operator makes its requests.
pub const OPERATOR: &str = "nodepool-operator";

/// Settings that make the operator as quick as the testbed. At rest it hardly reads ARM, so that the requests of a case
/// are those of its step.
const QUICK: [&str; 20] = [
    "--system-node-ready-seconds",
    "0.5",
    "--add-ons-stable-seconds",
    "0.5",
    "--arm-refresh-seconds",
    "20",
    "--arm-poll-seconds",
    "0.2",
    "--arm-request-share",
    "1000",
    "--settle-seconds",
    "0.3",
    "--retry-seconds",
    "0.5",
    "--arm-read-timeout-seconds",
    "1",
    "--arm-write-timeout-seconds",
    "1",
    "--log",
    "info,nodepool_operator=debug",
];

/// How long the operator waits for an answer of ARM, as above.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// What is not known about the service, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Pools have no eTags; what a write omits is kept.
    WithoutEtags,
    /// Pools have eTags; what a write omits is kept.
    WithEtags,
    /// Pools have eTags; labels, taints and tags that a write omits go.
    WithEtagsAndOmissionClears,
    /// As the first, and nobody may read the status of an operation.
    WithOperationsForbidden,
}

impl Setting {
    /// Whether pools have eTags.
    pub const fn has_etags(self) -> bool {
        matches!(self, Self::WithEtags | Self::WithEtagsAndOmissionClears)
    }

    const fn words(self) -> &'static str {
        match self {
            Self::WithoutEtags => "without eTags",
            Self::WithEtags => "with eTags",
            Self::WithEtagsAndOmissionClears => "with eTags, omission clears",
            Self::WithOperationsForbidden => "without eTags, operations forbidden",
        }
    }
}

/// A case of a table, told in words by its `Display`.
pub trait Case: Copy + Display {
    /// The step that it is about.
    fn step(&self) -> Step;
    /// Where it is counted: the row of the table.
    fn row(&self) -> &'static str;
    /// The column.
    fn column(&self) -> &'static str;
    /// Tells it. `number` is that of the case in its table.
    async fn tell(self, scene: &mut Scene, number: usize) -> anyhow::Result<()>;
}

/// A cluster of a system pool and the pools of the steps, which have something that no policy names. `past_the_door`
/// lets the operator talk to ARM without the door between them.
pub async fn open(lane: Lane, setting: Setting, past_the_door: bool) -> anyhow::Result<Scene> {
    let mut builder = Testbed::builder(lane)
        .emulator(|settings| {
            let switches = &mut settings.switches;
            switches.etags = setting.has_etags();
            switches.omission_retains_collections = setting != Setting::WithEtagsAndOmissionClears;
            switches.operation_urls_forbidden = setting == Setting::WithOperationsForbidden;
        })
        .pool(PoolSpec::system("system", 2));
    for pool in POOLS {
        builder = builder.pool(PoolSpec::user(pool, 1));
    }
    let bed = builder.start().await?;
    let mut options = bed.operator_options(binary()).arguments(&QUICK);
    if past_the_door {
        options = options.signing_in_at(bed.emulator.endpoint().as_str()).arguments(&["--azure-auth", "none"]);
    }
    let operator = bed.start_operator(options).await?;
    let scene = Scene::of(bed, operator);
    for pool in POOLS {
        let [label, tag] = [FOREIGN_LABEL, FOREIGN_TAG].map(|(key, value)| json!({key: value}));
        let foreign = json!({"nodeLabels": label, "tags": tag, "upgradeSettings": {"maxSurge": "33%"}});
        scene.edit_by_hand(pool, foreign).await?;
        scene.bed.emulator.idle().await;
        let spec = json!({"count": 1, "taints": [], "labels": {"turn": "0"}, "mode": "User"});
        scene.apply(policy(pool, spec)).await?;
        scene.ready(pool).await?;
    }
    Ok(scene)
}

/// Tells the cases of a table that are drawn, or asked for.
pub async fn tell<C: Case>(
    mut scene: Scene,
    kind: &'static str,
    setting: Setting,
    all: Vec<C>,
) -> anyhow::Result<Scene> {
    let (began, size) = (Instant::now(), all.len());
    let seed = seed()?;
    enter(kind, &all);
    let cases = drawn(all, seed.wrapping_add(setting as u64));
    let (told, mut failures) = (cases.len(), Vec::new());
    let about = format!("{kind} {}", setting.words());
    for (number, case) in cases {
        let Err(error) = case.tell(&mut scene, number).await else {
            count(kind, &case);
            continue;
        };
        let failure = format!("case {number}, {case}: {error:#}\n{}", last_said(&scene, case.step().pool()).await);
        writeln!(std::io::stderr(), "{about}: {failure}")?;
        FAILURES.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{about}: {failure}"));
        failures.push(failure);
        if failures.len() == MOST_FAILURES || recover(&mut scene).await.is_err() {
            break;
        }
    }
    let seconds = began.elapsed().as_secs();
    writeln!(std::io::stderr(), "{about}: {told} of {size} cases with {SEED}={seed}, in {seconds} s")?;
    if failures.is_empty() {
        return Ok(scene);
    }
    bail!("{about}, {SEED}={seed}: {} cases failed:\n{}", failures.len(), failures.join("\n"))
}

/// Sees what must be so after any case: writes to no other pool, so many writes to this one that were sent and that had
/// an effect, and not too many requests.
pub fn bounded(scene: &Scene, after: u64, pool: &str, effects: usize, sent: usize) -> anyhow::Result<()> {
    let journal = scene.bed.emulator.journal_after(after).by_user_agent(OPERATOR);
    let writes: Vec<_> = journal.writes().iter().map(|write| (written(&write.path).to_owned(), write.status)).collect();
    // 204: there was nothing to delete.
    let has_effect = |status: u16| status < 300 && status != 204;
    let with_effect = writes.iter().filter(|(_, status)| status.is_some_and(has_effect)).count();
    ensure!(writes.iter().all(|(name, _)| name == pool), "it wrote to other pools: {writes:?}");
    ensure!((1..=effects).contains(&with_effect) && writes.len() <= sent, "writes were answered {writes:?}");
    ensure!(journal.len() <= MOST_REQUESTS, "{} requests", journal.len());
    Ok(())
}

/// The pool that a request of that path writes.
fn written(path: &str) -> &str {
    path.split_once("/agentPools/").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest))
}

/// What has been added to the history since `before`, which has lost its oldest entries where there was no room.
pub fn outcomes(before: &NodePoolPolicyStatus, after: &NodePoolPolicyStatus) -> Vec<String> {
    let kept = (0..=before.history.len()).find_map(|lost| {
        let kept = before.history.get(lost..)?;
        after.history.starts_with(kept).then_some(kept.len())
    });
    after.history.iter().skip(kept.unwrap_or_default()).map(|entry| entry.outcome.clone()).collect()
}

/// Waits until `fits`.
pub async fn until(what: &str, mut fits: impl FnMut() -> bool) -> anyhow::Result<()> {
    let look = async || Ok(if fits() { Ok(()) } else { Err("it is not so") });
    wait_for(what, DEADLINE, look).await
}

/// What `NODEPOOL_SEED` says, or 1.
pub fn seed() -> anyhow::Result<u64> {
    match std::env::var(SEED) {
        Ok(text) => text.parse().map_err(|_| anyhow::anyhow!("{SEED}={text:?} is not a whole number")),
        Err(_) => Ok(1),
    }
}

/// The cases to tell with their numbers, the steps in turn.
fn drawn<C: Case>(all: Vec<C>, seed: u64) -> Vec<(usize, C)> {
    let wanted = std::env::var(CASES).ok().filter(|wanted| !wanted.is_empty());
    let mut cases: Vec<(usize, C)> = all.into_iter().enumerate().map(|(index, case)| (index + 1, case)).collect();
    match wanted.as_deref().map(|wanted| (wanted, wanted.parse())) {
        Some(("all", _)) => {}
        Some((words, Err(_))) => cases.retain(|(_, case)| case.to_string().contains(words)),
        other => {
            fastrand::Rng::with_seed(seed).shuffle(&mut cases);
            cases.truncate(other.and_then(|(_, number)| number.ok()).unwrap_or(SAMPLE));
            cases.sort_by_key(|(number, _)| *number);
        }
    }
    let mut turns = [0; Step::ALL.len()];
    // Steps that undo each other take turns, so that few have to be prepared.
    cases.sort_by_cached_key(|(_, case)| {
        let step = Step::ALL.iter().position(|step| *step == case.step()).unwrap_or_default();
        turns[step] += 1;
        (turns[step], step)
    });
    cases
}

/// What the policy of the pool says and what the operator has logged, for whoever looks why a case failed.
async fn last_said(scene: &Scene, pool: &str) -> String {
    let status = match scene.status(pool).await {
        Ok(status) => serde_json::to_string(&status).unwrap_or_default(),
        Err(error) => format!("not known: {error:#}"),
    };
    format!("the status is {status}\nthe operator's log ends: {}", scene.operator.log_tail(40))
}

/// Brings the cluster to rest after a case that failed, so that the others can be told.
async fn recover(scene: &mut Scene) -> anyhow::Result<()> {
    if scene.operator.exited()?.is_some() {
        scene.operator.restart().await?;
    }
    scene.bed.emulator.idle().await;
    for pool in POOLS {
        scene.apply(policy(pool, present(scene, pool))).await?;
        scene.ready(pool).await?;
    }
    Ok(())
}

/// A field of a printed table: its table, row and column, and how many cases of it were told and passed.
type Field = (&'static str, &'static str, &'static str, usize);

static COUNTS: Mutex<Vec<Field>> = Mutex::new(Vec::new());

/// The cases that failed, which are told once more at the end, where whoever reads only that finds them.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// So many characters of a failure are told again.
const RETOLD: usize = 1500;

fn enter<C: Case>(kind: &'static str, all: &[C]) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    for case in all {
        if !counts.iter().any(|field| (field.0, field.1, field.2) == (kind, case.row(), case.column())) {
            counts.push((kind, case.row(), case.column(), 0));
        }
    }
}

fn count<C: Case>(kind: &'static str, case: &C) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let field = counts.iter_mut().find(|field| (field.0, field.1, field.2) == (kind, case.row(), case.column()));
    if let Some(field) = field {
        field.3 += 1;
    }
}

/// Prints how many cases passed, a table of rows and columns for each kind. Asking for cases that no table has is an
/// error.
pub fn print_counts() -> anyhow::Result<()> {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Ok(wanted) = std::env::var(CASES) {
        let none = counts.iter().all(|field| field.3 == 0);
        ensure!(counts.is_empty() || !none, "{CASES}={wanted:?}: no case passed, or none has these words");
    }
    let mut out = std::io::stderr();
    for kind in in_order(counts.iter().map(|field| field.0)) {
        let of_kind: Vec<Field> = counts.iter().filter(|field| field.0 == kind).copied().collect();
        let columns = in_order(of_kind.iter().map(|field| field.2));
        let total: usize = of_kind.iter().map(|field| field.3).sum();
        writeln!(
            out,
            "\n{kind}: {total} cases passed\n\n| | {} |\n|{}",
            columns.join(" | "),
            " --- |".repeat(columns.len() + 1)
        )?;
        for row in in_order(of_kind.iter().map(|field| field.1)) {
            let cell = |column: &&str| {
                let field = of_kind.iter().find(|field| field.1 == row && field.2 == *column);
                field.map_or_else(String::new, |field| field.3.to_string())
            };
            writeln!(out, "| {row} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | "))?;
        }
    }
    for failure in FAILURES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        writeln!(out, "\n{}", failure.chars().take(RETOLD).collect::<String>())?;
    }
    Ok(())
}

/// Each once, in the order of the first.
fn in_order(all: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut once: Vec<&str> = Vec::new();
    for each in all {
        if !once.contains(&each) {
            once.push(each);
        }
    }
    once
}
