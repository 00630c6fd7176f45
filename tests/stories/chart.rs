//! The chart on a cluster: Helm installs it where nothing but the restricted level of pod security is admitted, the real
//! scheduler places its pods, and the operator runs with exactly what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aks_emulator::{Authentication, PoolSpec, Tls};
use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use nodepool_operator::api::NodePoolPolicy;
use serde_json::{Value, json};
use testbed::cluster::{is_running, node_of};
use testbed::helm::{Said, chart};
use testbed::pod::Webhook;
use testbed::{Helm, KubeSystem, Lane, OPERATOR_USER, Operator, Testbed, wait_for};

use super::sign_in::{CLIENT, TENANT, identity, of_the_operator};
use super::support::{DEADLINE, Scene, Story, binary, policy, story};

/// The namespace, the release and all objects.
const NAME: &str = "nodepool-operator";

pub fn stories() -> Vec<Story> {
    vec![
        story("chart_installs_under_restricted_pod_security_and_the_operator_acts_as_rendered", installed),
        story("chart_upgrade_rolls_the_pods_and_uninstall_leaves_crds_policies_and_pools", upgraded),
        story("chart_values_that_are_missing_or_wrong_are_told_by_name_and_install_nothing", refused),
        story("chart_is_installed_once_in_a_cluster", once),
    ]
}

/// A cluster that never had an operator, with Helm beside it.
pub struct Site {
    pub bed: Testbed,
    helm: Helm,
    values: tempfile::TempDir,
}

impl Site {
    pub async fn begin(lane: Lane) -> anyhow::Result<Self> {
        let identity = identity()?.federated(of_the_operator());
        let builder = Testbed::builder(lane).kube_system(KubeSystem::None).emulator(|settings| {
            settings.tls = Some(Tls::default());
            settings.authentication = Authentication::Required;
        });
        let builder = builder.cluster(|cluster| cluster.identities = vec![identity]);
        let bed = builder.pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1)).start().await?;
        let client = bed.cluster.client();
        testbed::operator::remove(&client).await?;
        testbed::manifests::apply(&client, include_str!("../../deploy/base/namespace.yaml")).await?;
        let authority = bed.emulator.authority_pem().context("the emulator has no authority")?;
        let map: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": "authority"}, "data": {"ca.crt": authority}}))?;
        Api::<ConfigMap>::namespaced(client, NAME).create(&PostParams::default(), &map).await?;
        let site = Self { bed, helm: Helm::find().await?, values: tempfile::tempdir()? };
        std::fs::write(site.values_file(), serde_json::to_string(&site.values())?)?;
        Ok(site)
    }

    fn values_file(&self) -> std::path::PathBuf {
        self.values.path().join("values.json")
    }

    /// What somebody sets, and what makes the operator as quick as the testbed.
    fn values(&self) -> Value {
        let endpoint = self.bed.emulator.endpoint().as_str().trim_end_matches('/');
        json!({
            "clusterResourceId": self.bed.emulator.cluster_id(),
            "image": {"repository": "example.azurecr.io/nodepool-operator"},
            "azure": {"clientId": CLIENT, "ca": {"configMapName": "authority"}},
            "arm": {"endpoint": endpoint, "refreshSeconds": 1, "pollSeconds": 0.2, "requestShare": 1000},
            "safety": {"systemNodeReadySeconds": 0.5, "requiredAddOns": []},
            "reporting": {"settleSeconds": 0.3},
            "log": {"filter": "info,nodepool_operator=debug"},
        })
    }

    async fn run(&self, verb: &[&str], values: &[&str]) -> anyhow::Result<Said> {
        let (chart, file) = (chart(), self.values_file());
        let mut arguments = verb.to_vec();
        arguments.extend([path(&chart)?, "--namespace", NAME, "--values", path(&file)?]);
        arguments.extend(values);
        self.helm.run(Some(&self.bed.control_plane().kubeconfig()), &arguments).await
    }

    /// Runs Helm with these values beside the others, waits as Helm does until all is Ready, and returns what it tells.
    pub async fn helm(&self, verb: &str, values: &[&str]) -> anyhow::Result<String> {
        let said = self.run(&[verb, NAME, "--wait", "--timeout", "2m"], values).await?;
        ensure!(said.succeeded, "helm {verb} failed: {}{}", said.output, said.errors);
        // A warning of the API server would be that of a level of pod security, or of a field that it does not know.
        ensure!(said.errors.is_empty(), "helm {verb} warns: {}", said.errors);
        Ok(said.output)
    }

    fn client(&self) -> Client {
        self.bed.cluster.client()
    }

    /// The operator's pods, once there are two and all run.
    pub async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let two = wait_for("two pods of the operator to run", DEADLINE, async || {
            let pods = self.bed.cluster.pods(NAME).await?;
            let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
            Ok(if pods.len() == 2 && pods.iter().all(is_running) { Ok(pods) } else { Err(names.join(", ")) })
        });
        two.await
    }

    /// The process of a pod.
    pub async fn start(&self, pod: &Pod) -> anyhow::Result<Operator> {
        let (control_plane, program) = (self.bed.control_plane(), Path::new(binary()));
        Operator::start_pod(control_plane, &self.bed.api, program, pod, &self.webhook()).await
    }

    /// What the webhook of workload identity in this cluster knows.
    pub fn webhook(&self) -> Webhook {
        Webhook { tenant: TENANT.to_owned(), authority: self.bed.emulator.endpoint().as_str().to_owned() }
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is no text")
}

