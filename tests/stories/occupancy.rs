//! What runs on the nodes of a drain, as the operator reads it from a real API server: every pod, who would start it again, and
//! the budgets that speak for it. No operator takes part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aks_emulator::PoolSpec;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use nodepool_kernel::{Known, Occupancy, Tenancy};
use nodepool_operator::arm::ArmClient;
use nodepool_operator::observe::{Lists, Observer, Store};
use serde_json::json;
use testbed::{Lane, Testbed, wait_for};

use super::options::options;
use super::parts::ADMIN;
use super::support::{DEADLINE, Scene, Story, story};

pub fn stories() -> Vec<Story> {
    vec![story("what_runs_on_nodes_is_read_with_its_budgets_and_kept_for_a_while", occupancy)]
}

const LONG: Duration = Duration::from_hours(1);

fn observer(bed: &Testbed, config: Config) -> anyhow::Result<Observer> {
    let arm = ArmClient::new(options(bed.emulator.endpoint().as_str(), bed.emulator.cluster_id()))?;
    let (client, lists) = (Client::try_from(config.clone())?, Lists::new(config)?);
    Ok(Observer::new(client, lists, Arc::new(arm), Arc::new(Store::default()), vec!["kube-system".to_owned()]))
}

/// A namespace with a budget and a pod on that node that nobody would start again.
async fn lone_pod(bed: &Testbed, namespace: &str, node: &str) -> anyhow::Result<Api<Pod>> {
    let client = bed.cluster.client();
    let space: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &space).await?;
    let budget: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": {"name": "budget"}, "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "lone"}}}
    }))?;
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &budget).await?;
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "lone", "labels": {"app": "lone"}},
        "spec": {"nodeName": node, "restartPolicy": "Never", "containers": [{"name": "c", "image": "c"}]}
    }))?;
    wait_for("the pod to be taken", DEADLINE, async || match pods.create(&PostParams::default(), &pod).await {
        Ok(_) => Ok(Ok(())),
        // The service account of a new namespace comes a moment later.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message)),
        Err(error) => Err(error.into()),
    })
    .await?;
    // Until then the kubelet has the last word on its phase.
    wait_for("the pod to run", DEADLINE, async || {
        let phase = pods.get("lone").await?.status.and_then(|status| status.phase).unwrap_or_default();
        Ok(if phase == "Running" { Ok(()) } else { Err(phase) })
    })
    .await?;
    Ok(pods)
}

/// What the observer knows of the pool.
fn known(observer: &Observer, pool: &str) -> Option<Known<Occupancy>> {
    observer.snapshot(vec![]).occupancy.remove(pool)
}

async fn occupancy(lane: Lane) -> anyhow::Result<Option<Scene>> {
    let bed = Testbed::builder(lane).pool(PoolSpec::system("system", 2)).start().await?;
    let nodes: Vec<String> = bed.cluster.nodes_of("system").await?.iter().map(ResourceExt::name_any).collect();
    let [first, second] = &nodes[..] else { anyhow::bail!("{nodes:?}") };
    lone_pod(&bed, "shop", first).await?;
    let finished = lone_pod(&bed, "done", first).await?;
    let over = json!({"status": {"phase": "Succeeded"}});
    finished.patch_status("lone", &PatchParams::default(), &Patch::Merge(over)).await?;

    let observer = observer(&bed, bed.control_plane().config_of(ADMIN)?)?;
    let of = |nodes: &[&String]| BTreeMap::from([("system".to_owned(), nodes.iter().copied().cloned().collect())]);
    assert!(observer.know_occupancy(&of(&[first]), LONG).await, "it is read at first");
    let found = known(&observer, "system").context("nothing is known")?;
    let found = found.value().context("it is not known")?;
    is_what_runs(&bed, first, found).await?;

    assert!(!observer.know_occupancy(&of(&[first]), LONG).await, "it is kept");
    assert!(observer.occupancy_due(LONG).is_some());
    assert!(observer.know_occupancy(&of(&[first, second]), LONG).await, "another node has not been read");
    assert!(!observer.know_occupancy(&of(&[second]), LONG).await, "one of both has");
    assert!(observer.know_occupancy(&of(&[second]), Duration::ZERO).await, "it is too old");
    observer.outdate_occupancy("system");
    assert_eq!(observer.occupancy_due(LONG), None, "it is read with the next pass that wants it");
    assert!(known(&observer, "system").is_some(), "what was known is known until then");
    assert!(observer.know_occupancy(&of(&[second]), LONG).await, "something was changed");
    let other = BTreeMap::from([("apps".to_owned(), BTreeSet::new())]);
    assert!(observer.know_occupancy(&other, LONG).await);
    assert!(
        known(&observer, "system").is_none() && known(&observer, "apps").is_some(),
        "what nobody wants is forgotten"
    );
    cannot_be_read(&bed, first).await?;
    Ok(None)
}

/// Compares what was read with what the API server shows.
async fn is_what_runs(bed: &Testbed, node: &str, found: &Occupancy) -> anyhow::Result<()> {
    assert_eq!(found.nodes, BTreeSet::from([node.to_owned()]));
    let row = |pod: &Pod| {
        let (namespace, daemon) = (pod.namespace().unwrap_or_default(), testbed::cluster::is_of_daemon_set(pod));
        let is_alone = pod.owner_references().is_empty();
        let tenancy = match (daemon, is_alone) {
            (true, _) => Tenancy::OfNode,
            (_, true) => Tenancy::Alone,
            (_, false) => Tenancy::Controlled,
        };
        let (is_protected, name) = (namespace == "kube-system", format!("{namespace}/{}", pod.name_any()));
        (name, pod.uid().unwrap_or_default(), format!("{tenancy:?}"), is_protected, !daemon && namespace != "done")
    };
    let shown: BTreeSet<_> = bed.cluster.pods_on(node).await?.iter().map(row).collect();
    let read = found.pods.iter().map(|it| {
        assert_eq!(it.node(), node);
        (it.pod.full_name(), it.uid.clone(), format!("{:?}", it.tenancy), it.protected, it.holds_node())
    });
    assert_eq!(read.collect::<BTreeSet<_>>(), shown);
    for (name, tenancy, holds) in [("shop/lone", "Alone", true), ("done/lone", "Alone", false)] {
        let is_it = |row: &&(String, String, String, bool, bool)| row.0 == name && row.2 == tenancy && row.4 == holds;
        assert!(shown.iter().any(|row| is_it(&row)), "{name} in {shown:?}");
    }
    let budgets: BTreeSet<String> = found.budgets.iter().map(nodepool_kernel::Budget::full_name).collect();
    assert!(budgets.contains("shop/budget") && !budgets.contains("done/budget"), "{budgets:?}");
    let protected = shown.iter().any(|row| row.3 && row.4);
    assert_eq!(budgets.contains("kube-system/coredns-pdb"), protected, "{budgets:?}");
    Ok(())
}

/// What the API server does not tell is unknown, and says why.
async fn cannot_be_read(bed: &Testbed, node: &str) -> anyhow::Result<()> {
    let mut config = bed.control_plane().config_of(ADMIN)?;
    config.auth_info.impersonate = Some("nobody".to_owned());
    let observer = observer(bed, config)?;
    let wanted = BTreeMap::from([("system".to_owned(), BTreeSet::from([node.to_owned()]))]);
    assert!(observer.know_occupancy(&wanted, LONG).await);
    let Some(Known::Unknown { reason }) = known(&observer, "system") else { anyhow::bail!("it is known") };
    assert!(reason.contains("user nobody may not list them"), "{reason}");
    Ok(())
}
