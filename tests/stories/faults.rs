//! Every fault at every request: whatever becomes of one request of a step, the step is made once and ends well. The
//! table is generated; see `table` for how much of it is told.

use std::fmt;
use std::time::Duration;

use aks_emulator::{Action, Canned, Matcher, OperationFailure, RequestFailure};
use anyhow::ensure;

use super::steps::{Change, Foreign, Step, surge_of, write_by_somebody_else};
use super::support::{Scene, Story, story};
use super::table::{self, Case, OPERATOR, Setting, TIMEOUT, bounded, open, outcomes, until};

pub fn stories() -> Vec<Story> {
    let told = |name, setting| {
        story(name, move |lane| async move {
            table::tell(open(lane, setting, true).await?, "faults", setting, all(setting)).await
        })
    };
    vec![
        told("every_fault_at_every_request_without_etags", Setting::WithoutEtags),
        told("every_fault_at_every_request_with_etags", Setting::WithEtags),
        told("every_fault_at_every_request_when_omission_clears", Setting::WithEtagsAndOmissionClears),
        told("every_fault_at_every_request_with_operations_forbidden", Setting::WithOperationsForbidden),
    ]
}

/// The requests that a step is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Cluster,
    Pool,
    SystemPool,
    Upgrades,
    Write,
}

impl Request {
    const ALL: [Self; 5] = [Self::Cluster, Self::Pool, Self::SystemPool, Self::Upgrades, Self::Write];

    const fn words(self) -> &'static str {
        match self {
            Self::Cluster => "GET cluster",
            Self::Pool => "GET pool",
            Self::SystemPool => "GET system pool",
            Self::Upgrades => "GET upgrades of pool",
            Self::Write => "PUT, POST or DELETE pool",
        }
    }

    /// The pool that it reads or writes, in a step on `pool`.
    const fn pool(self, pool: &'static str) -> &'static str {
        match self {
            Self::SystemPool => "system",
            _ => pool,
        }
    }

    /// The first of them that the operator makes.
    fn matcher(self, step: Step) -> Matcher {
        let pool = step.pool();
        let (method, path) = match self {
            Self::Cluster => ("GET", "/managedClusters/local".to_owned()),
            Self::Pool | Self::SystemPool => ("GET", format!("/agentPools/{}", self.pool(pool))),
            Self::Upgrades => ("GET", format!("/agentPools/{pool}/upgradeProfiles/default")),
            Self::Write => (step.method(), step.path()),
        };
        Matcher::method(method).path_ends_with(&path).user_agent(OPERATOR)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Throttled,
    ThrottledWithoutHint,
    InternalError,
    BadGateway,
    BadGatewayPage,
    GatewayTimeout,
    DropBefore,
    DropAfter,
    Reset,
    Delay,
    DelayPastTimeout,
    Busy,
    EtagMismatch,
    PreconditionFailed,
    Forbidden,
    ForeignChange,
    OperationFails,
    Stale,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Throttled,
        Self::ThrottledWithoutHint,
        Self::InternalError,
        Self::BadGateway,
        Self::BadGatewayPage,
        Self::GatewayTimeout,
        Self::DropBefore,
        Self::DropAfter,
        Self::Reset,
        Self::Delay,
        Self::DelayPastTimeout,
        Self::Busy,
        Self::EtagMismatch,
        Self::PreconditionFailed,
        Self::Forbidden,
        Self::ForeignChange,
        Self::OperationFails,
        Self::Stale,
    ];

    const fn words(self) -> &'static str {
        match self {
            Self::Throttled => "429 with Retry-After",
            Self::ThrottledWithoutHint => "429 without Retry-After",
            Self::InternalError => "500",
            Self::BadGateway => "502",
            Self::BadGatewayPage => "502 with an HTML page",
            Self::GatewayTimeout => "504",
            Self::DropBefore => "closed before it is handled",
            Self::DropAfter => "closed after it is handled",
            Self::Reset => "reset before it is handled",
            Self::Delay => "a delay",
            Self::DelayPastTimeout => "a delay past the timeout",
            Self::Busy => "409 OperationNotAllowed",
            Self::EtagMismatch => "409 EtagMismatch",
            Self::PreconditionFailed => "412",
            Self::Forbidden => "403",
            Self::ForeignChange => "a change by somebody else just before it",
            Self::OperationFails => "the operation fails",
            Self::Stale => "a stale answer",
        }
    }

    /// Whether it makes sense at a request of a step.
    fn fits(self, request: Request, step: Step) -> bool {
        match self {
            // They are read for upgrades, and are no pool.
            _ if request == Request::Upgrades && (!step.upgrades() || self == Self::Stale) => false,
            // Settings of upgrades go whole, so that an old picture of them goes back.
            Self::Stale if step == Step::UpgradeSettings && request == Request::Pool => false,
            // There is no older state of a pool that is not there.
            Self::Stale if step == Step::Create && request == Request::Pool => false,
            Self::EtagMismatch | Self::PreconditionFailed | Self::OperationFails => request == Request::Write,
            Self::Stale => request != Request::Write,
            _ => true,
        }
    }
}

