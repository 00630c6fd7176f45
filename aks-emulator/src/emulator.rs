//! The emulator as a value: starts, serves, stops, and gives tests their handles. Never answers a request itself.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

use crate::directory::Directory;
use crate::failures::Cause;
use crate::http::{self, App, Budgets};
use crate::journal::Recorder;
use crate::nodes::names;
use crate::rules::Stage;
use crate::service::operation::CLUSTER;
use crate::service::store::Store;
use crate::service::{Service, State, autoscaler, document, runner};
use crate::tls::Server;
use crate::{
    Action, Canned, Cluster, ClusterSpec, Error, Exchange, Fault, ForeignRequest, Hold, Journal, ManualClock, Matcher,
    NodeFault, NodeSide, NodeTrouble, OperationFailure, Permissions, Role, Settings, StaleClusters,
};

/// A running emulator of one cluster. Dropping it stops it as [`Emulator::stop`] does, without waiting.
pub struct Emulator {
    service: Arc<Service>,
    app: App,
    endpoint: Url,
    cluster_id: String,
    authority: Option<String>,
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
        let tls = tls(&settings, &address.ip().to_string())?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Url::parse(&format!("{scheme}://{address}/"))
            .map_err(|error| Error::setting("listen", address, &error.to_string()))?;

        let store = settings.state_file.as_deref().map(Store::new);
        let state = initial_state(store.as_ref(), &cluster)?;
        let cluster_id = state.clusters.values().next().map_or_else(|| cluster.id(), |cluster| cluster.id.clone());
        let directory = Arc::new(Directory::new(&settings, &cluster, nodes.clone())?);
        let service = Arc::new(Service::new(settings, state, store, nodes));
        runner::create_initial_nodes(&service).await?;
        service.wake_nodes().await.map_err(|source| Error::Nodes { source })?;
        service.begin_protection().await?;
        runner::resume(&service);
        autoscaler::start(&service);

