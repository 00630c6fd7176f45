//! What a pool could be upgraded to. Never upgrades it.

use serde_json::{Map, Value, json};

use super::Call;
use super::cluster::read;
use super::path::ClusterPath;
use super::reply::Reply;
use crate::service::refusal::Refusal;
use crate::service::{document, syntax};

/// The answer to a GET of `upgradeProfiles/default` of a pool. A pool that runs what the control plane runs has no
/// `upgrades` (recording 01); an older one could get the control plane's version.
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
        if syntax::is_older(current, control_plane) {
            properties.insert("upgrades".to_owned(), json!([{"kubernetesVersion": control_plane}]));
        }
        properties.insert("latestNodeImageVersion".to_owned(), json!(document::NODE_IMAGE));
        let id = document::pool_id(cluster, pool);
        Ok(read(&json!({
            "id": format!("{id}/upgradeProfiles/default"),
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": Value::Object(properties),
        })))
    })
}