#[derive(Clone, Copy)]
struct Fault {
    setting: Setting,
    step: Step,
    request: Request,
    kind: Kind,
}

/// The whole table.
fn all(setting: Setting) -> Vec<Fault> {
    let of_request = |step, request: Request| {
        let kinds = Kind::ALL.into_iter().filter(move |kind| kind.fits(request, step));
        kinds.map(move |kind| Fault { setting, step, request, kind })
    };
    let of_step = |step| Request::ALL.into_iter().flat_map(move |request| of_request(step, request));
    Step::ALL.into_iter().flat_map(of_step).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at {}", self.step, self.kind.words(), self.request.words())
    }
}

impl Case for Fault {
    fn step(&self) -> Step {
        self.step
    }

    fn row(&self) -> &'static str {
        self.kind.words()
    }

    fn column(&self) -> &'static str {
        self.request.words()
    }

    async fn tell(self, scene: &mut Scene, number: usize) -> anyhow::Result<()> {
        let change = self.step.begin(scene, number).await?;
        let pool = self.step.pool();
        let (before, sequence) = (scene.status(pool).await?, scene.bed.emulator.requests());
        let foreign = self.foreign(scene, number);
        self.happens(scene, &change, foreign.as_ref()).await?;
        let after = change.is_made(scene).await?;
        until("every write to be handled", || {
            let lost = matches!(self.kind, Kind::DropBefore | Kind::Reset);
            lost || scene.bed.emulator.journal_after(sequence).writes().iter().all(|write| write.status.is_some())
        })
        .await?;
        scene.bed.emulator.idle().await;
        change.is_all_that_changed(scene, foreign.as_ref())?;
        let (effects, sent) = self.most_writes();
        bounded(scene, sequence, pool, effects, sent)?;
        let Some(after) = after else { return Ok(()) };
        let outcomes = outcomes(&before, &after);
        let failed = outcomes.iter().any(|outcome| outcome == "Failed");
        ensure!(failed == (self.kind == Kind::OperationFails), "the history says {outcomes:?}");
        let last = outcomes.last().map_or("nothing", String::as_str);
        ensure!(last == "Succeeded", "the history says {outcomes:?}");
        Ok(())
    }
}

impl Fault {
    /// How many writes may have an effect, and how many may be sent.
    fn most_writes(self) -> (usize, usize) {
        match (self.kind, self.request) {
            // The one that makes it, and the one that has the failed operation made again.
            (Kind::OperationFails, _) => (2, 3),
            // The write that was given up is handled after the one that took its place: without an eTag it repeats it.
            (Kind::DelayPastTimeout, Request::Write) if !self.setting.has_etags() || self.step.is_unconditional() => {
                (2, 2)
            }
            _ => (1, 2),
        }
    }

