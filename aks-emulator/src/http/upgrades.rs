//! What a pool could be upgraded to, and the upgrade of its image. Never judges one; that is the service's.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::cluster::read;
use super::path::ClusterPath;
use super::reply::Reply;
use super::{operations, pools};
use crate::service::refusal::Refusal;
use crate::service::rolling::{self, ROLLBACK_SINCE};
use crate::service::{document, images, runner, versions};

/// The answer to a GET of `upgradeProfiles/default` of a pool. A pool that runs what the control plane runs has no
/// `upgrades` (recording 01); an older one is offered what its PUT would be accepted with.
pub(super) fn profile(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    call.service.read(|state| {
        let cluster = state.clusters.get(&at.key()).ok_or_else(|| Refusal::cluster(at.cluster, at.resource_group))?;
        let Some(pool) = cluster.pool(name) else {
            return Err(Refusal::pool(at.subscription, at.resource_group, at.cluster, name));
        };
        let (current, control_plane) =
            (pool.text("currentOrchestratorVersion"), cluster.text("currentKubernetesVersion"));
        let mut properties = Map::new();
        properties.insert("kubernetesVersion".to_owned(), json!(current));
        properties.insert("osType".to_owned(), json!(pool.text("osType")));
        let skip_minors = call.service.settings.switches.node_pools_skip_minors;
        let offered = versions::upgrades(current, control_plane, skip_minors);
        if !offered.is_empty() {
            let offered: Vec<Value> =
                offered.into_iter().map(|version| json!({"kubernetesVersion": version})).collect();
            properties.insert("upgrades".to_owned(), json!(offered));
        }
        properties.insert("latestNodeImageVersion".to_owned(), json!(images::latest(cluster, &pool.properties)));
        if call.api_version >= ROLLBACK_SINCE {
            let used = pool.recently_used.iter().map(|used| {
                json!({
                    "orchestratorVersion": used.pair.version,
                    "nodeImageVersion": used.pair.image,
                    "timestamp": used.until.to_string(),
                })
            });
            properties.insert("recentlyUsedVersions".to_owned(), used.collect());
        }
        let id = document::pool_id(cluster, pool);
        Ok(read(&json!({
            "id": format!("{id}/upgradeProfiles/default"),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": Value::Object(properties),
        })))
    })
}

/// The answer to a POST that brings a pool to the newest node image.
pub(super) fn image(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    if call.method != "POST" {
        return Err(Refusal::method(call.method));
    }
    let settings = &call.service.settings;
    let at = pools::reference(at, name);
    let accepted = call.service.try_change(|state| rolling::upgrade_image(state, settings, &at, call.etags()))?;
    runner::start(call.service, &accepted.operation.id);
    Ok(Reply::json(StatusCode::ACCEPTED, &accepted.document)
        .with("azure-asyncoperation", &operations::url(call, &accepted.operation, "operations"))
        .with("location", &operations::url(call, &accepted.operation, "operationresults")))
}
