//! Where the demo plays: a cluster, the operator in it and a kubectl whose output is shown; never tells the story.

use std::process::Stdio;
use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::audit::{Cause, Departure};
use testbed::{ControlPlane, Operator, Testbed, wait_for};
use tokio::io::AsyncWriteExt as _;

use crate::output::say;

/// How much faster than AKS: a new node takes some seconds instead of minutes.
const TIME_SCALE: f64 = 50.0;

/// A cluster with two pools and the operator.
pub(super) struct Stage {
    bed: Testbed,
    operator: Operator,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set() -> anyhow::Result<Self> {
        say!("Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok ...");
        let control_plane = ControlPlane::start(testbed::control_plane::Options::default()).await?;
        say!(
            "Creating an AKS cluster: system pool `system` (2 nodes), user pool `apps` (1 node), kube-system as on AKS ..."
        );
        let bed = Testbed::builder(control_plane)
            .emulator(|settings| settings.time_scale = TIME_SCALE)
            .pool(PoolSpec::system("system", 2))
            .pool(PoolSpec::user("apps", 1))
            .start()
            .await?;
        say!("Starting the operator as a process of its own, with its own service account ...");
        let binary = std::env::current_exe()?.with_file_name("nodepool-operator");
        ensure!(binary.exists(), "{} is missing: run `cargo build --bins` first", binary.display());
        // Shorter than the defaults, as everything here is quicker than on AKS.
        let options = bed.operator_options(binary).arguments(&[
            "--system-node-ready-seconds",
            "1",
            "--arm-refresh-seconds",
            "2",
            "--arm-poll-seconds",
            "0.5",
            "--arm-request-share",
            "100",
            "--add-ons-stable-seconds",
            "1",
        ]);
        let operator = bed.start_operator(options).await?;
        Ok(Self { bed, operator })
    }

    /// Runs kubectl and shows what it says.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let quoted = |argument: &&str| {
            if argument.contains([' ', '{']) { format!("'{argument}'") } else { (*argument).to_owned() }
        };
        let line = arguments.iter().map(quoted).collect::<Vec<_>>().join(" ");
        say!("");
        say!("$ kubectl {line}");
        let output = self.bed.control_plane().kubectl().args(arguments).output().await?;
        show(&output.stdout);
        show(&output.stderr);
        ensure!(output.status.success(), "kubectl {line} failed{}", self.log());
        Ok(())
    }

    /// Applies a manifest with kubectl, and shows it.
    pub(super) async fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        say!("");
        say!("$ kubectl apply -f - <<END");
        manifest.trim().lines().for_each(|line| say!("  {line}"));
        say!("END");
        let mut kubectl = self.bed.control_plane().kubectl();
        let mut child = kubectl.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("kubectl has no input")?;
        input.write_all(manifest.as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        show(&output.stdout);
        ensure!(output.status.success(), "kubectl apply failed");
        Ok(())
    }

    /// Waits with kubectl until a policy has a condition.
    pub(super) async fn wait(&self, policy: &str, condition: &str) -> anyhow::Result<()> {
        self.kubectl(&["wait", &format!("npp/{policy}"), &format!("--for=condition={condition}"), "--timeout=60s"])
            .await
    }

    /// A JSON path of a policy, without showing the command.
    pub(super) async fn read(&self, policy: &str, path: &str) -> anyhow::Result<String> {
        let output = self
            .bed
            .control_plane()
            .kubectl()
            .args(["get", "npp", policy, "-o", &format!("jsonpath={path}")])
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Changes a pool in ARM as somebody with the Azure CLI or the portal would.
    pub(super) async fn edit_in_arm(&self, pool: &str, properties: Value) -> anyhow::Result<()> {
        let path = format!("{}/agentPools/{pool}", self.bed.emulator.cluster_id());
        say!("");
        say!("Somebody, in the portal: PUT .../agentPools/{pool} {}", json!({"properties": &properties}));
        let url =
            format!("{}{path}?api-version=2025-10-01", self.bed.emulator.endpoint().as_str().trim_end_matches('/'));
        let body = json!({ "properties": properties });
        let answer = reqwest::Client::new().put(url).header("user-agent", "portal").json(&body).send().await?;
        ensure!(answer.status().is_success(), "ARM answered {}", answer.status());
        Ok(())
    }

    /// Waits until a property of a pool in ARM is `wanted`.
    pub(super) async fn wait_for_arm(&self, pool: &str, property: &str, wanted: &Value) -> anyhow::Result<()> {
        let what = format!("{property} of pool {pool} in ARM to be {wanted}");
        wait_for(&what, Duration::from_mins(1), async || {
            let found = self.in_arm(pool, property);
            Ok(if found == *wanted { Ok(()) } else { Err(found.to_string()) })
        })
        .await
    }

    /// A property of a pool in ARM.
    pub(super) fn in_arm(&self, pool: &str, property: &str) -> Value {
        let pool = self.bed.emulator.pool(pool);
        pool.as_ref().and_then(|pool| pool.pointer(&format!("/properties/{property}"))).cloned().unwrap_or_default()
    }

    /// How many writes the operator has sent to ARM.
    pub(super) fn writes(&self) -> usize {
        self.bed.emulator.journal().writes().by_user_agent("nodepool-operator").iter().count()
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> &testbed::Cluster {
        &self.bed.cluster
    }

    /// Pods of kube-system that a taint or the AKS side made leave their nodes.
    pub(super) fn evicted(&self) -> anyhow::Result<Vec<String>> {
        self.departed(|gone| gone.cause == Cause::Tainted || gone.user == testbed::bed::EMULATOR_USER)
    }

    /// Pods of kube-system that the operator evicted itself.
    pub(super) fn moved(&self) -> anyhow::Result<Vec<String>> {
        self.departed(|gone| gone.user == testbed::operator::OPERATOR_USER)
    }

    fn departed(&self, is_meant: impl Fn(&Departure) -> bool) -> anyhow::Result<Vec<String>> {
        let departures = self.bed.audit.departures()?.into_iter();
        Ok(departures.filter(|gone| gone.namespace == "kube-system" && is_meant(gone)).map(|gone| gone.pod).collect())
    }

    /// The end of the operator's log, for a failure.
    fn log(&self) -> String {
        format!("; the operator's log ends:\n{}", self.operator.log_tail(20))
    }

    /// Leaves everything running until Ctrl-C.
    pub(super) async fn keep(self) -> anyhow::Result<()> {
        say!("Everything is left running. Look around in another terminal:");
        say!("  export KUBECONFIG={}", self.bed.control_plane().kubeconfig().display());
        say!("  export PATH={}:$PATH", self.bed.control_plane().assets().folder().display());
        say!("  kubectl get npp,nodes");
        say!("  kubectl describe npp system");
        say!("  kubectl get pods -n kube-system -o wide");
        say!("  curl -s '{}'", self.arm_url());
        say!("Stop with Ctrl-C here; nothing stays behind.");
        tokio::signal::ctrl_c().await?;
        Ok(())
    }

    fn arm_url(&self) -> String {
        let endpoint = self.bed.emulator.endpoint().as_str().trim_end_matches('/').to_owned();
        format!("{endpoint}{}?api-version=2025-10-01", self.bed.emulator.cluster_id())
    }
}

fn show(output: &[u8]) {
    String::from_utf8_lossy(output).lines().for_each(|line| say!("{line}"));
}
