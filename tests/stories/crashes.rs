//! A crash at every side effect: the operator is killed at each request of a step to ARM and at each of its writes to
//! the API server, and started again. The step is made once and ends well. The table is generated; see `table` for how
//! much of it is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aks_emulator::{Action, Matcher};
use anyhow::{Context as _, ensure};
use nodepool_operator::api::NodePoolPolicyStatus;
use serde_json::Value;
use testbed::Match;
use testbed::door::{Door, Fate, Held, Request};

use super::steps::{Change, Foreign, Step, surge_of, write_by_somebody_else};
use super::support::{Scene, Story, story};
use super::table::{self, Case, OPERATOR, Setting, bounded, open, outcomes, until};

pub fn stories() -> Vec<Story> {
    let told = |name, setting| {
        story(name, move |lane| async move {
            table::tell(open(lane, setting, false).await?, "crashes", setting, all(setting)).await
        })
    };
    vec![
        told("every_crash_at_every_request_without_etags", Setting::WithoutEtags),
        told("every_crash_at_every_request_with_etags", Setting::WithEtags),
        told("every_crash_at_every_request_when_omission_clears", Setting::WithEtagsAndOmissionClears),
        told("every_crash_at_every_request_with_operations_forbidden", Setting::WithOperationsForbidden),
    ]
}

/// The requests of a step, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    FirstLook,
    KeysOwned,
    FreshCluster,
    FreshPool,
    FreshSystemPool,
    Write,
    StatusStarted,
    EventPlanned,
    EventStarted,
    LookAfterwards,
    StatusEnded,
    EventEnded,
    FinalizerTaken,
    EventGone,
}

impl Point {
    const ALL: [Self; 14] = [
        Self::FirstLook,
        Self::KeysOwned,
        Self::FreshCluster,
        Self::FreshPool,
        Self::FreshSystemPool,
        Self::Write,
        Self::StatusStarted,
        Self::EventPlanned,
        Self::EventStarted,
        Self::LookAfterwards,
        Self::StatusEnded,
        Self::EventEnded,
        Self::FinalizerTaken,
        Self::EventGone,
    ];

    const fn words(self) -> &'static str {
        match self {
            Self::FirstLook => "ARM: GET cluster, after the policy changed",
            Self::KeysOwned => "API server: status, before the write",
            Self::FreshCluster => "ARM: GET cluster, before the write",
            Self::FreshPool => "ARM: GET pool",
            Self::FreshSystemPool => "ARM: GET system pool",
            Self::Write => "ARM: PUT, POST or DELETE pool",
            Self::StatusStarted => "API server: status, step started",
            Self::EventPlanned => "API server: event PlanMade",
            Self::EventStarted => "API server: event StepStarted",
            Self::LookAfterwards => "ARM: GET cluster, after the write",
            Self::StatusEnded => "API server: status, Ready",
            Self::EventEnded => "API server: event StepSucceeded",
            Self::FinalizerTaken => "API server: finalizer taken away",
            Self::EventGone => "API server: event PoolGone",
        }
    }

    /// The request is one to the API server.
    const fn is_to_api_server(self) -> bool {
        matches!(
            self,
            Self::KeysOwned
                | Self::StatusStarted
                | Self::EventPlanned
                | Self::EventStarted
                | Self::StatusEnded
                | Self::EventEnded
                | Self::FinalizerTaken
                | Self::EventGone
        )
    }

    /// The request, once, in a step that makes `generation` of the policy of `pool` come true.
    fn matching(self, step: Step, generation: i64) -> Match {
        let pool = step.pool();
        let nth_look = |nth| nth_after(nth, is_look);
        let status = move |request: &Request, fits: fn(&Value) -> bool| {
            let is_status = request.path.ends_with(&format!("/nodepoolpolicies/{pool}/status"));
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            is_status && fits(&body["status"]) && body["status"]["observedGeneration"] == generation
        };
        let event = move |request: &Request, reason: &str| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            request.path.ends_with("/events") && body["reason"] == reason && body["regarding"]["name"] == pool
        };
        let matching = match self {
            Self::FirstLook => nth_look(1),
            Self::FreshCluster => nth_look(2),
            Self::FreshPool => Match::method("GET").path_ends_with(&format!("/agentPools/{pool}")),
            Self::FreshSystemPool => Match::method("GET").path_ends_with("/agentPools/system"),
            Self::Write => Match::method(step.method()).path_ends_with(&step.path()),
            Self::LookAfterwards => look_after_a_write(),
            // The pass has not ended, so that the generation observed is still the one before.
            Self::KeysOwned => Match::method("PATCH").path_ends_with(&format!("/nodepoolpolicies/{pool}/status")),
            Self::StatusStarted => Match::method("PATCH").when(move |request| status(request, is_started)),
            Self::StatusEnded => Match::method("PATCH").when(move |request| status(request, is_ready)),
            Self::EventPlanned => Match::method("POST").when(move |request| event(request, "PlanMade")),
            Self::EventStarted => Match::method("POST").when(move |request| event(request, "StepStarted")),
            Self::EventEnded => Match::method("POST").when(move |request| event(request, "StepSucceeded")),
            Self::FinalizerTaken => Match::method("PATCH").path_ends_with(&format!("/nodepoolpolicies/{pool}")),
            Self::EventGone => Match::method("POST").when(move |request| event(request, "PoolGone")),
        };
        matching.times(1)
    }
}

