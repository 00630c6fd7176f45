//! AKS's own upgrades: the control plane first, then each pool by a PUT, as somebody else. Never upgrades a node itself.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::admin::read;
use super::foreign::in_background;
use super::reply::Reply;
use crate::service::refusal::Refusal;
use crate::service::state::{AutoUpgrade, is_terminal};
use crate::service::{State, syntax};
use crate::{Error, ForeignRequest};

/// How long the control plane takes; assumed.
const CONTROL_PLANE: Duration = Duration::from_mins(5);
const API_VERSION: &str = "2025-10-01";
/// How the journal shows its PUTs.
const AGENT: &str = "aks-auto-upgrade";

/// An upgrade, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    kubernetes_version: String,
}

/// The answer to a request that AKS is to upgrade the cluster.
pub(super) fn order(app: &App, body: &[u8]) -> Result<Reply, Refusal> {
    let request: Request = read(body)?;
    begin(app, &request.kubernetes_version).map_err(|error| Refusal::content(&error.to_string()))?;
    Ok(Reply::json(StatusCode::ACCEPTED, &json!({"kubernetesVersion": request.kubernetes_version})))
}

/// Begins to upgrade the cluster, which is busy until its control plane has the version, and then its pools.
pub(crate) fn begin(app: &App, version: &str) -> Result<(), Error> {
    app.service.try_change(|state| note(state, version))?;
    resume(app);
    Ok(())
}

fn note(state: &mut State, version: &str) -> Result<(), Error> {
    let wrong = |fix: &str| Err(Error::setting("kubernetesVersion", version, fix));
    if syntax::minor(version).is_none() || version.split('.').count() != 3 {
        return wrong("give a version with its patch, such as 1.34.2");
    }
    if state.auto_upgrade.is_some() {
        return wrong("wait until the upgrade that runs has ended");
    }
    let started = state.time;
    let Some(cluster) = state.clusters.values_mut().next() else {
        return wrong("there is no cluster");
    };
    if !syntax::is_older(cluster.text("currentKubernetesVersion"), version) {
        return wrong(&format!("give one above the cluster's {}", cluster.text("currentKubernetesVersion")));
    }
    if !is_terminal(cluster.text("provisioningState")) {
        return wrong("wait until the cluster's own operation has ended");
    }
    cluster.set("provisioningState", "Upgrading");
    state.auto_upgrade = Some(AutoUpgrade { version: version.to_owned(), started });
    Ok(())
}

/// Goes on with an upgrade that has not ended, if there is one.
pub(crate) fn resume(app: &App) {
    let Some(upgrade) = app.service.read(|state| state.auto_upgrade.clone()) else {
        return;
    };
    let app = app.clone();
    in_background(&app.service.clone(), async move {
        let duration = app.service.settings.scaled(CONTROL_PLANE);
        app.service.clock.sleep_until(upgrade.started, duration).await;
        for pool in raise(&app, &upgrade) {
            upgrade_pool(&app, &pool, &upgrade.version).await;
        }
        app.service.change(|state| state.auto_upgrade = None);
    });
}

/// Gives the control plane its version; the ids of the pools in their order.
fn raise(app: &App, upgrade: &AutoUpgrade) -> Vec<String> {
    app.service.change(|state| {
        let Some(cluster) = state.clusters.values_mut().next() else {
            return Vec::new();
        };
        if cluster.text("currentKubernetesVersion") != upgrade.version {
            cluster.set("currentKubernetesVersion", upgrade.version.as_str());
            cluster.set("kubernetesVersion", upgrade.version.as_str());
            cluster.set("provisioningState", "Succeeded");
        }
        cluster.pools.iter().map(|pool| pool.name.clone()).collect()
    })
}

/// Upgrades a pool as soon as nothing else runs on it, and waits for its end. A pool that is gone or has the version is
/// left alone, and a refusal is left in the journal.
async fn upgrade_pool(app: &App, pool: &str, version: &str) {
    loop {
        let quiet = app.service.wait_until(|state| provisioning_state(state, pool).is_none_or(|s| is_terminal(&s)));
        app.service.clock.apart(quiet).await;
        let id = app.service.read(|state| {
            let cluster = state.clusters.values().next()?;
            let stored = cluster.pool(pool)?;
            (stored.text("currentOrchestratorVersion") != version).then(|| cluster.id.clone())
        });
        let Some(id) = id else {
            return;
        };
        let target = format!("{id}/agentPools/{pool}?api-version={API_VERSION}");
        let mut put = ForeignRequest::new("PUT", &target, Some(body(version)));
        AGENT.clone_into(&mut put.user_agent);
        // Somebody's PUT may come between the look and this one.
        let busy = app.foreign(&put).await.is_some_and(|exchange| exchange.status == Some(409));
        if busy && app.service.read(|state| provisioning_state(state, pool).is_some_and(|s| !is_terminal(&s))) {
            continue;
        }
        let quiet = app.service.wait_until(|state| provisioning_state(state, pool).is_none_or(|s| is_terminal(&s)));
        return app.service.clock.apart(quiet).await;
    }
}

fn provisioning_state(state: &State, pool: &str) -> Option<String> {
    let pool = state.clusters.values().next()?.pool(pool)?;
    Some(pool.text("provisioningState").to_owned())
}

fn body(version: &str) -> Value {
    json!({"properties": {"orchestratorVersion": version}})
}