/// A variable of the operator's container.
fn variable<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let container = pod.spec.as_ref()?.containers.first()?;
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.as_deref()
}

/// A policy is followed, and another one refused.
pub async fn follows_and_refuses(scene: &Scene) -> anyhow::Result<()> {
    scene.apply(policy("apps", json!({"labels": {"team": "shop"}, "count": 2}))).await?;
    scene.ready("apps").await?;
    ensure!(scene.in_arm("apps", "count") == 2);
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    scene.refused("system", "LastHealthySystemPool").await?;
    scene.delete("system").await?;
    Ok(())
}

async fn installed(lane: Lane) -> anyhow::Result<Scene> {
    let site = Site::begin(lane).await?;
    let told = site.helm("install", &[]).await?;
    for next in ["with 2 replicas", OPERATOR_USER, "kubectl get npi", "{enforcement: Observe, count: 3}"] {
        ensure!(told.contains(next), "the notes lack {next:?}: {told}");
    }
    let pods = site.pods().await?;
    let mut nodes: Vec<&str> = pods.iter().filter_map(node_of).collect();
    nodes.sort_unstable();
    let system: Vec<String> = site.bed.cluster.nodes_of("system").await?.iter().map(ResourceExt::name_any).collect();
    ensure!(nodes == system, "the pods are on {nodes:?}, one was to be on each of {system:?}");
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(site.client(), NAME);
    wait_for("the budget to let one pod go", DEADLINE, async || {
        let allowed = budgets.get(NAME).await?.status.map(|status| status.disruptions_allowed);
        Ok(if allowed == Some(1) { Ok(()) } else { Err(format!("{allowed:?}")) })
    })
    .await?;

    let [pod, other] = pods.as_slice() else { anyhow::bail!("there are not two pods") };
    let (name, operator) = (pod.name_any(), site.start(pod).await?);
    wait_for("the first pod to hold the lease", DEADLINE, async || {
        let holder = operator.lease().get_opt(NAME).await?.and_then(|lease| lease.spec?.holder_identity);
        let held = holder.as_deref().is_some_and(|holder| operator.is_called(holder));
        Ok(if held { Ok(()) } else { Err(format!("held by {holder:?}: {}", operator.log_tail(3))) })
    })
    .await?;
    let mut waiting = site.start(other).await?;
    let mut scene = Scene::of(site.bed, operator);
    follows_and_refuses(&scene).await?;
    let events = Api::<Event>::all(scene.bed.cluster.client()).list(&ListParams::default()).await?.items;
    let ours = events.iter().filter(|event| event.reporting_controller.as_deref() == Some(NAME));
    let by: BTreeSet<Option<&str>> = ours.map(|event| event.reporting_instance.as_deref()).collect();
    ensure!(by == BTreeSet::from([Some(name.as_str())]), "the events are of {by:?} instead of {name}");
    let refused = scene.bed.emulator.journal().by_user_agent("nodepool-operator");
    let refused = refused.only(|exchange| exchange.status.is_some_and(|status| status >= 400));
    ensure!(refused.iter().next().is_none(), "{refused:?}");

    ensure!(waiting.exited()?.is_none(), "{}", waiting.log_tail(5));
    scene.operator.terminate().await?;
    scene.apply(policy("apps", json!({"labels": {"team": "shop"}, "count": 3}))).await?;
    scene.ready("apps").await?;
    waiting.terminate().await?;
    Ok(scene)
}

