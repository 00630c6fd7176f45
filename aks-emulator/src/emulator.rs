//! The emulator as a value: starts, serves, stops, and gives tests their handles. Never answers a request itself.

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

use crate::faults::Cause;
use crate::http::{self, Admin, App, Budgets};
use crate::journal::Recorder;
use crate::rules::Stage;
use crate::service::store::Store;
use crate::service::{Service, State, autoscaler, document, runner};
use crate::{
    Action, Canned, Cluster, ClusterSpec, Error, Exchange, Failure, Fault, ForeignRequest, Hold, Journal, Matcher,
    NodeFault, NodeSide, NodeTrouble, Settings, StaleClusters,
};

/// A running emulator of one cluster. Dropping it stops it as [`Emulator::stop`] does, without waiting.
pub struct Emulator {
    service: Arc<Service>,
    app: App,
    endpoint: Url,
    cluster_id: String,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Emulator")
            .field("endpoint", &self.endpoint.as_str())
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts to serve. The initial nodes exist when this returns, though they need not be Ready yet. With a state
    /// file that exists, that state is resumed instead and operations in flight go on.
    ///
    /// # Errors
    /// [`Error`] for a setting or description that cannot be used, an address that is taken, a state file that is
    /// damaged, or nodes that cannot be created.
    pub async fn start(settings: Settings, cluster: ClusterSpec, nodes: Arc<dyn NodeSide>) -> Result<Self, Error> {
        settings.check()?;
        cluster.check()?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|source| Error::Listen { address: settings.listen, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address: settings.listen, source })?;
        let endpoint = Url::parse(&format!("http://{address}/"))
            .map_err(|error| Error::setting("listen", address, &error.to_string()))?;

        let store = settings.state_file.as_deref().map(Store::new);
        let state = initial_state(store.as_ref(), &cluster)?;
        let cluster_id = state.clusters.values().next().map_or_else(|| cluster.id(), |cluster| cluster.id.clone());
        let service = Arc::new(Service::new(settings, state, store, nodes));
        runner::create_initial_nodes(&service).await?;
        service.wake_nodes().await.map_err(|source| Error::Nodes { source })?;
        service.begin_protection().await?;
        runner::resume(&service);
        autoscaler::start(&service);

        let recorder = Arc::new(Recorder::default());
        let budgets = Arc::new(Budgets::new(service.settings.budget_pace()));
        let app = App { service: service.clone(), recorder, budgets, admin: Arc::new(Admin::default()) };
        service.tasks.spawn(http::serve(listener, app.clone()));
        tracing::info!(%endpoint, cluster = cluster_id, "the emulator listens");
        Ok(Self { service, app, endpoint, cluster_id })
    }

    /// Base URL of the ARM API, such as `http://127.0.0.1:41234/`.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// ARM id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// What a GET of a pool would answer now, or `None` if there is no such pool.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<Value> {
        let etags = self.service.settings.switches.etags;
        self.service.read(|state| {
            let cluster = state.clusters.values().next()?;
            let pool = cluster.pool(name)?;
            Some(document::pool(cluster, pool, etags))
        })
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.app.recorder.journal()
    }

    /// Holds requests that match, before they are handled, from now on.
    pub fn hold(&self, matcher: Matcher) -> Hold {
        self.service.rules.hold(matcher)
    }

    /// Answers requests that match instead of handling them; `times` at most, or as long as the result lives. A
    /// request that is also held is answered after its release.
    pub fn respond(&self, matcher: Matcher, answer: Canned, times: Option<usize>) -> Fault {
        self.fault(matcher, Action::Answer(answer), times)
    }

    /// Lets something else happen to requests that match; `times` at most, or as long as the result lives. The first
    /// fault that matches counts, and comes after the holds.
    pub fn fault(&self, matcher: Matcher, action: Action, times: Option<usize>) -> Fault {
        self.service.rules.fault(matcher, action, times)
    }

    /// From now on GETs of the managed cluster answer what it is now, until the result is dropped. GETs of pools are
    /// not affected, as it is the cluster's cache that lags.
    pub fn stale_clusters(&self) -> StaleClusters {
        self.service.stale.freeze(self.service.read(|state| state.clusters.clone()))
    }

    /// Makes a request as somebody else, past all holds and faults. The exchange with its answer; `None` if the method
    /// or the target is malformed.
    #[must_use]
    pub fn as_someone_else(&self, request: &ForeignRequest) -> Option<Exchange> {
        self.app.foreign(request)
    }

    /// Lets something be wrong with the nodes of a pool, whatever has them created or written, until the result is
    /// dropped.
    pub fn node_fault(&self, pool: &str, trouble: NodeTrouble) -> NodeFault {
        self.service.lay_node_fault(pool, trouble)
    }

    /// The operations of a pool, to hold them.
    #[must_use]
    pub fn operation(&self, pool: &str) -> Operations<'_> {
        Operations { service: &self.service, pool: pool.to_owned() }
    }

    /// Changes what is stored, without a request or an operation: a back door for tests.
    pub fn edit<T>(&self, edit: impl FnOnce(&mut Cluster) -> T) -> Option<T> {
        self.service.change(|state| state.clusters.values_mut().next().map(edit))
    }

    /// Returns when no operation runs.
    pub async fn idle(&self) {
        self.service.wait_until(|state| state.running().next().is_none()).await;
    }

    /// Stops to serve and leaves running operations where they are; with a state file the next start resumes them.
    pub async fn stop(&self) {
        self.service.stopping.cancel();
        self.service.tasks.close();
        self.service.tasks.wait().await;
        self.service.end_protection().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.service.stopping.cancel();
    }
}

/// The operations of one pool, now and later.
#[derive(Clone)]
pub struct Operations<'a> {
    service: &'a Service,
    pool: String,
}

impl std::fmt::Debug for Operations<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Operations({})", self.pool)
    }
}

impl Operations<'_> {
    /// Keeps them running after their nodes are done, until released.
    pub fn hold(&self) -> Hold {
        self.service.rules.hold_operation(&self.pool, Stage::BeforeEnd)
    }

    /// Keeps them from touching any node, until released.
    pub fn hold_before_nodes(&self) -> Hold {
        self.service.rules.hold_operation(&self.pool, Stage::BeforeNodes)
    }

    /// Fails them with this code and message when their nodes are done; `times` at most, or as long as the result
    /// lives.
    pub fn fail(&self, code: &str, message: &str, times: Option<usize>) -> Fault {
        self.service.rules.fail_operations(&self.pool, code, message, times)
    }

    /// Fails those that lack more nodes than `after_nodes` for want of quota or capacity, once that many are created;
    /// `times` at most, or as long as the result lives. Operations that add fewer nodes are not concerned.
    pub fn fail_with(&self, failure: Failure, after_nodes: usize, times: Option<usize>) -> Fault {
        self.service.rules.fall_short(&self.pool, Cause::Preset(failure), after_nodes, times)
    }

    /// Returns when none of this pool runs.
    pub async fn finished(&self) {
        self.service
            .wait_until(|state| !state.running().any(|operation| operation.pool.eq_ignore_ascii_case(&self.pool)))
            .await;
    }
}

fn initial_state(store: Option<&Store>, spec: &ClusterSpec) -> Result<State, Error> {
    if let Some(state) = store.map(Store::load).transpose()?.flatten() {
        return Ok(state);
    }
    let mut state = State::default();
    state.clusters.insert(spec.id().to_ascii_lowercase(), document::cluster_from(spec)?);
    // Now, because later a file that cannot be written is only logged.
    if let Some(store) = store {
        store.save(&state)?;
    }
    Ok(state)
}