    fn foreign(self, scene: &Scene, number: usize) -> Option<Foreign> {
        let pool = self.request.pool(self.step.pool());
        let changed = match self.kind {
            Kind::ForeignChange => self.step.changed_before(),
            Kind::Stale if self.request != Request::Cluster => pool,
            _ => return None,
        };
        Some(surge_of(scene, changed, number))
    }

    /// Asks for the step, and lets the fault happen.
    async fn happens(self, scene: &Scene, change: &Change, foreign: Option<&Foreign>) -> anyhow::Result<()> {
        let (pool, emulator) = (self.step.pool(), &scene.bed.emulator);
        if (self.kind, self.request) == (Kind::Stale, Request::Cluster) {
            return self.lags(scene, change).await;
        }
        let fault = if self.kind == Kind::OperationFails {
            emulator.operation(pool).fail_as(OperationFailure::AllocationFailed, Some(1))
        } else {
            let action = self.action(scene, foreign).await;
            emulator.fault(self.request.matcher(self.step), action, Some(1))
        };
        change.ask(scene).await?;
        until("the fault to have happened", || fault.count() == 1).await
    }

    /// The cluster is read as it was before the step until it has been read three times after the write.
    async fn lags(self, scene: &Scene, change: &Change) -> anyhow::Result<()> {
        let (sequence, emulator) = (scene.bed.emulator.requests(), &scene.bed.emulator);
        let stale = emulator.stale_clusters();
        change.ask(scene).await?;
        until("the cluster to be read after the write", || {
            let journal = emulator.journal_after(sequence).by_user_agent(OPERATOR);
            let since = journal.iter().skip_while(|exchange| !exchange.is_write());
            since.filter(|exchange| exchange.resource_name() == "local").count() >= 3
        })
        .await?;
        drop(stale);
        Ok(())
    }

    /// What happens to the request.
    async fn action(self, scene: &Scene, foreign: Option<&Foreign>) -> Action {
        let error = |status: u16, code: &str| Action::Answer(Canned::error(status, code, "laid by a test"));
        match self.kind {
            Kind::Throttled => Action::Answer(Canned::throttled(1)),
            Kind::ThrottledWithoutHint => error(429, "Throttled"),
            Kind::InternalError => Action::Answer(Canned::internal_error()),
            Kind::BadGateway => Action::Refuse(RequestFailure::BadGatewayConnection),
            Kind::BadGatewayPage => {
                Action::Answer(Canned::text(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"))
            }
            Kind::GatewayTimeout => Action::Refuse(RequestFailure::GatewayTimeout),
            Kind::DropBefore => Action::DropBefore,
            Kind::DropAfter => Action::DropAfter,
            Kind::Reset => Action::Reset,
            Kind::Busy => error(409, "OperationNotAllowed"),
            Kind::EtagMismatch => Action::Refuse(RequestFailure::EtagMismatch),
            Kind::PreconditionFailed => error(412, "PreconditionFailed"),
            Kind::Forbidden => Action::RoleMissing,
            // So long that the next write comes before it, also on a slow machine.
            Kind::DelayPastTimeout => Action::Delay(TIMEOUT * 6),
            Kind::Delay | Kind::OperationFails => Action::Delay(Duration::from_millis(500)),
            Kind::ForeignChange | Kind::Stale => match foreign {
                Some(foreign) if self.kind == Kind::Stale => stale_answer(scene, foreign).await,
                Some(foreign) => Action::AfterForeign(write_by_somebody_else(scene, foreign)),
                None => Action::Delay(Duration::ZERO),
            },
        }
    }
}

/// The pool as it is now, which somebody else then changes.
async fn stale_answer(scene: &Scene, foreign: &Foreign) -> Action {
    let emulator = &scene.bed.emulator;
    let old = emulator.pool(foreign.0).unwrap_or_default();
    let _ = emulator.as_someone_else(&write_by_somebody_else(scene, foreign)).await;
    emulator.idle().await;
    Action::Answer(Canned::json(200, &old))
}
