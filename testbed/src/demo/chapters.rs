//! The chapters of the demo, in order. Each returns what was seen, and fails if it was not.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::stage::Stage;
use crate::output::say;

const POLICIES: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: system}
spec: {mode: System, count: 2}
---
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: apps}
spec: {mode: User, count: 1}
";

const SCALED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: apps}
spec:
  mode: User
  count: 3
  taints:
    - {key: team, value: shop, effect: NoSchedule}
";

const DEMOTED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: system}
spec: {mode: User, count: 2}
";

const EVICTING: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: system}
spec:
  mode: System
  count: 2
  taints:
    - {key: maintenance, value: now, effect: NoExecute}
";

const PROMOTED: &str = "
apiVersion: aks.nodepool.dev/v1alpha1
kind: NodePoolPolicy
metadata: {name: apps}
spec: {mode: System, count: 3, taints: []}
";

const REFUSALS: &str = r#"jsonpath={range .status.refusals[*]}{.rule}: {.message}{"\n  To do: "}{.remedy}{"\n"}{end}"#;

/// Tells all chapters; returns a line for each.
pub(super) async fn tell(stage: &Stage) -> anyhow::Result<Vec<String>> {
    Ok(vec![
        adopt(stage).await?,
        scale(stage).await?,
        demote(stage).await?,
        evict(stage).await?,
        promote(stage).await?,
        edit(stage).await?,
    ])
}

/// Begins a chapter.
pub(super) fn chapter(title: &str) {
    say!("");
    say!("=== {title}");
}

async fn adopt(stage: &Stage) -> anyhow::Result<String> {
    chapter("Two policies adopt the pools that are there. Both are as asked, so nothing is written.");
    stage.apply(POLICIES).await?;
    stage.wait("system", "Ready").await?;
    stage.wait("apps", "Ready").await?;
    stage.kubectl(&["get", "nodepoolpolicies"]).await?;
    ensure!(stage.writes() == 0, "adopting wrote to ARM");
    Ok("Two pools adopted with no write to ARM.".to_owned())
}

async fn scale(stage: &Stage) -> anyhow::Result<String> {
    chapter("The user pool gets two more nodes and a taint. Real nodes arrive and carry it.");
    stage.apply(SCALED).await?;
    stage.wait_for_arm("apps", "count", &json!(3)).await?;
    stage.wait("apps", "Ready").await?;
    let nodes = stage.cluster().wait_for_ready_nodes("apps", 3).await?;
    stage.kubectl(&["get", "nodes", "-L", "kubernetes.azure.com/agentpool,kubernetes.azure.com/mode"]).await?;
    let tainted = |node: &k8s_openapi::api::core::v1::Node| {
        testbed::cluster::taints(node).iter().any(|taint| taint.key == "team" && taint.effect == "NoSchedule")
    };
    ensure!(nodes.iter().all(tainted), "not every node carries the taint");
    ensure!(stage.writes() == 2, "scaling and tainting took {} writes instead of 2", stage.writes());
    Ok("Pool apps scaled from 1 to 3 nodes and tainted: two writes, three Ready nodes with the taint.".to_owned())
}

async fn demote(stage: &Stage) -> anyhow::Result<String> {
    chapter("Somebody makes the only system pool a user pool. ARM alone would look no further than its own list.");
    stage.apply(DEMOTED).await?;
    stage.wait("system", "Stalled").await?;
    stage.kubectl(&["get", "nodepoolpolicies"]).await?;
    stage.kubectl(&["describe", "npp", "system"]).await?;
    refused_by(stage, "LastHealthySystemPool").await?;
    Ok("Demoting the only system pool was refused (LastHealthySystemPool); nothing was written.".to_owned())
}

async fn evict(stage: &Stage) -> anyhow::Result<String> {
    chapter("Somebody taints the system pool with NoExecute. The taint manager would evict coredns at once.");
    stage.apply(EVICTING).await?;
    stage.wait("system", "Stalled").await?;
    stage.kubectl(&["get", "npp", "system", "-o", REFUSALS]).await?;
    refused_by(stage, "SystemPodsWouldBeEvicted").await?;
    let pods = stage.read("system", "{.status.refusals[*].pods}").await?;
    ensure!(pods.contains("kube-system/coredns-"), "the refusal does not name coredns: {pods}");
    Ok("A NoExecute taint that would evict coredns was refused, naming the pods; all of them still run.".to_owned())
}

async fn promote(stage: &Stage) -> anyhow::Result<String> {
    chapter("A second pool becomes a system pool. The first may still not be demoted: protected pods run on it.");
    stage.apply(PROMOTED).await?;
    stage.wait_for_arm("apps", "mode", &json!("System")).await?;
    stage.wait("apps", "Ready").await?;
    stage.apply(DEMOTED).await?;
    let what = "the demotion to be refused for the pods alone";
    testbed::wait_for(what, Duration::from_mins(1), async || {
        let rules = stage.read("system", "{.status.refusals[*].rule}").await?;
        Ok(if rules == "SystemPodsWouldBeEvicted" { Ok(()) } else { Err(rules) })
    })
    .await?;
    stage.wait("system", "Stalled").await?;
    stage.kubectl(&["get", "nodepoolpolicies"]).await?;
    refused_by(stage, "SystemPodsWouldBeEvicted").await?;
    Ok("Pool apps promoted to a system pool; demoting pool system is still refused, now for its pods only.".to_owned())
}

async fn edit(stage: &Stage) -> anyhow::Result<String> {
    chapter("Somebody edits a pool by hand. The operator sees it and puts it right.");
    let written = stage.writes();
    stage.edit_in_arm("apps", json!({"nodeTaints": ["by=hand:PreferNoSchedule"]})).await?;
    stage.wait_for_arm("apps", "nodeTaints", &json!(null)).await?;
    stage.wait("apps", "Ready").await?;
    stage
        .kubectl(&[
            "get",
            "events",
            "--field-selector",
            "involvedObject.name=apps",
            "--sort-by=.metadata.creationTimestamp",
        ])
        .await?;
    ensure!(stage.writes() == written + 1, "putting it right took {} writes", stage.writes() - written);
    Ok("A taint that somebody added in ARM was removed again with one write.".to_owned())
}

/// The rule is among the refusals, and the pool in ARM is untouched.
async fn refused_by(stage: &Stage, rule: &str) -> anyhow::Result<()> {
    let rules = stage.read("system", "{.status.refusals[*].rule}").await?;
    ensure!(rules.contains(rule), "refused by {rules:?} and not by {rule}");
    ensure!(stage.in_arm("system", "mode") == "System", "the system pool was demoted in ARM");
    ensure!(stage.in_arm("system", "nodeTaints").is_null(), "the system pool was tainted in ARM");
    Ok(())
}
