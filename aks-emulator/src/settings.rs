//! Settings of the emulator itself: where it listens, how fast its time runs, what it does where the service was
//! never recorded. Never anything about a cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::service::preconditions;
use crate::{Authentication, Chaos, Error, Tls};

/// How the emulator runs. `Settings::default()` is the service in real time on a free loopback port, in memory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base of the URLs in answers (`Azure-AsyncOperation`, `Location`, `nextLink`). By default the `Host` of each
    /// request, so that a client behind a reverse proxy that keeps `Host` is sent back through it.
    pub public_url: Option<Url>,
    /// Recorded durations are divided by this: 1 is the service's own pace, 1000 makes a create take 0.2 s.
    pub time_scale: f64,
    /// Time stands still and is moved through [`Emulator::clock`](crate::Emulator::clock) or `POST /admin/clock`. It
    /// starts at the real time, or where the state file stopped. What real nodes take is real time all the same.
    pub manual_clock: bool,
    /// Where the state is kept. A file that exists is resumed, the operations in flight included; the cluster
    /// description given at start is then ignored.
    pub state_file: Option<PathBuf>,
    /// Pools on one page of a list.
    pub page_size: usize,
    /// Api-versions to accept beside the generally available ones, such as a preview.
    pub api_versions_also: Vec<String>,
    /// How long new nodes may take to report Ready before the operation fails with `NodesNotReady`, in real time.
    /// By default the 45 minutes of the service divided by the scale, but not under 30 s.
    pub ready_timeout: Option<Duration>,
    /// How long one node may take to drain before the operation fails with `PodDrainFailure`, in real time. By
    /// default the 10 minutes of the service, or what an upgrade's pool says, divided by the scale, but not under 5 s.
    pub drain_timeout: Option<Duration>,
    /// Request budgets: 1 refuses with 429 `Throttled` what exceeds the published ones, which fill at the pace of
    /// `time_scale`; 2 lets them fill twice as fast. `None`, the default, counts nothing.
    pub request_budgets: Option<f64>,
    /// Whether autoscaled pools are moved, as the cluster autoscaler would. On by default, for nodes with pods; without
    /// Kubernetes there is nothing to look at.
    pub autoscaler: bool,
    /// Whether an admission rule keeps everybody else from editing, through Kubernetes, the labels and taints that nodes
    /// have from their pools. On by default, for nodes on an API server; it binds all users but the emulator's own.
    pub admission_rule: bool,
    /// Random faults on requests, the same ones for the same seed and sequence of requests. A fault that was laid
    /// comes before.
    pub chaos: Option<Chaos>,
    /// `Retry-After` of accepted operations and of those that run, in whole seconds. `None` by default, as recorded;
    /// Azure's libraries then wait 30 s between two looks, however fast the operation was.
    pub retry_after: Option<u64>,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// Whether requests need an access token.
    pub authentication: Authentication,
    /// How long access tokens are valid, in real time, as clients renew them by their own clock. An hour by default.
    pub token_lifetime: Duration,
    /// What to do where the service's behaviour is not confirmed.
    pub switches: Switches,
}