fn is_look(request: &Request) -> bool {
    request.method == "GET" && request.path.ends_with("/managedClusters/local")
}

/// The `nth` request that fits, and those that follow it.
fn nth_after(nth: usize, fits: fn(&Request) -> bool) -> Match {
    let seen = AtomicUsize::new(0);
    Match::any().when(move |request| fits(request) && seen.fetch_add(1, Ordering::SeqCst) + 1 >= nth)
}

fn look_after_a_write() -> Match {
    let writes = AtomicUsize::new(0);
    Match::any().when(move |request| {
        let before = writes.fetch_add(usize::from(request.is_write()), Ordering::SeqCst);
        before > 0 && is_look(request)
    })
}

fn is_started(status: &Value) -> bool {
    let history = status["history"].as_array();
    history.and_then(|all| all.last()).is_some_and(|last| last["outcome"] == "Started")
}

fn is_ready(status: &Value) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// When the operator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The request has been sent, and never comes to be handled.
    Before,
    /// It has been handled, and its answer is on the way.
    After,
    /// It has been sent, and is handled when the next process has long begun.
    Late,
}

impl Moment {
    const ALL: [Self; 3] = [Self::Before, Self::After, Self::Late];

    const fn words(self) -> &'static str {
        match self {
            Self::Before => "killed before it is handled",
            Self::After => "killed before the answer",
            Self::Late => "killed, handled after the restart",
        }
    }
}

#[derive(Clone, Copy)]
struct Crash {
    setting: Setting,
    step: Step,
    point: Point,
    moment: Moment,
}

impl Crash {
    fn makes_sense(self) -> bool {
        let deletes = self.step == Step::Delete;
        let is_made = match self.point {
            Point::KeysOwned => {
                matches!(self.step, Step::Labels | Step::Tags | Step::AutoscalerOn | Step::Create | Step::NodeImage)
            }
            Point::StatusEnded | Point::EventEnded => !deletes,
            Point::FinalizerTaken | Point::EventGone => deletes,
            _ => true,
        };
        is_made && (self.point == Point::Write || self.moment != Moment::Late)
    }
}

/// The whole table.
fn all(setting: Setting) -> Vec<Crash> {
    let of_point = |step, point| Moment::ALL.into_iter().map(move |moment| Crash { setting, step, point, moment });
    let of_step = |step| Point::ALL.into_iter().flat_map(move |point| of_point(step, point));
    Step::ALL.into_iter().flat_map(of_step).filter(|crash| crash.makes_sense()).collect()
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at {}", self.step, self.moment.words(), self.point.words())
    }
}

impl Case for Crash {
    fn step(&self) -> Step {
        self.step
    }

    fn row(&self) -> &'static str {
        self.point.words()
    }

    fn column(&self) -> &'static str {
        self.moment.words()
    }

    async fn tell(self, scene: &mut Scene, number: usize) -> anyhow::Result<()> {
        let change = self.step.begin(scene, number).await?;
        let pool = self.step.pool();
        let (before, sequence) = (scene.status(pool).await?, scene.bed.emulator.requests());
        let held = match self.moment {
            Moment::Late => self.late(scene, &change).await.map(|()| None)?,
            _ => Some(self.killed(scene, &change, &before, sequence).await?),
        };
        let foreign = self.somebody_else_writes(scene, number).await?;
        let killed_at = scene.bed.emulator.requests();
        scene.operator.restart().await?;
        until("the next process to look", || {
            scene.bed.emulator.journal_after(killed_at).iter().any(|exchange| exchange.resource_name() == "local")
        })
        .await?;
        let after = change.is_made(scene).await?;
        self.was_late(scene, sequence).await?;
        scene.bed.emulator.idle().await;
        if let Some((_held, request)) = &held {
            self.has_its_fate(scene, request)?;
        }
        change.is_all_that_changed(scene, foreign.as_ref())?;
        // Without an eTag the late write repeats the one that took its place.
        let repeated = self.moment == Moment::Late && (!self.setting.has_etags() || self.step.is_unconditional());
        bounded(scene, sequence, pool, if repeated { 2 } else { 1 }, 2)?;
        after.map_or(Ok(()), |after| told_truly(&before, &after))
    }
}