async fn upgraded(lane: Lane) -> anyhow::Result<Option<Scene>> {
    let site = Site::begin(lane).await?;
    site.helm("install", &[]).await?;
    let before = site.pods().await?;
    let policies: Api<NodePoolPolicy> = Api::all(site.client());
    let mut operator = site.start(before.first().context("there is no pod")?).await?;
    let written: NodePoolPolicy =
        serde_json::from_value(policy("apps", json!({"count": 2, "deletionPolicy": "Delete"})))?;
    policies.create(&PostParams::default(), &written).await?;
    let count = || site.bed.emulator.pool("apps").map(|pool| pool["properties"]["count"].clone());
    wait_for("the pool to be scaled", DEADLINE, async || {
        Ok(if count() == Some(json!(2)) { Ok(()) } else { Err(operator.log_tail(5)) })
    })
    .await?;

    site.helm("upgrade", &["--set", "safety.minReadySystemNodes=1"]).await?;
    let after = site.pods().await?;
    for pod in &after {
        ensure!(before.iter().all(|old| old.uid() != pod.uid()), "{} was not replaced", pod.name_any());
        ensure!(variable(pod, "MIN_READY_SYSTEM_NODES") == Some("1"), "{} has the old floor", pod.name_any());
    }
    let held: BTreeMap<_, _> = after.iter().map(|pod| (pod.uid(), node_of(pod))).collect();
    site.helm("upgrade", &["--set", "safety.minReadySystemNodes=1"]).await?;
    let again: BTreeMap<_, _> =
        site.pods().await?.iter().map(|pod| (pod.uid(), node_of(pod).map(str::to_owned))).collect();
    ensure!(again.keys().eq(held.keys()), "an upgrade that changes nothing replaced pods: {held:?}, {again:?}");
    operator.terminate().await?;
    let mut operator = site.start(after.first().context("there is no pod")?).await?;
    wait_for("the new process to start", DEADLINE, async || {
        Ok(if operator.log().contains("started") { Ok(()) } else { Err(operator.log_tail(5)) })
    })
    .await?;
    operator.terminate().await?;

    let kubeconfig = site.bed.control_plane().kubeconfig();
    let arguments = ["uninstall", NAME, "--namespace", NAME, "--wait", "--timeout", "2m"];
    let said = site.helm.run(Some(&kubeconfig), &arguments).await?;
    ensure!(said.succeeded, "helm uninstall failed: {}", said.errors);
    ensure!(said.output.contains("nodepoolpolicies.aks.nodepool.dev"), "it tells what it keeps: {}", said.output);
    nothing_is_left(&site).await?;
    let stays = policies.get("apps").await?;
    ensure!(stays.metadata.deletion_timestamp.is_none() && !stays.finalizers().is_empty(), "{:?}", stays.metadata);
    ensure!(count() == Some(json!(2)), "the pool stays as it was");
    let kept = Api::<CustomResourceDefinition>::all(site.client()).list(&ListParams::default()).await?;
    ensure!(kept.items.iter().filter(|it| it.spec.group == "aks.nodepool.dev").count() == 2, "the CRDs stay");
    Ok(None)
}