        let recorder = Arc::new(Recorder::default());
        let budgets = Arc::new(Budgets::new(service.settings.budget_pace(), service.clock.now()));
        let (admin, nodes) = (Arc::default(), Arc::default());
        let app = App { service: service.clone(), recorder, budgets, admin, directory, nodes };
        http::auto_upgrade::resume(&app);
        let (acceptor, authority) = tls.map(|tls| (tls.acceptor, tls.authority)).unzip();
        service.tasks.spawn(http::serve(listener, acceptor, app.clone()));
        tracing::info!(%endpoint, cluster = cluster_id, "the emulator listens");
        Ok(Self { service, app, endpoint, cluster_id, authority })
    }

    /// Base URL of the ARM API, such as `http://127.0.0.1:41234/`.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Certificate, as PEM, of the authority that vouches for the endpoint, with [`Settings::tls`].
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// ARM id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The clock, to move it; `None` unless [`Settings::manual_clock`] is set.
    #[must_use]
    pub fn clock(&self) -> Option<ManualClock<'_>> {
        ManualClock::of(&self.service)
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

    /// The name that the node of a pool with this number has, whether there is one or not.
    #[must_use]
    pub fn node_name(&self, pool: &str, number: u64) -> String {
        names::node(&names::scale_set(self.cluster_id(), pool), number)
    }

    /// The requests so far, in the order of arrival. The oldest are forgotten when all take more than 64 MiB.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.app.recorder.journal()
    }

    /// Those that came after the one with this number. In a long test the whole journal takes long to copy.
    #[must_use]
    pub fn journal_after(&self, sequence: u64) -> Journal {
        self.app.recorder.last(sequence, usize::MAX)
    }

    /// How many requests have arrived so far, which is the number of the last one.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.app.recorder.count()
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

    /// What each identity may do at ARM, what it has done with it, and what it was denied, in the order of the client ids.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permissions> {
        self.app.directory.permissions()
    }

    /// Lets an identity do what a role allows, instead of what it may now. It counts at once, unlike in Azure. Whether there
    /// is an identity with this client id.
    #[must_use]
    pub fn grant(&self, client_id: &str, role: &Role) -> bool {
        self.app.directory.grant(client_id, role.actions.clone(), role.not_actions.clone())
    }

    /// Makes a request as somebody else, past all holds and faults. The exchange with its answer; `None` if the method
    /// or the target is malformed.
    #[must_use]
    pub async fn as_someone_else(&self, request: &ForeignRequest) -> Option<Exchange> {
        self.app.foreign(request).await
    }

    /// Makes a request as somebody else after this long at the emulator's pace, unless it stops before. Whether it is
    /// well formed; one that is not is never made.
    #[must_use]
    pub fn as_someone_else_later(&self, request: &ForeignRequest, after: Duration) -> bool {
        let well_formed = request.parts().is_some();
        if well_formed {
            http::later(&self.app, request.clone(), after);
        }
        well_formed
    }

    /// Lets AKS upgrade the cluster by itself: the control plane takes 5 minutes at the emulator's pace, during which
    /// no pool can be changed, and then each pool is upgraded by a PUT of `aks-auto-upgrade`, one after the other.
    ///
    /// # Errors
    /// [`Error::Setting`] for a version that is malformed or not above the cluster's, or while the cluster is busy.
    pub fn auto_upgrade(&self, kubernetes_version: &str) -> Result<(), Error> {
        http::auto_upgrade::begin(&self.app, kubernetes_version)
    }

    /// Answers a request without a connection, as if it had come over one: the journal, holds, faults and `/admin/`
    /// included. `None` where a fault closes the connection without an answer.
    pub async fn request(&self, request: Request<Vec<u8>>) -> Option<Response<Vec<u8>>> {
        http::request(self.app.clone(), request).await
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

    /// The operations of the whole cluster, which are starts and stops.
    #[must_use]
    pub fn cluster_operation(&self) -> Operations<'_> {
        self.operation(CLUSTER)
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

/// The operations of one pool or of the cluster, now and later.
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
        let cause = Cause::Given { code: code.to_owned(), message: message.to_owned() };
        self.service.rules.fail_operations(&self.pool, cause, times)
    }

    /// Fails them as the service does, with its code and text; otherwise as [`Operations::fail`].
    pub fn fail_as(&self, failure: OperationFailure, times: Option<usize>) -> Fault {
        self.service.rules.fail_operations(&self.pool, Cause::Known(failure), times)
    }

    /// Fails those that lack more nodes than `after_nodes` as the service does, once that many are created; `times` at
    /// most, or as long as the result lives. Operations that add fewer nodes are not concerned.
    pub fn fail_half_way(&self, failure: OperationFailure, after_nodes: usize, times: Option<usize>) -> Fault {
        self.service.rules.fall_short(&self.pool, Cause::Known(failure), after_nodes, times)
    }

    /// Returns when none of this pool runs.
    pub async fn finished(&self) {
        self.service
            .wait_until(|state| !state.running().any(|operation| operation.subject().eq_ignore_ascii_case(&self.pool)))
            .await;
    }
}

/// What HTTPS needs, if it is wanted.
fn tls(settings: &Settings, address: &str) -> Result<Option<Server>, Error> {
    let Some(tls) = &settings.tls else {
        return Ok(None);
    };
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1", address].map(str::to_owned).to_vec();
    names.extend(tls.names.iter().cloned());
    names.extend(settings.public_url.as_ref().and_then(Url::host_str).map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    Ok(Some(Server::new(tls.folder.as_deref(), names)?))
}

fn initial_state(store: Option<&Store>, spec: &ClusterSpec) -> Result<State, Error> {
    let state = match store.map(Store::load).transpose()?.flatten() {
        Some(state) => state,
        None => State {
            clusters: [(spec.id().to_ascii_lowercase(), document::cluster_from(spec)?)].into(),
            ..State::default()
        },
    };
    // Now, because later a file that cannot be written is only logged.
    if let Some(store) = store {
        store.save(&state)?;
    }
    Ok(state)
}