/// Facts about the service that nobody has recorded, or on which its manuals contradict each other. A client that
/// must be safe is tested on both positions of each.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact about the service, named for the claim that it makes"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Pools carry an `eTag` for api-versions since 2024-09-01. `If-Match` and `If-None-Match` are checked either way.
    /// Off by default: recorded answers of generally available
    /// versions have none, although release notes say otherwise.
    pub etags: bool,
    /// A PUT keeps non-empty `nodeLabels`, `nodeTaints` and `tags` that it omits. On by default; every recorded
    /// omission was retained, but those collections were empty.
    pub omission_retains_collections: bool,
    /// `count` in a PUT is applied to an autoscaled pool. Off by default: the live count stays.
    pub count_applies_when_autoscaled: bool,
    /// Deleting a pool drains its nodes first, and may fail with `PodDrainFailure`. On by default; one manual says
    /// so, another denies it.
    pub delete_drains: bool,
    /// Scaling in moves pods through the eviction API, which respects disruption budgets. On by default; when off,
    /// pods are deleted without asking.
    pub scale_in_asks_budgets: bool,
    /// Machines of a system pool are deleted by name only if the disruption budgets of add-ons allow it. On by
    /// default: release notes say so, but not how it is checked.
    pub delete_machines_asks_budgets: bool,
    /// A list ends with a `nextLink` to an empty page even when all pools fitted on the first. On by default, as
    /// recorded in 2025; recordings of 2023 have no link.
    pub list_ends_with_empty_page: bool,
    /// Operations that run or succeeded carry an `error` left over from an earlier try. Off by default: recorded, but
    /// for few; a client must decide on `status` alone.
    pub leftover_errors: bool,
    /// The URLs of operations answer 403, as they might for a role that lacks `locations/operations/read`. Off by
    /// default: the signature in the URL is believed to be enough.
    pub operation_urls_forbidden: bool,
    /// `currentOrchestratorVersion` and `nodeImageVersion` change when every node has the new ones. On by default;
    /// when off, they change with the PUT, and only the nodes tell that an upgrade stopped half-way.
    pub versions_wait_for_nodes: bool,
    /// A pool may be upgraded over several minors at once, as long as the control plane has the version. Off by
    /// default: reported refusals say one at a time, but are older than the skew of three that is allowed today.
    pub node_pools_skip_minors: bool,
    /// Since 2026-04-01 a PUT that only repeats the pool's `nodeImageVersion` reimages its nodes. Off by default: the
    /// manual says that setting it triggers a rollback, but not what the same value does.
    pub repeated_node_image_reimages: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            etags: false,
            omission_retains_collections: true,
            count_applies_when_autoscaled: false,
            delete_drains: true,
            scale_in_asks_budgets: true,
            delete_machines_asks_budgets: true,
            list_ends_with_empty_page: true,
            leftover_errors: false,
            operation_urls_forbidden: false,
            versions_wait_for_nodes: true,
            node_pools_skip_minors: false,
            repeated_node_image_reimages: false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            time_scale: 1.0,
            manual_clock: false,
            state_file: None,
            page_size: 100,
            api_versions_also: Vec::new(),
            ready_timeout: None,
            drain_timeout: None,
            request_budgets: None,
            autoscaler: true,
            admission_rule: true,
            chaos: None,
            retry_after: None,
            tls: None,
            authentication: Authentication::default(),
            token_lifetime: Duration::from_hours(1),
            switches: Switches::default(),
        }
    }
}

impl Settings {
    /// Settings whose time runs `scale` times as fast as the service's.
    #[must_use]
    pub fn with_time_scale(scale: f64) -> Self {
        Self { time_scale: scale, ..Self::default() }
    }

    /// A recorded duration, at this emulator's pace.
    #[must_use]
    pub fn scaled(&self, recorded: Duration) -> Duration {
        recorded.div_f64(self.time_scale)
    }

    pub(crate) fn ready_timeout(&self) -> Duration {
        self.ready_timeout.unwrap_or_else(|| self.scaled(Duration::from_mins(45)).max(Duration::from_secs(30)))
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        self.drain_timeout.unwrap_or_else(|| self.scaled(Duration::from_mins(10)).max(Duration::from_secs(5)))
    }

    /// The same for an upgrade of a pool whose `drainTimeoutInMinutes` this is.
    pub(crate) fn upgrade_drain_timeout(&self, minutes: u64) -> Duration {
        let scaled = || self.scaled(Duration::from_mins(minutes)).max(Duration::from_secs(5));
        self.drain_timeout.unwrap_or_else(scaled)
    }

    /// Whether answers of an api-version carry eTags.
    pub(crate) fn shows_etags(&self, api_version: &str) -> bool {
        self.switches.etags && preconditions::known_to(api_version)
    }

    /// How many times as fast as published the request budgets fill.
    pub(crate) fn budget_pace(&self) -> Option<f64> {
        self.request_budgets.map(|factor| factor * self.time_scale)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        // Beyond the bounds a duration overflows or every operation ends at once, neither of which is wanted.
        if !(self.time_scale.is_finite() && (0.001..=1e9).contains(&self.time_scale)) {
            return Err(Error::setting(
                "time_scale",
                self.time_scale,
                "give a number from 0.001 to 1000000000, where 1 is real time",
            ));
        }
        self.chaos.map_or(Ok(()), Chaos::check)?;
        if self.page_size == 0 {
            return Err(Error::setting("page_size", 0, "give at least 1"));
        }
        let lifetime = self.token_lifetime.as_secs();
        if !(1..=86_400).contains(&lifetime) {
            return Err(Error::setting("token_lifetime", lifetime, "give 1 to 86400 seconds"));
        }
        if let Some(factor) = self.request_budgets
            && !(factor.is_finite() && (0.001..=1e9).contains(&factor))
        {
            return Err(Error::setting("request_budgets", factor, "give a number from 0.001 to 1000000000, or none"));
        }
        Ok(())
    }
}
