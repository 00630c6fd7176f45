//! The steps that a user of node pools takes, with what the crate has. Never looks at what goes over the wire.

use std::time::{Duration, Instant};

use azure_core::StatusCode;
use azure_mgmt_containerservice::package_preview_2023_01::models::{
    AgentPoolMode, ManagedClusterAgentPoolProfileProperties as Properties, ScaleDownMode,
};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::connection::{CLUSTER, GROUP, SUBSCRIPTION};
use crate::crate_pools::{Pools, refused};
use crate::wire::Wire;
use crate::{Outcome, Problem, same};

pub async fn retired(pools: &Pools) -> Outcome {
    let part = "API version '2023-01-02-preview'";
    refused(pools.get("apps").await, StatusCode::BadRequest, "NoRegisteredProviderFound", part)
}

pub async fn list_clusters(pools: &Pools) -> Outcome {
    let clusters = pools.client.managed_clusters_client();
    let of_group = clusters.list_by_resource_group(SUBSCRIPTION, GROUP).into_stream().try_collect::<Vec<_>>().await?;
    let all = clusters.list(SUBSCRIPTION).into_stream().try_collect::<Vec<_>>().await?;
    let found = of_group.into_iter().chain(all).flat_map(|page| page.value);
    let names: Vec<_> = found.filter_map(|cluster| cluster.tracked_resource.resource.name).collect();
    same("names", &[CLUSTER, CLUSTER][..], &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let one = clusters.get(SUBSCRIPTION, GROUP, CLUSTER).await?;
    let version = one.properties.and_then(|properties| properties.current_kubernetes_version);
    same("version", &Some("1.33.5".to_owned()), &version)
}

async fn names(pools: &Pools) -> Result<Vec<String>, Problem> {
    let mut pages = pools.requests().list(SUBSCRIPTION, GROUP, CLUSTER).into_stream();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.extend(page?.value.into_iter().filter_map(|pool| pool.sub_resource.name));
    }
    Ok(names)
}

pub async fn list(pools: &Pools) -> Outcome {
    let names = names(pools).await?;
    same("names", &["apps", "old", "system"][..], &names.iter().map(String::as_str).collect::<Vec<_>>())
}

pub async fn create(pools: &Pools) -> Outcome {
    let wanted = Properties {
        count: Some(2),
        mode: Some(AgentPoolMode::User),
        vm_size: Some("Standard_D4s_v5".to_owned()),
        node_labels: Some(json!({"tier": "blue"})),
        ..Properties::default()
    };
    let answered = pools.begin("blue", wanted).await?;
    let state = answered.properties.and_then(|properties| properties.provisioning_state);
    same("state while it is created", &Some("Creating".to_owned()), &state)?;
    pools.until("blue", "Succeeded").await.map(drop)
}

pub async fn get(pools: &Pools) -> Outcome {
    let pool = pools.get("blue").await?;
    let kind = pool.sub_resource.type_.unwrap_or_default();
    same("type", "Microsoft.ContainerService/managedClusters/agentPools", &kind)?;
    let properties = pools.properties("blue").await?;
    same("count", &Some(2), &properties.count)?;
    same("labels", &Some(json!({"tier": "blue"})), &properties.node_labels)?;
    same("scaleDownMode", &Some(ScaleDownMode::Delete), &properties.scale_down_mode)
}

pub async fn update(pools: &Pools) -> Outcome {
    let labels = json!({"tier": "blue", "stage": "test"});
    let mut pool = pools.get("blue").await?;
    if let Some(properties) = &mut pool.properties {
        properties.node_labels = Some(labels.clone());
        properties.node_taints = vec!["team=blue:NoSchedule".to_owned()];
    }
    pools.put("blue", pool).await?;
    let written = pools.until("blue", "Succeeded").await?;
    same("labels", &Some(labels), &written.node_labels)?;
    same("taints", &vec!["team=blue:NoSchedule".to_owned()], &written.node_taints)?;
    same("count", &Some(2), &written.count)
}

pub async fn scale(pools: &Pools, wire: &Wire) -> Outcome {
    for count in [4, 1] {
        let hold = wire.lay("operation-holds", json!({"pool": "blue"})).await?;
        pools.begin("blue", Properties { count: Some(count), ..Properties::default() }).await?;
        let meanwhile = pools.properties("blue").await?.provisioning_state;
        same("state meanwhile", &Some("Scaling".to_owned()), &meanwhile)?;
        wire.end(hold).await?;
        same("count", &Some(count), &pools.until("blue", "Succeeded").await?.count)?;
    }
    Ok(())
}

