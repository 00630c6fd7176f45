//! The plain manifests by an overlay, as somebody copies it and puts in three values. Never by Helm.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use testbed::Lane;

use super::chart::{Site, follows_and_refuses};
use super::sign_in::CLIENT;
use super::support::{Scene, Story, story};

/// What the example has in place of a person's own values.
const CLUSTER: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/example/providers/\
                       Microsoft.ContainerService/managedClusters/example";
const IDENTITY: &str = "azure.workload.identity/client-id: 00000000-0000-0000-0000-000000000000";

pub fn stories() -> Vec<Story> {
    vec![story("kustomize_overlay_installs_an_operator_that_acts_and_applying_it_again_replaces_nothing", told)]
}

async fn told(lane: Lane) -> anyhow::Result<Scene> {
    let site = Site::begin(lane).await?;
    let folder = tempfile::tempdir()?;
    let overlay = written(&site, folder.path())?;
    let apply = async || {
        let said =
            site.bed.control_plane().kubectl().args(["apply", "--server-side", "-k"]).arg(&overlay).output().await?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        // A warning of the API server would be that of a level of pod security, or of a field that it does not know.
        ensure!(said.stderr.is_empty(), "kubectl warns: {}", String::from_utf8_lossy(&said.stderr));
        anyhow::Ok(())
    };
    apply().await?;
    let pods = site.pods().await?;
    apply().await?;
    let uids = |pods: &[Pod]| pods.iter().map(kube::ResourceExt::uid).collect::<Vec<_>>();
    ensure!(uids(&site.pods().await?) == uids(&pods), "pods were replaced");

    let operator = site.start(pods.first().context("there is no pod")?).await?;
    let scene = Scene::of(site.bed, operator);
    follows_and_refuses(&scene).await?;
    Ok(scene)
}

/// The example and its base in a folder, with this cluster's values, those of its ARM, and what makes the operator as quick as
/// the testbed; where the overlay is.
fn written(site: &Site, folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for part in ["base", "example"] {
        std::fs::create_dir(folder.join(part))?;
        for file in std::fs::read_dir(deploy.join(part))? {
            let file = file?;
            std::fs::copy(file.path(), folder.join(part).join(file.file_name()))?;
        }
    }
    let authority = folder.join("ca.crt");
    std::fs::write(&authority, site.bed.emulator.authority_pem().context("the emulator has no authority")?)?;
    let authority = authority.to_string_lossy();
    let mut values = site.bed.emulator.cluster_id().to_string();
    for (name, value) in [
        ("ARM_ENDPOINT", site.bed.emulator.endpoint().as_str()),
        ("AZURE_CA_FILE", &authority),
        ("ARM_REFRESH_SECONDS", "1"),
        ("ARM_POLL_SECONDS", "0.2"),
        ("ARM_REQUEST_SHARE", "1000"),
        ("SYSTEM_NODE_READY_SECONDS", "0.5"),
        ("REQUIRED_ADD_ONS", ""),
        ("SETTLE_SECONDS", "0.3"),
    ] {
        write!(values, "\n                  - {{name: {name}, value: {value:?}}}")?;
    }
    let overlay = folder.join("example");
    let file = overlay.join("kustomization.yaml");
    let mut text = std::fs::read_to_string(&file)?;
    let identity = format!("azure.workload.identity/client-id: {CLIENT}");
    for (placeholder, own) in [(CLUSTER, values.as_str()), (IDENTITY, &identity)] {
        ensure!(text.contains(placeholder), "the example has no {placeholder}");
        text = text.replace(placeholder, own);
    }
    std::fs::write(&file, text)?;
    Ok(overlay)
}
