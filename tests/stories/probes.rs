//! What the operator answers kubelet's probes, and how it ends at once where it can't begin.

use aks_emulator::PoolSpec;
use anyhow::ensure;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use testbed::{KubeSystem, Lane, Match, Testbed, probe, wait_for};

use super::support::{DEADLINE, QUICK, Scene, Story, binary, plain_cluster_with, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("probes_tell_what_the_operator_can_not_see", blind),
        story("a_loop_that_hangs_is_told_to_kubelet", hangs),
        story("a_replica_that_may_not_write_its_lease_says_so_and_goes_on_when_it_may", may_not),
        story("a_replica_that_can_not_stand_for_the_lease_says_what_is_missing", cannot_stand),
    ]
}

/// Waits until the operator answers a probe like this.
async fn answers(scene: &Scene, path: &str, status: u16, with: &str) -> anyhow::Result<()> {
    wait_for(&format!("/{path} to be answered with {status} and {with:?}"), DEADLINE, async || {
        let told = probe(&scene.operator.log(), path).await.unwrap_or_else(|error| (0, format!("{error:#}")));
        Ok(if told.0 == status && told.1.contains(with) { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await
}

async fn blind(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let bed = builder.start().await?;
    let cut = bed.arm.drop_request(Match::any());
    let operator = bed.start_operator(bed.operator_options(binary()).arguments(&QUICK)).await?;
    let scene = Scene::of(bed, operator);
    answers(&scene, "readyz", 503, "the cluster in ARM: ").await?;
    let (_, told) = probe(&scene.operator.log(), "readyz").await?;
    ensure!(told.lines().count() == 1, "all else is seen: {told}");
    for path in ["startupz", "livez"] {
        answers(&scene, path, 200, "").await?;
    }
    drop(cut);
    answers(&scene, "readyz", 200, "this replica leads and sees everything").await?;
    Ok(scene)
}

async fn hangs(lane: Lane) -> anyhow::Result<Scene> {
    let patient = ["--liveness-seconds", "1", "--arm-read-timeout-seconds", "600"];
    let scene = plain_cluster_with(lane, &patient).await?;
    answers(&scene, "readyz", 200, "").await?;
    let held = scene.bed.arm.hold(Match::method("GET"));
    answers(&scene, "livez", 503, "the loop hangs").await?;
    held.release();
    answers(&scene, "livez", 200, "the loop goes on").await?;
    scene.looks_again().await?;
    Ok(scene)
}

async fn may_not(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = plain_cluster_with(lane, &[]).await?;
    scene.operator.terminate().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(scene.bed.cluster.client(), "nodepool-operator");
    let mut binding = bindings.get("nodepool-operator").await?;
    bindings.delete("nodepool-operator", &DeleteParams::default()).await?;
    scene.operator.restart().await?;
    for path in ["startupz", "readyz"] {
        answers(&scene, path, 503, "the lease could not be read or written: leases.coordination.k8s.io").await?;
    }
    answers(&scene, "livez", 200, "").await?;
    binding.metadata.resource_version = None;
    bindings.create(&PostParams::default(), &binding).await?;
    answers(&scene, "readyz", 200, "this replica leads").await?;
    Ok(scene.in_which_rights_are_missing())
}

async fn cannot_stand(lane: Lane) -> anyhow::Result<Scene> {
    let scene = plain_cluster_with(lane, &[]).await?;
    let options = || scene.bed.operator_options(binary()).arguments(&QUICK);
    let wrong = [
        (options().environment("POD_NAMESPACE", ""), "--pod-namespace (POD_NAMESPACE) is missing"),
        (
            options().arguments(&["--lease-seconds", "15"]),
            "--arm-write-timeout-seconds 30 does not fit into --lease-seconds 15",
        ),
        (options().arguments(&["--lease-seconds", "0"]), "invalid value '0' for '--lease-seconds <SECONDS>'"),
        (options().arguments(&["--health-address", "8081"]), "is not an IP address with a port"),
    ];
    for (options, says) in wrong {
        let mut operator = scene.bed.start_operator(options).await?;
        let code = operator.wait(DEADLINE).await?;
        ensure!(code != 0 && operator.log().contains(says), "{code}: {}", operator.log());
    }
    Ok(scene)
}
