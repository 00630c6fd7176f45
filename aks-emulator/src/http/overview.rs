//! What a person wants to see: clusters, pools, nodes and operations as JSON, and the page that shows them. Never
//! changes anything, and never shows what gives access, such as an operation's id.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::App;
use super::reply::Reply;
use crate::NodePool;
use crate::service::operation::Operation;
use crate::service::{Cluster, Pool, State, document, merge};

/// The page; `{nonce}` is replaced.
const PAGE: &str = include_str!("ui.html");
/// How long a look at the nodes is good for, however many pages are open.
const FRESH: Duration = Duration::from_secs(1);
/// How many operations are shown, the newest first.
const OPERATIONS: usize = 50;
/// Properties of a pool that are shown as they are.
const PROPERTIES: [&str; 12] = [
    "provisioningState",
    "powerState",
    "mode",
    "count",
    "enableAutoScaling",
    "minCount",
    "maxCount",
    "vmSize",
    "scaleSetPriority",
    "currentOrchestratorVersion",
    "orchestratorVersion",
    "nodeImageVersion",
];

/// The last look at the nodes, by pool.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<Option<(Instant, HashMap<String, Value>)>>);

impl Nodes {
    async fn look(&self, app: &App) -> HashMap<String, Value> {
        let mut seen = self.0.lock().await;
        if let Some((at, nodes)) = &*seen
            && at.elapsed() < FRESH
        {
            return nodes.clone();
        }
        let pools: Vec<NodePool> = app.service.read(|state| {
            let clusters = state.clusters.values();
            clusters.flat_map(|c| c.pools.iter().map(|pool| document::node_pool(c, pool))).collect()
        });
        let mut nodes = HashMap::new();
        for pool in pools {
            let listed = app.service.nodes_of(&pool).await;
            nodes.insert(pool.scale_set.clone(), listed.unwrap_or_else(|error| json!({"error": error.to_string()})));
        }
        *seen = Some((Instant::now(), nodes.clone()));
        nodes
    }
}

/// The answer to a GET of `/admin/state`.
pub(super) async fn state(app: &App) -> Reply {
    let nodes = app.nodes.look(app).await;
    let clock = &app.service.clock;
    let shown = app.service.read(|state| {
        json!({
            "now": clock.now(),
            "manualClock": clock.hands().is_some(),
            "timeScale": app.service.settings.time_scale,
            "clusters": state.clusters.values().map(|c| cluster(c, &nodes)).collect::<Vec<_>>(),
            "operations": operations(state),
        })
    });
    Reply::json(StatusCode::OK, &shown)
}

fn cluster(cluster: &Cluster, nodes: &HashMap<String, Value>) -> Value {
    json!({
        "id": cluster.id,
        "name": cluster.name,
        "location": cluster.location,
        "provisioningState": cluster.text("provisioningState"),
        "powerState": cluster.properties.get("powerState"),
        "kubernetesVersion": cluster.text("currentKubernetesVersion"),
        "pools": cluster.pools.iter().map(|one| pool(cluster, one, nodes)).collect::<Vec<_>>(),
    })
}

fn pool(cluster: &Cluster, pool: &Pool, nodes: &HashMap<String, Value>) -> Value {
    let mut shown = json!({
        "name": pool.name,
        "labels": merge::labels(&pool.properties),
        "taints": merge::strings(pool.get("nodeTaints")),
        "nodes": nodes.get(&document::node_pool(cluster, pool).scale_set),
    });
    for name in PROPERTIES {
        if let (Some(shown), Some(value)) = (shown.as_object_mut(), pool.get(name)) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    shown
}

fn operations(state: &State) -> Vec<Value> {
    let mut newest: Vec<&Operation> = state.operations.values().collect();
    newest.sort_by_key(|operation| std::cmp::Reverse((operation.started, &operation.id)));
    let shown = newest.into_iter().take(OPERATIONS).map(|operation| {
        json!({
            "pool": operation.pool,
            "kind": operation.kind.provisioning_state(),
            "status": operation.status,
            "started": operation.started,
            "ended": operation.ended,
            "error": operation.error.as_ref().map(crate::service::operation::OperationError::value),
        })
    });
    shown.collect()
}

/// The page, which may load nothing and run nothing but its own script.
pub(super) fn page() -> Reply {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let mut reply = Reply::empty(StatusCode::OK).with("content-security-policy", &policy);
    reply.body = PAGE.replace("{nonce}", &nonce).into();
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    reply.headers.extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    reply
}