pub async fn versions(pools: &Pools) -> Outcome {
    let profile = pools.requests().get_upgrade_profile(SUBSCRIPTION, GROUP, CLUSTER, "old").await?.properties;
    same("version", "1.32.9", &profile.kubernetes_version)?;
    let offered = profile.upgrades.iter().any(|one| one["kubernetesVersion"] == "1.33.5");
    same("1.33.5 is offered", &true, &offered)?;
    let available = pools.requests().get_available_agent_pool_versions(SUBSCRIPTION, GROUP, CLUSTER).await?;
    let versions = available.properties.agent_pool_versions;
    same("1.33.5 is available", &true, &versions.iter().any(|one| one["kubernetesVersion"] == "1.33.5"))
}

pub async fn upgrade(pools: &Pools) -> Outcome {
    let wanted = Some("1.33.5".to_owned());
    let written =
        pools.change("old", Properties { orchestrator_version: wanted.clone(), ..Properties::default() }).await?;
    same("version", &wanted, &written.current_orchestrator_version)
}

pub async fn upgrade_image(pools: &Pools) -> Outcome {
    pools.requests().upgrade_node_image_version(SUBSCRIPTION, GROUP, CLUSTER, "apps").send().await?;
    pools.until("apps", "Succeeded").await.map(drop)
}

pub async fn refusal(pools: &Pools) -> Outcome {
    let taints = Properties { node_taints: vec!["team=blue:NoSchedule".to_owned()], ..Properties::default() };
    let got = pools.begin("system", taints).await;
    let part = "Placing custom taints on system pool";
    refused(got, StatusCode::BadRequest, "SystemPoolHasRestrictedTaint", part)
}

pub async fn absent(pools: &Pools) -> Outcome {
    let got = pools.client.managed_clusters_client().get(SUBSCRIPTION, GROUP, "absent").await;
    refused(got, StatusCode::NotFound, "ResourceNotFound", "managedClusters/absent")?;
    let part = "Could not find the agentpool: absent";
    refused(pools.get("absent").await, StatusCode::NotFound, "NotFound", part)
}

pub async fn abort(pools: &Pools, wire: &Wire) -> Outcome {
    let hold = wire.lay("operation-holds", json!({"pool": "blue"})).await?;
    pools.begin("blue", Properties { count: Some(3), ..Properties::default() }).await?;
    let labels = Properties { node_labels: Some(json!({})), ..Properties::default() };
    let part = "Another agentpool operation (blue - Scaling)";
    refused(pools.begin("blue", labels).await, StatusCode::Conflict, "OperationNotAllowed", part)?;
    let abort = || pools.requests().abort_latest_operation(SUBSCRIPTION, GROUP, CLUSTER, "blue").send();
    abort().await?;
    let meanwhile = pools.properties("blue").await?.provisioning_state;
    same("state meanwhile", &Some("Canceling".to_owned()), &meanwhile)?;
    wire.end(hold).await?;
    pools.until("blue", "Canceled").await?;
    refused(abort().await, StatusCode::Conflict, "OperationNotAllowed", "")
}

pub async fn failure(pools: &Pools, wire: &Wire) -> Outcome {
    let what = json!({"pool": "blue", "code": "QuotaExceeded", "message": "no cores left", "times": 1});
    let rule = wire.lay("operation-failures", what).await?;
    pools.begin("blue", Properties { count: Some(5), ..Properties::default() }).await?;
    let failed = pools.until("blue", "Failed").await?;
    wire.end(rule).await?;
    same("the model has the reason", &false, &serde_json::to_string(&failed)?.contains("QuotaExceeded"))?;
    pools.change("blue", Properties { count: Some(2), ..Properties::default() }).await.map(drop)
}

pub async fn throttled(pools: &Pools, wire: &Wire) -> Outcome {
    let body =
        json!({"code": "Throttled", "details": null, "subcode": "", "message": "the request limit was exceeded"});
    let answer = json!({"answer": {"status": 429, "headers": {"Retry-After": "20"}, "body": body}});
    let fault = json!({"method": "GET", "pathEndsWith": "/agentPools/apps", "times": 1, "action": answer});
    let rule = wire.lay("faults", fault).await?;
    let begun = Instant::now();
    pools.properties("apps").await?;
    same("tried again before the 20 s were over", &true, &(begun.elapsed() < Duration::from_secs(10)))?;
    wire.end(rule).await
}

pub async fn delete(pools: &Pools) -> Outcome {
    pools.delete("blue").await?;
    // The second finds nothing to delete: 204.
    pools.delete("blue").await?;
    list(pools).await
}
