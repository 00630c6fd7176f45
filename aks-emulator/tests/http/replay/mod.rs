//! Recorded traffic against the emulator: every request that the surface covers is sent to an emulator in the state
//! that the recording starts from, and the answers are compared field by field. What differs must be listed, with its
//! reason, in `replay-differences.json`, and what is listed must differ.

mod compare;
mod differences;
mod recording;
mod scene;

use differences::Reviewed;
use recording::{Exchange, Recording};
use scene::Scene;

/// Replays a recording, if it is at hand, and holds it against the reviewed differences.
async fn replay(name: &str) {
    let Some(recording) = Recording::open(name) else {
        return;
    };
    let mut reviewed = Reviewed::of(name);
    // From the others, recorded by the Azure CLI's tests, headers were stripped.
    let mut scene = Scene::new(&recording, name.starts_with("09"));
    for exchange in recording.exchanges() {
        match outside(exchange, &scene) {
            Some(kind) => {
                scene.passed_over();
                reviewed.outside(kind);
            }
            None => {
                for difference in scene.send(exchange).await {
                    reviewed.differs(difference);
                }
            }
        }
    }
    reviewed.check();
}

/// What kind of request it is if the surface does not cover it, or cannot know what it is about.
fn outside(exchange: &Exchange, scene: &Scene) -> Option<&'static str> {
    if exchange.segment("managedClusters").is_some() {
        let of_cluster = exchange.segment("agentPools").is_none();
        return (of_cluster && exchange.method != "GET").then_some("write of a managedCluster");
    }
    match exchange.operation() {
        Some(id) if scene.knows(id) => None,
        Some(_) => Some("operation of a write that was not recorded"),
        None => Some("request to another provider"),
    }
}

#[tokio::test]
async fn recording_01_create_scale_tags_delete() {
    replay("01-nodepool-create-scale-delete").await;
}

#[tokio::test]
async fn recording_02_system_pools() {
    replay("02-nodepool-system-pool").await;
}

#[tokio::test]
async fn recording_03_autoscaler() {
    replay("03-nodepool-autoscaler-then-update").await;
}

#[tokio::test]
async fn recording_04_taints_and_pages() {
    replay("04-create-cluster-with-taints").await;
}

#[tokio::test]
async fn recording_05_stop_and_start() {
    replay("05-nodepool-stop-and-start").await;
}

#[tokio::test]
async fn recording_09_crud_of_a_ga_version() {
    replay("09-test-aks-managedcluster-20250801-crud").await;
}

#[tokio::test]
async fn recording_11_taints_set_change_clear() {
    replay("11-nodepool-update-taints-msi").await;
}

#[tokio::test]
async fn recording_13_managed_clusters() {
    replay("13-managed-cluster").await;
}
