//! The image that `make image` built, as a kubelet runs it: told where `NODEPOOL_IMAGE` names one in buildah's store. Never
//! builds an image.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use testbed::{Image, Lane, Operator};

use super::chart::{Site, follows_and_refuses};
use super::support::{Scene, Story, story};

/// The variable that names the image.
const IMAGE: &str = "NODEPOOL_IMAGE";
/// All that is in it. No shell, no packages, no library.
const FILES: [&str; 3] = ["/LICENSE", "/etc/ssl/certs/ca-certificates.crt", "/nodepool-operator"];
/// What it may weigh, in bytes.
const LIMIT: u64 = 25_000_000;

pub fn stories() -> Vec<Story> {
    let told = story("image_is_small_and_runs_in_its_pod_without_a_shell_root_or_a_writable_file", told);
    vec![told.told_where_set(IMAGE)]
}

async fn told(lane: Lane) -> anyhow::Result<Scene> {
    let name = std::env::var(IMAGE).context(IMAGE)?;
    let image = Image::mount(&name)?;
    holds_the_operator_alone(&image)?;
    prints(&image)?;

    let site = Site::begin(lane).await?;
    site.helm("install", &[]).await?;
    let pods = site.pods().await?;
    let pod = pods.first().context("there is no pod")?;
    let operator = Operator::start_container(site.bed.control_plane(), &image, pod, &site.webhook()).await?;
    let mut scene = Scene::of(site.bed, operator);
    follows_and_refuses(&scene).await?;
    // It ends while its files are there.
    let code = scene.operator.terminate().await?;
    ensure!(code == 0, "it ended with {code}: {}", scene.operator.log_tail(5));
    Ok(scene)
}

fn holds_the_operator_alone(image: &Image) -> anyhow::Result<()> {
    let files = image.files()?;
    let names: Vec<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    ensure!(names == FILES.map(Path::new), "the image has other files: {names:?}");
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    writeln!(std::io::stderr(), "the image: {bytes} bytes, of which {}", sizes(&files))?;
    ensure!(bytes < LIMIT, "the image weighs {bytes} bytes of {LIMIT}");

    let config = image.config();
    ensure!(config.user == "65532:65532", "it is run by {:?}", config.user);
    ensure!(config.entrypoint == ["/nodepool-operator"], "it runs {:?}", config.entrypoint);
    let label = |name: &str| config.labels.get(&format!("org.opencontainers.image.{name}")).map(String::as_str);
    ensure!(label("version") == Some(env!("CARGO_PKG_VERSION")), "{:?}", config.labels);
    ensure!(label("licenses") == Some("Apache-2.0"), "{:?}", config.labels);
    ensure!(label("revision").is_some_and(|revision| revision.len() >= 40), "{:?}", config.labels);
    Ok(())
}

fn sizes(files: &[(std::path::PathBuf, u64)]) -> String {
    let sizes: Vec<String> = files.iter().map(|(path, bytes)| format!("{} {bytes}", path.display())).collect();
    sizes.join(", ")
}

/// What it prints without a cluster.
fn prints(image: &Image) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let help = image.run(folder.path(), &["--help"])?;
    ensure!(help.contains("Usage: nodepool-operator"), "{help}");
    let crd = image.run(folder.path(), &["crd", "nodepoolpolicies"])?;
    let committed = include_str!("../../crds/nodepoolpolicies.aks.nodepool.dev.yaml");
    ensure!(crd == committed, "its definition of policies is not that of crds/");
    Ok(())
}
