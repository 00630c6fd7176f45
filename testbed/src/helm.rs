//! Helm as a process of its own, and the plain manifests that the chart renders to; cut off from the settings of whoever
//! runs it, and never at a network.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::assets::{Assets, Binary, Places, Set};

/// Templates of the chart that make each of the plain manifests in `deploy/base`.
const PLAIN: [(&str, &[&str]); 4] = [
    ("crds.yaml", &["crds"]),
    ("serviceaccount.yaml", &["serviceaccount"]),
    ("rbac.yaml", &["rbac"]),
    ("operator.yaml", &["deployment", "poddisruptionbudget", "networkpolicy"]),
];

/// What a person puts in, as it stands in the plain manifests.
const PLACEHOLDERS: [&str; 4] = [
    "clusterResourceId=/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.ContainerService/managedClusters/CLUSTER",
    r"serviceAccount.annotations.azure\.workload\.identity/client-id=CLIENT_ID",
    "image.repository=nodepool-operator",
    // Only Helm knows what keeping means.
    "crds.keep=false",
];

/// What only a release of Helm has.
const OF_HELM: [&str; 2] = ["helm.sh/chart: ", "app.kubernetes.io/managed-by: "];

/// The chart's folder in the checkout.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/nodepool-operator")
}

/// Helm, with settings of its own.
pub struct Helm {
    assets: Assets,
    home: tempfile::TempDir,
}

/// What a run of Helm wrote, and whether it succeeded.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its standard output.
    pub output: String,
    /// Its standard error: warnings, and what is wrong.
    pub errors: String,
    /// Whether it succeeded.
    pub succeeded: bool,
}

impl Helm {
    /// Finds Helm, or builds it, which takes some minutes the first time.
    ///
    /// # Errors
    /// When it is nowhere and can't be built.
    pub async fn find() -> anyhow::Result<Self> {
        let places = Places::of_environment()?;
        let found = tokio::task::spawn_blocking(move || {
            Assets::find_or_build_set(Set::Helm, &places, &mut |line| eprintln!("testbed: {line}"))
        });
        let assets = found.await.context("the search for Helm was broken off")??;
        Ok(Self { assets, home: tempfile::tempdir().context("no folder could be made for Helm's settings")? })
    }

    fn command(&self, binary: Binary) -> Command {
        let mut command = Command::new(self.assets.path(binary));
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
            ("KUBECONFIG", "no-kubeconfig"),
        ] {
            command.env(variable, self.home.path().join(folder));
        }
        command.env_remove("HELM_NAMESPACE").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs Helm, at the cluster of a kubeconfig where one is given.
    ///
    /// # Errors
    /// When it can't be run. That it failed is in what it said.
    pub async fn run(&self, kubeconfig: Option<&Path>, arguments: &[&str]) -> anyhow::Result<Said> {
        let mut command = self.command(Binary::Helm);
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        said(command.args(arguments)).await
    }

    /// Runs the tests of a chart's templates.
    ///
    /// # Errors
    /// When they can't be run. That one failed is in what was said.
    pub async fn unittest(&self, chart: &Path) -> anyhow::Result<Said> {
        said(self.command(Binary::HelmUnittest).arg("--strict").arg(chart)).await
    }

    /// What the chart renders to, as `helm template` prints it.
    ///
    /// # Errors
    /// When Helm refuses, with what it said.
    pub async fn template(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let chart = chart();
        let chart = chart.to_str().context("the chart's folder has a name that is no text")?;
        let fixed = ["template", "nodepool-operator", chart, "--namespace", "nodepool-operator"];
        let said = self.run(None, &[&fixed[..], arguments].concat()).await?;
        ensure!(said.succeeded, "helm template failed: {}", said.errors);
        Ok(said.output)
    }

    /// The plain manifests of `deploy/base`, by their file names, as the chart renders them.
    ///
    /// # Errors
    /// When Helm refuses.
    pub async fn plain_manifests(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut manifests = Vec::new();
        for (file, templates) in PLAIN {
            let shown: Vec<String> = templates.iter().map(|name| format!("templates/{name}.yaml")).collect();
            let values = PLACEHOLDERS.iter().flat_map(|value| ["--set", value]);
            let shown = shown.iter().flat_map(|template| ["--show-only", template.as_str()]);
            let arguments: Vec<&str> = values.chain(shown).collect();
            manifests.push((file, plain(&self.template(&arguments).await?)));
        }
        Ok(manifests)
    }
}

async fn said(command: &mut Command) -> anyhow::Result<Said> {
    let output = command.output().await.context("Helm can't be run")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { output: text(output.stdout), errors: text(output.stderr), succeeded: output.status.success() })
}

/// The text without what only Helm reads.
fn plain(rendered: &str) -> String {
    let stays = |line: &&str| {
        let line = line.trim_start();
        !line.starts_with("# Source: ") && !OF_HELM.iter().any(|label| line.starts_with(label))
    };
    let body = rendered.lines().filter(stays).map(str::trim_end).collect::<Vec<_>>().join("\n");
    format!("# Rendered from charts/nodepool-operator by `make deploy`; changes belong there.\n{body}\n")
}