/// Sees that no step is told as failed, and none as made twice.
fn told_truly(before: &NodePoolPolicyStatus, after: &NodePoolPolicyStatus) -> anyhow::Result<()> {
    let outcomes = outcomes(before, after);
    let counted = |outcome: &str| outcomes.iter().filter(|found| *found == outcome).count();
    ensure!(counted("Failed") + counted("RefusedByAzure") == 0, "the history says {outcomes:?}");
    ensure!(counted("Succeeded") <= 1, "the history says {outcomes:?}");
    ensure!(after.operation.is_none() && after.attempt.is_none(), "the status says {after:?}");
    Ok(())
}

impl Crash {
    /// In every other case somebody else changes the pool before the next process sees it.
    async fn somebody_else_writes(self, scene: &Scene, number: usize) -> anyhow::Result<Option<Foreign>> {
        if self.moment == Moment::Late || !number.is_multiple_of(2) {
            return Ok(None);
        }
        let (pool, emulator) = (self.step.changed_after(), &scene.bed.emulator);
        emulator.idle().await;
        let foreign = surge_of(scene, pool, number);
        let write = emulator.as_someone_else(&write_by_somebody_else(scene, &foreign)).await;
        ensure!(write.is_some_and(|write| write.status == Some(200)), "somebody else could not write");
        Ok(Some(foreign))
    }

    /// Asks for the step and kills the operator when it is at the request.
    async fn killed(
        self,
        scene: &mut Scene,
        change: &Change,
        before: &NodePoolPolicyStatus,
        sequence: u64,
    ) -> anyhow::Result<(Held, Arc<Request>)> {
        let generation = before.observed_generation.context("the policy has not been observed")? + 1;
        let matching = self.point.matching(self.step, generation);
        let door = self.door(scene);
        let held = if self.moment == Moment::Before { door.hold(matching) } else { door.hold_answer(matching) };
        change.ask(scene).await?;
        let request = held.arrived().await?;
        scene.operator.kill().await?;
        let at = scene.bed.emulator.journal_after(sequence).by_user_agent(OPERATOR).writes().len();
        self.has_its_fate(scene, &request)?;
        if self.point == Point::Write {
            ensure!(at == usize::from(self.moment == Moment::After), "{at} writes have come to ARM");
        }
        Ok((held, request))
    }

    fn door(self, scene: &Scene) -> &Door {
        if self.point.is_to_api_server() { &scene.bed.api } else { &scene.bed.arm }
    }

    /// Sees that the request has, or has not, come to the server.
    fn has_its_fate(self, scene: &Scene, request: &Arc<Request>) -> anyhow::Result<()> {
        let expected = if self.moment == Moment::Before { Fate::AtTheDoor } else { Fate::Sent };
        let passages = self.door(scene).journal();
        let fate = passages.iter().find(|passage| Arc::ptr_eq(&passage.request, request)).map(|passage| passage.fate);
        ensure!(fate == Some(expected), "the request at which it was killed is {fate:?}, not {expected:?}");
        Ok(())
    }

    /// Asks for the step and kills the operator while its write is on a long way.
    async fn late(self, scene: &mut Scene, change: &Change) -> anyhow::Result<()> {
        let matcher = Matcher::method(self.step.method()).path_ends_with(&self.step.path()).user_agent(OPERATOR);
        let fault = scene.bed.emulator.fault(matcher, Action::Delay(Duration::from_millis(2500)), Some(1));
        change.ask(scene).await?;
        until("the write to be on its way", || fault.count() == 1).await?;
        scene.operator.kill().await
    }

    /// Waits until a write that was late has been handled.
    async fn was_late(self, scene: &Scene, sequence: u64) -> anyhow::Result<()> {
        if self.moment != Moment::Late {
            return Ok(());
        }
        until("the late write to be handled", || {
            let writes = scene.bed.emulator.journal_after(sequence).by_user_agent(OPERATOR).writes();
            writes.iter().all(|write| write.status.is_some())
        })
        .await
    }
}
