//! The add-ons of kube-system as AKS installs them; never anything of the operator's.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::cluster::{Cluster, is_running};
use crate::manifests::apply;
use crate::wait::wait_for;

const NAMESPACE: &str = "kube-system";
const DEADLINE: Duration = Duration::from_mins(1);

macro_rules! manifest {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kube-system/", $name, ".yaml"))
    };
}

/// One file an add-on.
const ADD_ONS: [&str; 10] = [
    manifest!("azure-cns"),
    manifest!("azure-ip-masq-agent"),
    manifest!("cloud-node-manager"),
    manifest!("coredns"),
    manifest!("coredns-autoscaler"),
    manifest!("csi-azuredisk-node"),
    manifest!("csi-azurefile-node"),
    manifest!("konnectivity-agent"),
    manifest!("kube-proxy"),
    manifest!("metrics-server"),
];

/// What runs in kube-system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KubeSystem {
    /// The add-ons of AKS with their requests, tolerations, affinities and budgets.
    #[default]
    AsOnAks,
    /// Nothing.
    None,
}

/// Applies all add-ons.
pub(super) async fn install(client: &Client) -> anyhow::Result<()> {
    futures::future::try_join_all(ADD_ONS.iter().map(|manifest| apply(client, manifest))).await.map(drop)
}

/// Waits until every pod of kube-system that is wished for runs and every budget's status is current.
pub(super) async fn wait_until_settled(cluster: &Cluster) -> anyhow::Result<()> {
    wait_for("kube-system to run", DEADLINE, async || {
        let waiting = unsettled(cluster).await?;
        Ok(if waiting.is_empty() { Ok(()) } else { Err(waiting.join("; ")) })
    })
    .await
}

/// What is not as wished, in words.
async fn unsettled(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let (deployments, sets, budgets) = tokio::try_join!(
        all::<Deployment>(cluster, "Deployments"),
        all::<DaemonSet>(cluster, "DaemonSets"),
        all::<PodDisruptionBudget>(cluster, "budgets"),
    )?;
    let mut waiting: Vec<String> = deployments.iter().filter_map(unavailable).collect();
    waiting.extend(sets.iter().filter_map(not_everywhere));
    waiting.extend(budgets.iter().filter_map(unhealthy));
    let pods = cluster.pods(NAMESPACE).await?;
    let silent = pods.iter().filter(|pod| !is_running(pod));
    waiting.extend(silent.map(|pod| format!("pod {} is not Running", pod.name_any())));
    Ok(waiting)
}

async fn all<K>(cluster: &Cluster, what: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cluster.client(), NAMESPACE);
    Ok(api.list(&ListParams::default()).await.with_context(|| format!("{what} can't be listed"))?.items)
}

fn unavailable(deployment: &Deployment) -> Option<String> {
    let wished = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let available = status.available_replicas.unwrap_or(0);
    let settled = status.observed_generation == deployment.metadata.generation && available == wished;
    (!settled).then(|| format!("Deployment {} has {available} of {wished} pods available", deployment.name_any()))
}

fn not_everywhere(set: &DaemonSet) -> Option<String> {
    let status = set.status.clone().unwrap_or_default();
    let (ready, wished) = (status.number_ready, status.desired_number_scheduled);
    let settled = status.observed_generation == set.metadata.generation && wished > 0 && ready == wished;
    (!settled).then(|| format!("DaemonSet {} has {ready} of {wished} pods ready", set.name_any()))
}

fn unhealthy(budget: &PodDisruptionBudget) -> Option<String> {
    let status = budget.status.clone().unwrap_or_default();
    let (healthy, wished) = (status.current_healthy, status.expected_pods);
    let settled = status.observed_generation == budget.metadata.generation && wished > 0 && healthy == wished;
    (!settled).then(|| format!("budget {} counts {healthy} of {wished} pods healthy", budget.name_any()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_installed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/kube-system");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), ADD_ONS.len());
    }

    #[test]
    fn every_add_on_tolerates_the_taint_of_system_pools() {
        for manifest in ADD_ONS {
            assert!(manifest.contains("{key: CriticalAddonsOnly, operator: Exists}"), "{manifest}");
        }
    }
}