/// Nothing of the release is in the cluster, CRDs aside.
async fn nothing_is_left(site: &Site) -> anyhow::Result<()> {
    wait_for("the release to be gone", DEADLINE, async || {
        let mut left: Vec<String> = site.bed.cluster.pods(NAME).await?.iter().map(ResourceExt::name_any).collect();
        let deployments: Api<Deployment> = Api::namespaced(site.client(), NAME);
        let roles: Api<ClusterRole> = Api::all(site.client());
        left.extend(deployments.list(&ListParams::default()).await?.items.iter().map(ResourceExt::name_any));
        left.extend(roles.get_opt(NAME).await?.map(|role| role.name_any()));
        Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
    })
    .await
}

/// What somebody sets wrongly, and what Helm's message must say.
const WRONG: [(&[&str], &[&str]); 13] = [
    (&["--set", "clusterResourceId="], &["clusterResourceId is required", "az aks show --query id"]),
    (&["--set", "clusterResourceId=/subscriptions/s"], &["clusterResourceId \"/subscriptions/s\" is no id"]),
    (&["--set", "clusterResourceId=7"], &["/clusterResourceId", "want string"]),
    (&["--set", "image.repository="], &["image.repository is required", "where you pushed the image"]),
    (&["--set", "azure.clientId="], &["azure.clientId is required where azure.auth is workload"]),
    (&["--set", "azure.clientId=me"], &["/azure/clientId", "'me'"]),
    (&["--set", "azure.auth=password"], &["/azure/auth", "'workload'", "'managed'", "'secret'"]),
    (
        &["--set", "azure.auth=secret,azure.clientId="],
        &["azure.clientId is required", "azure.tenantId is required", "azure.clientSecret.secretName is required"],
    ),
    (&["--set", "safety.minReadySystemNodes=two"], &["/safety/minReadySystemNodes", "want integer"]),
    (&["--set", "safety.bulkChanges=0,arm.pollSeconds=0"], &["/safety/bulkChanges", "/arm/pollSeconds"]),
    (&["--set", "safety.minReadySystemNode=3"], &["/safety", "'minReadySystemNode' not allowed"]),
    (
        &["--set", "leaderElection.enabled=false"],
        &["replicas is 2 without leaderElection.enabled", "set replicas to 1"],
    ),
    (
        &["--set", "metrics.port=8081,extraEnv[0].name=LOG,arm.writeTimeoutSeconds=60"],
        &[
            "metrics.port and health.port are both 8081",
            "extraEnv has LOG",
            "arm.writeTimeoutSeconds is 60: with leaderElection.leaseSeconds at 45 it may be 33 at most",
        ],
    ),
];

async fn refused(lane: Lane) -> anyhow::Result<Option<Scene>> {
    let site = Site::begin(lane).await?;
    for (values, parts) in WRONG {
        let said = site.run(&["install", NAME], values).await?;
        ensure!(!said.succeeded, "{values:?} was taken");
        for part in parts {
            ensure!(said.errors.contains(part), "{values:?}: {part:?} is missing in: {}", said.errors);
        }
    }
    nothing_is_left(&site).await?;
    Ok(None)
}

async fn once(lane: Lane) -> anyhow::Result<Option<Scene>> {
    let site = Site::begin(lane).await?;
    site.helm("install", &[]).await?;
    let mut arguments = vec!["install", "second"];
    let (chart, file) = (chart(), site.values_file());
    arguments.extend([path(&chart)?, "--namespace", "second", "--create-namespace", "--values", path(&file)?]);
    let said = site.helm.run(Some(&site.bed.control_plane().kubeconfig()), &arguments).await?;
    ensure!(!said.succeeded && said.errors.contains("cannot be imported"), "{}", said.errors);
    ensure!(site.bed.cluster.pods("second").await?.is_empty(), "a second operator runs");
    Ok(None)
}
