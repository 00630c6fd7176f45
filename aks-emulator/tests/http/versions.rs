//! Which versions there are: for a location, a cluster, and new pools.

use aks_emulator::{ClusterSpec, PoolSpec, Settings};
use serde_json::{Value, json};

use crate::support::{FAST, VERSION, fast, start};

fn listed(upgrades: &Value) -> Vec<&str> {
    upgrades.as_array().unwrap().iter().map(|upgrade| upgrade["kubernetesVersion"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_cluster_lists_upgrades_of_its_control_plane_and_of_each_pool() {
    let pools = [PoolSpec::system("system", 1), PoolSpec::user("old", 1).versions("1.32", "1.32.9")];
    let local = start(Settings::with_time_scale(FAST), ClusterSpec::with_pools(pools)).await;
    let id = local.emulator.cluster_id();
    let profile = local.get(&format!("{id}/upgradeProfiles/default?api-version={VERSION}")).await.body;
    assert_eq!(profile["type"], "Microsoft.ContainerService/managedClusters/upgradeprofiles");
    let control_plane = &profile["properties"]["controlPlaneProfile"];
    assert_eq!((&control_plane["name"], &control_plane["kubernetesVersion"]), (&json!("master"), &json!("1.33.5")));
    assert_eq!(listed(&control_plane["upgrades"]), ["1.33.6", "1.34.0", "1.34.1", "1.34.2"]);
    let pools = profile["properties"]["agentPoolProfiles"].as_array().unwrap();
    assert_eq!(pools[0], json!({"name": "system", "kubernetesVersion": "1.33.5", "osType": "Linux"}));
    assert_eq!(listed(&pools[1]["upgrades"]), ["1.32.10", "1.33.3", "1.33.4", "1.33.5"]);
}

#[tokio::test]
async fn new_pools_may_run_supported_versions_that_the_control_plane_allows() {
    let local = fast().await;
    let id = local.emulator.cluster_id();
    let answer = local.get(&format!("{id}/availableAgentPoolVersions?api-version={VERSION}")).await.body;
    assert_eq!(answer["name"], "default");
    let versions = &answer["properties"]["agentPoolVersions"];
    assert_eq!(listed(versions).first(), Some(&"1.31.11"));
    assert_eq!(versions.as_array().unwrap().last(), Some(&json!({"default": true, "kubernetesVersion": "1.33.5"})));
}

#[tokio::test]
async fn a_location_lists_minors_with_their_patches_and_what_those_lead_to() {
    let local = fast().await;
    let scope = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.ContainerService";
    let path = format!("{scope}/locations/westeurope/kubernetesVersions?api-version={VERSION}");
    let values = local.get(&path).await.body["values"].clone();
    let minors: Vec<&str> = values.as_array().unwrap().iter().map(|value| value["version"].as_str().unwrap()).collect();
    assert_eq!(minors, ["1.31", "1.32", "1.33", "1.34", "1.35"]);
    assert_eq!(values[2]["isDefault"], true);
    assert_eq!(values[2]["patchVersions"]["1.33.5"], json!({"upgrades": ["1.33.6", "1.34.0", "1.34.1", "1.34.2"]}));
    assert_eq!(values[0]["capabilities"], json!({"supportPlan": ["KubernetesOfficial"]}));
    let answer = local.get(&path.replace(VERSION, "1")).await;
    assert_eq!(answer.code(), "NoRegisteredProviderFound");
}
