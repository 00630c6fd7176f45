//! What pools and clusters could be upgraded to, which versions there are, and the upgrade of an image. Never judges
//! an upgrade; that is the service's.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Call;
use super::cluster::read;
use super::path::ClusterPath;
use super::reply::Reply;
use super::{operations, pools};
use crate::service::refusal::Refusal;
use crate::service::rolling::{self, ROLLBACK_SINCE};
use crate::service::{Cluster, document, images, runner, syntax, versions};

const PROVIDER: &str = "Microsoft.ContainerService/managedClusters";

/// The answer to a GET of `upgradeProfiles/default` of a pool. A pool that runs what the control plane runs has no
/// `upgrades` (recording 01); an older one is offered what its PUT would be accepted with.
pub(super) fn profile(call: &Call<'_>, at: &ClusterPath<'_>, name: &str) -> Result<Reply, Refusal> {
    of_cluster(call, at, |cluster| {
        let Some(pool) = cluster.pool(name) else {
            return Err(Refusal::pool(at.subscription, at.resource_group, at.cluster, name));
        };
        let (current, control_plane) =
            (pool.text("currentOrchestratorVersion"), cluster.text("currentKubernetesVersion"));
        let skip_minors = call.service.settings.switches.node_pools_skip_minors;
        let offered = versions::upgrades(current, control_plane, skip_minors);
        let mut properties = upgradable(current, pool.text("osType"), &offered);
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
            "type": format!("{PROVIDER}/agentPools/upgradeProfiles"),
            "properties": Value::Object(properties),
        })))
    })
}

/// The answer to a GET of `upgradeProfiles/default` of a cluster.
pub(super) fn cluster_profile(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    of_cluster(call, at, |cluster| {
        let current = cluster.text("currentKubernetesVersion");
        let mut control_plane = upgradable(current, "Linux", &versions::control_plane_upgrades(current));
        control_plane.insert("name".to_owned(), json!("master"));
        let skip_minors = call.service.settings.switches.node_pools_skip_minors;
        let pools: Vec<Value> = cluster
            .pools
            .iter()
            .map(|pool| {
                let version = pool.text("currentOrchestratorVersion");
                let mut profile =
                    upgradable(version, pool.text("osType"), &versions::upgrades(version, current, skip_minors));
                profile.insert("name".to_owned(), json!(pool.name));
                Value::Object(profile)
            })
            .collect();
        Ok(read(&json!({
            "id": format!("{}/upgradeprofiles/default", document::cluster_id(cluster)),
            "name": "default",
            "type": format!("{PROVIDER}/upgradeprofiles"),
            "properties": {"controlPlaneProfile": control_plane, "agentPoolProfiles": pools},
        })))
    })
}

/// The answer to a GET of `availableAgentPoolVersions` of a cluster. The default is what the control plane runs.
pub(super) fn pool_versions(call: &Call<'_>, at: &ClusterPath<'_>) -> Result<Reply, Refusal> {
    of_cluster(call, at, |cluster| {
        let current = cluster.text("currentKubernetesVersion");
        let available: Vec<Value> = versions::for_new_pools(current)
            .into_iter()
            .map(|version| {
                if version == current {
                    json!({"default": true, "kubernetesVersion": version})
                } else {
                    json!({"kubernetesVersion": version})
                }
            })
            .collect();
        Ok(read(&json!({
            "id": format!("{}/availableagentpoolversions", document::cluster_id(cluster)),
            "name": "default",
            "type": format!("{PROVIDER}/availableAgentpoolVersions"),
            "properties": {"agentPoolVersions": available},
        })))
    })
}

/// The answer to a GET of `kubernetesVersions` of a location, which has those that every location has.
pub(super) fn kubernetes_versions(call: &Call<'_>) -> Result<Reply, Refusal> {
    only_get(call)?;
    let mut values: Vec<(String, Map<String, Value>)> = Vec::new();
    for version in versions::supported() {
        let minor = syntax::without_patch(version);
        if values.last().is_none_or(|(last, _)| *last != minor) {
            values.push((minor, Map::new()));
        }
        if let Some((_, patches)) = values.last_mut() {
            patches.insert((*version).to_owned(), json!({"upgrades": versions::control_plane_upgrades(version)}));
        }
    }
    let values: Vec<Value> = values
        .into_iter()
        .map(|(minor, patches)| {
            let mut value = Map::new();
            value.insert("version".to_owned(), json!(minor));
            value.insert("capabilities".to_owned(), json!({"supportPlan": ["KubernetesOfficial"]}));
            if versions::is_default(&minor) {
                value.insert("isDefault".to_owned(), json!(true));
            }
            value.insert("patchVersions".to_owned(), Value::Object(patches));
            Value::Object(value)
        })
        .collect();
    Ok(read(&json!({"values": values})))
}

fn upgradable(current: &str, os_type: &str, upgrades: &[&str]) -> Map<String, Value> {
    let mut profile = Map::new();
    profile.insert("kubernetesVersion".to_owned(), json!(current));
    profile.insert("osType".to_owned(), json!(os_type));
    if !upgrades.is_empty() {
        let upgrades: Vec<Value> = upgrades.iter().map(|version| json!({"kubernetesVersion": version})).collect();
        profile.insert("upgrades".to_owned(), Value::Array(upgrades));
    }
    profile
}

fn of_cluster(
    call: &Call<'_>,
    at: &ClusterPath<'_>,
    answer: impl FnOnce(&Cluster) -> Result<Reply, Refusal>,
) -> Result<Reply, Refusal> {
    only_get(call)?;
    call.service.read(|state| {
        let cluster = state.clusters.get(&at.key()).ok_or_else(|| Refusal::cluster(at.cluster, at.resource_group))?;
        answer(cluster)
    })
}

fn only_get(call: &Call<'_>) -> Result<(), Refusal> {
    if call.method == "GET" { Ok(()) } else { Err(Refusal::method(call.method)) }
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
