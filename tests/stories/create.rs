//! Pools that do not exist: created from their policy's template, refused with a reason, and never changed for it.

use aks_emulator::{Action, Canned, ForeignRequest, Matcher, OperationFailure, PoolSpec};
use nodepool_operator::api::{ConditionStatus, NodePoolPolicyStatus, condition};
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Testbed};

use super::support::{DEADLINE, Scene, Story, begin_with, holds, message, policy, story, taints_of};

pub fn stories() -> Vec<Story> {
    vec![
        story("create_a_user_pool_by_policy", user_pool),
        story("create_a_system_pool_and_demote_the_old_one_in_one_commit", replace),
        story("a_creation_that_azure_refuses_is_told_and_repeated_slowly", refused),
        story("a_creation_that_fails_is_tried_again", failed),
        story("a_created_pool_is_ready_when_its_nodes_are", joining),
        story("a_pool_that_exists_is_never_changed_for_its_template", adopted),
        story("a_pool_that_somebody_else_creates_first_is_adopted", raced),
        story("a_pool_that_is_deleted_by_hand_is_created_again", deleted),
        story("what_stands_against_a_creation_is_told_before_any_call", unsuitable),
        story("the_api_server_refuses_contradictory_templates", contradictory),
    ]
}

/// A system pool of two nodes and an empty kube-system.
async fn cluster(lane: Lane) -> anyhow::Result<Scene> {
    cluster_that_retries_after(lane, "0.5").await
}

/// The same; what has failed is tried again after so many seconds.
async fn cluster_that_retries_after(lane: Lane, seconds: &str) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    begin_with(builder, &["--retry-seconds", seconds]).await
}

fn of_size(size: &str) -> Value {
    json!({"vmSize": size})
}

/// The writes of the operator: method, pool, what it was under, and the answer's status.
fn sent(scene: &Scene) -> Vec<(String, String, Option<u16>)> {
    let journal = scene.bed.emulator.journal().writes().by_user_agent("nodepool-operator");
    let of = |name: &str, headers: &std::collections::BTreeMap<String, String>| headers.get(name).cloned();
    journal
        .iter()
        .map(|write| {
            let under = of("if-none-match", &write.headers).map(|tag| format!("if none matches {tag}"));
            let under = under.or_else(|| of("if-match", &write.headers).map(|_| "if it matches".to_owned()));
            let what = format!("{} {}", write.method, write.resource_name());
            (what, under.unwrap_or_else(|| "in any case".to_owned()), write.status)
        })
        .collect()
}

fn created(pool: &str) -> (String, String, Option<u16>) {
    (format!("PUT {pool}"), "if none matches *".to_owned(), Some(201))
}

fn outcomes(status: &NodePoolPolicyStatus) -> Vec<&str> {
    status.history.iter().map(|entry| entry.outcome.as_str()).collect()
}

async fn user_pool(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let held = scene.bed.emulator.operation("apps").hold();
    let spec = json!({
        "mode": "User", "count": 2, "labels": {"tier": "web"}, "tags": {"Owner": "shop"},
        "taints": [{"key": "team", "value": "shop", "effect": "NoSchedule"}],
        "template": {"vmSize": "Standard_D4ds_v5", "osSKU": "AzureLinux", "zones": ["1", "2"], "maxPods": 50},
    });
    scene.apply(policy("apps", spec)).await?;
    anyhow::ensure!(held.arrived_within(DEADLINE).await, "the creation never ran");
    let status = scene
        .until("apps", "to be seen in creation", |status| {
            status.operation.as_ref().is_some_and(|operation| operation.kind == "Creating")
        })
        .await?;
    let said = message(&status, condition::READY);
    assert_eq!(said, "Azure carries out: create a User pool with 2 nodes of Standard_D4ds_v5");
    assert!(holds(&status, condition::RECONCILING) && !holds(&status, condition::STALLED));
    scene.page("creating", "apps").await?;
    held.release();

    let status = scene.ready("apps").await?;
    assert_eq!(message(&status, condition::READY), "User pool with 2 nodes, as the policy asks");
    assert!(holds(&status, condition::IN_SYNC));
    assert_eq!((outcomes(&status), &status.owned_labels[..]), (vec!["Started", "Succeeded"], &["tier".to_owned()][..]));
    assert_eq!(status.owned_tags, ["Owner"]);
    assert_eq!(sent(&scene), [created("apps")]);
    let properties = json!({
        "mode": "User", "count": 2, "nodeLabels": {"tier": "web"}, "nodeTaints": ["team=shop:NoSchedule"],
        "vmSize": "Standard_D4ds_v5", "osSKU": "AzureLinux", "availabilityZones": ["1", "2"], "maxPods": 50,
        "tags": {"Owner": "shop"},
    });
    assert_eq!(scene.writes(), [("apps".to_owned(), json!({ "properties": properties }))]);
    let nodes = scene.nodes("apps").await?;
    assert_eq!(nodes.len(), 2);
    for node in nodes {
        assert_eq!(taints_of(&node), ["team=shop:NoSchedule"]);
        let labels = node.metadata.labels.unwrap_or_default();
        assert_eq!(labels.get("tier").map(String::as_str), Some("web"));
    }
    scene.bed.cluster.wait_for_ready_nodes("apps", 2).await?;
    scene.told("apps", &["PlanMade", "StepStarted", "StepSucceeded"]).await?;
    scene.page("created", "apps").await?;
    scene.is_quiet().await?;
    Ok(scene)
}

async fn replace(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let held = scene.bed.emulator.operation("fresh").hold();
    scene.apply(policy("system", json!({"mode": "User"}))).await?;
    let spec = json!({"mode": "System", "count": 2, "template": of_size("Standard_D4ds_v5")});
    scene.apply(policy("fresh", spec)).await?;
    anyhow::ensure!(held.arrived_within(DEADLINE).await, "the creation never ran");
    let waits = scene
        .until("system", "to wait for the new pool", |status| {
            message(status, condition::READY).contains("create a System pool with 2 nodes")
        })
        .await?;
    assert!(holds(&waits, condition::RECONCILING) && holds(&waits, condition::SAFE), "{waits:?}");
    scene.page("waiting-for-step", "system").await?;
    scene.looks_again().await?;
    assert_eq!(sent(&scene), [created("fresh")]);
    held.release();
    scene.ready("fresh").await?;
    scene.ready("system").await?;
    for name in ["fresh", "system"] {
        scene.never_failed(name).await?;
    }
    assert_eq!(sent(&scene)[1..], [("PUT system".to_owned(), "in any case".to_owned(), Some(200))]);
    let modes = ["fresh", "system"].map(|pool| scene.in_arm(pool, "mode"));
    assert_eq!(modes, ["System", "User"]);
    Ok(scene)
}

async fn refused(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let quota =
        "Insufficient vcpu quota requested 8, remaining 4 for family StandardDDSv5Family for region westeurope.";
    let refusal = scene.bed.emulator.respond(
        Matcher::put_pool("apps").user_agent("nodepool-operator"),
        Canned::error(400, "ErrCode_InsufficientVCPUQuota", quota),
        Some(2),
    );
    scene.apply(policy("apps", json!({"count": 2, "template": of_size("Standard_D4ds_v5")}))).await?;
    let status = scene.stalled("apps", "WriteFailed").await?;
    let said = message(&status, condition::STALLED);
    assert!(said.contains("ErrCode_InsufficientVCPUQuota") && said.contains("To do: have the quota"), "{said}");
    let attempt = status.attempt.as_ref();
    assert!(attempt.is_some_and(|attempt| attempt.next.is_some()), "{attempt:?}");
    let in_sync = status.condition(condition::IN_SYNC).map(|it| (it.status, it.message.as_str()));
    let to_be_done = "to be done: create a User pool with 2 nodes of Standard_D4ds_v5";
    assert_eq!(in_sync, Some((ConditionStatus::False, to_be_done)));
    scene.ready("apps").await?;
    assert_eq!(refusal.count(), 2);
    assert_eq!(sent(&scene).len(), 3);
    Ok(scene)
}

async fn failed(lane: Lane) -> anyhow::Result<Scene> {
    // Long enough for the failure to be seen on a slow machine.
    let scene = cluster_that_retries_after(lane, "5").await?;
    let _capacity = scene.bed.emulator.operation("apps").fail_as(OperationFailure::AllocationFailed, Some(1));
    scene.apply(policy("apps", json!({"count": 1, "template": of_size("Standard_D4ds_v5")}))).await?;
    let has_failed = |status: &NodePoolPolicyStatus| message(status, condition::READY).contains("AllocationFailed");
    let failed = scene.until("apps", "to have failed", has_failed).await?;
    let said = message(&failed, condition::READY);
    assert!(said.contains("To do: Azure has no such machines"), "{said}");
    let status = scene.ready("apps").await?;
    assert_eq!(outcomes(&status), ["Started", "Failed", "Started", "Succeeded"]);
    assert_eq!(sent(&scene).len(), 2, "the creation, and another try of what has failed");
    scene.is_quiet().await?;
    Ok(scene)
}

async fn joining(lane: Lane) -> anyhow::Result<Scene> {
    let mut scene = cluster(lane).await?;
    let held = scene.bed.emulator.operation("apps").hold();
    scene.apply(policy("apps", json!({"count": 1, "template": of_size("Standard_D4ds_v5")}))).await?;
    anyhow::ensure!(held.arrived_within(DEADLINE).await, "the creation never ran");
    let node = scene.node_names("apps").await?.pop().unwrap_or_default();
    scene.bed.cluster.set_ready(&node, false).await?;
    held.release();
    scene.bed.emulator.idle().await;
    let not_yet = format!("pool apps has been created; of its nodes, 0 of 1 are Ready in Kubernetes (not yet {node})");
    let waits = |status: &NodePoolPolicyStatus| message(status, condition::READY) == not_yet;
    let status = scene.until("apps", "to wait for its node", waits).await?;
    assert!(holds(&status, condition::RECONCILING) && outcomes(&status) == ["Started"], "{status:?}");
    scene.operator.kill().await?;
    scene.operator.restart().await?;
    scene.is_quiet().await?;
    scene.until("apps", "to wait for its node", waits).await?;
    scene.bed.cluster.set_ready(&node, true).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(outcomes(&status), ["Started", "Succeeded"]);
    assert_eq!(sent(&scene), [created("apps")]);
    Ok(scene)
}

async fn adopted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let template = json!({"vmSize": "Standard_E8ds_v5", "osSKU": "UBUNTU", "osType": "Linux", "zones": ["1", "2"]});
    scene.apply(policy("system", json!({"count": 2, "template": template}))).await?;
    let status = scene.ready("system").await?;
    let in_sync = status.condition(condition::IN_SYNC).map(|it| (it.status, it.reason.as_str()));
    assert_eq!(in_sync, Some((ConditionStatus::False, "TemplateDiffers")));
    let said = message(&status, condition::IN_SYNC);
    assert!(
        said.contains("template.vmSize is Standard_D4ds_v5, not Standard_E8ds_v5 (Replace); template.zones is "),
        "{said}"
    );
    assert!(!said.contains("osSKU"), "case means nothing: {said}");
    let said = message(&status, condition::READY);
    assert_eq!(said, "System pool with 2 nodes, as the policy asks, but for the template's vmSize, zones");
    scene.page("template-differs", "system").await?;
    let fields: Vec<&str> = status.drift.iter().map(|drift| drift.field.as_str()).collect();
    assert_eq!(fields, ["template.vmSize", "template.zones"]);
    assert_eq!(scene.writes(), []);
    scene.is_quiet().await?;
    Ok(scene)
}

/// A write by somebody else, who creates the pool.
fn creation_by_hand(scene: &Scene, pool: &str) -> ForeignRequest {
    let target = format!("{}/agentPools/{pool}?api-version=2025-10-01", scene.bed.emulator.cluster_id());
    let properties = json!({"count": 1, "mode": "User", "vmSize": "Standard_E8ds_v5"});
    ForeignRequest::new("PUT", &target, Some(json!({ "properties": properties })))
}

async fn raced(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let theirs = Action::AfterForeign(creation_by_hand(&scene, "apps"));
    let fault = scene.bed.emulator.fault(Matcher::put_pool("apps").user_agent("nodepool-operator"), theirs, Some(1));
    let spec = json!({"count": 1, "labels": {"tier": "web"}, "template": of_size("Standard_D4ds_v5")});
    scene.apply(policy("apps", spec)).await?;
    let status = scene.ready("apps").await?;
    assert_eq!(fault.count(), 1);
    let first = ("PUT apps".to_owned(), "if none matches *".to_owned(), Some(412));
    assert_eq!(sent(&scene), [first, ("PUT apps".to_owned(), "in any case".to_owned(), Some(200))]);
    assert_eq!(scene.in_arm("apps", "vmSize"), "Standard_E8ds_v5", "what is there already stays");
    assert_eq!(scene.in_arm("apps", "nodeLabels"), json!({"tier": "web"}));
    assert!(!holds(&status, condition::IN_SYNC));
    scene.is_quiet().await?;
    Ok(scene)
}

async fn deleted(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let spec = json!({"count": 1, "template": of_size("Standard_D4ds_v5")});
    scene.apply(policy("apps", spec.clone())).await?;
    scene.ready("apps").await?;
    let target = format!("{}/agentPools/apps?api-version=2025-10-01", scene.bed.emulator.cluster_id());
    let delete = ForeignRequest::new("DELETE", &target, None);
    anyhow::ensure!(scene.bed.emulator.as_someone_else(&delete).await.is_some(), "it could not be deleted");
    let status = scene.until("apps", "to have been created again", |status| status.history.len() >= 4).await?;
    assert_eq!(outcomes(&status), ["Started", "Succeeded", "Started", "Succeeded"]);
    scene.ready("apps").await?;
    assert_eq!(sent(&scene), [created("apps"), created("apps")]);

    // A policy that only observes creates nothing, and says what it would do.
    let mut observing = spec;
    observing["enforcement"] = json!("Observe");
    scene.apply(policy("apps", observing)).await?;
    scene.ready("apps").await?;
    anyhow::ensure!(scene.bed.emulator.as_someone_else(&delete).await.is_some(), "it could not be deleted");
    let undone = "the policy only observes; left undone: create a User pool with 1 node of Standard_D4ds_v5";
    let status = scene.until("apps", "to be gone", |status| message(status, condition::READY) == undone).await?;
    assert!(!holds(&status, condition::READY) && !holds(&status, condition::STALLED), "{status:?}");
    scene.is_quiet().await?;
    assert_eq!(sent(&scene).len(), 2);
    Ok(scene)
}

async fn unsuitable(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    for (spec, reason, words) in [
        (json!({"mode": "User"}), "PoolNotFound", "add spec.template and spec.count"),
        (json!({"template": of_size("Standard_D4ds_v5")}), "CountMissing", "set spec.count"),
        (
            json!({"mode": "System", "count": 2, "template": of_size("Standard_B1s")}),
            "TemplateUnsuitable",
            "spec.template.vmSize Standard_B1s is too small: AKS wants at least 2 cores and 4 GB for a system pool",
        ),
        (
            json!({"count": 2, "template": {"vmSize": "Standard_D4ps_v5", "enableFIPS": true}}),
            "TemplateUnsuitable",
            "Standard_D4ps_v5 has an ARM64 processor, on which AKS has no FIPS",
        ),
        (
            json!({"mode": "User", "count": 2, "template": {"vmSize": "Standard_DS2_v2", "osDiskType": "Ephemeral"}}),
            "TemplateUnsuitable",
            "the cache of vmSize Standard_DS2_v2 has 86 GB, in which AKS's 128 GB do not fit",
        ),
    ] {
        scene.apply(policy("apps", spec.clone())).await?;
        let status = scene.stalled("apps", reason).await?;
        let said = message(&status, condition::STALLED);
        assert!(said.contains(words), "{spec}: {said}");
        if spec["mode"].is_null() {
            scene.page(if reason == "CountMissing" { "count-missing" } else { "template-unsuitable" }, "apps").await?;
        }
    }
    let taints = json!([{"key": "team", "value": "shop", "effect": "NoSchedule"}]);
    let spec = json!({"mode": "System", "count": 2, "taints": taints, "template": of_size("Standard_D4ds_v5")});
    scene.apply(policy("apps", spec)).await?;
    let said = scene.refused("apps", "RestrictedSystemTaint").await?;
    assert!(said.contains("new system pool would carry team=shop:NoSchedule"), "{said}");
    scene.page("restricted-system-taint", "apps").await?;
    assert_eq!(scene.writes(), []);
    Ok(scene)
}

async fn contradictory(lane: Lane) -> anyhow::Result<Scene> {
    let scene = cluster(lane).await?;
    let with = |template: Value| {
        let mut all = of_size("Standard_D4ds_v5");
        for (field, value) in template.as_object().into_iter().flatten() {
            all[field] = value.clone();
        }
        json!({"count": 1, "template": all})
    };
    let system = |template: Value| {
        let mut spec = with(template);
        spec["mode"] = json!("System");
        spec
    };
    let subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
    for (spec, named) in [
        (json!({"template": {}}), "spec.template.vmSize"),
        (json!({"template": of_size("D4")}), "spec.template.vmSize"),
        (with(json!({"osType": "BeOS"})), "spec.template.osType"),
        (with(json!({"osSKU": "Windows2022"})), "spec.template.osSKU Windows2022 needs osType Windows"),
        (with(json!({"osSKU": "Ubuntu", "osType": "Windows"})), "spec.template.osSKU Ubuntu is none of Windows"),
        (with(json!({"zones": ["1", "1"]})), "spec.template.zones"),
        (with(json!({"zones": ["one"]})), "spec.template.zones"),
        (with(json!({"maxPods": 9})), "spec.template.maxPods"),
        (with(json!({"osDiskSizeGB": 10})), "spec.template.osDiskSizeGB"),
        (with(json!({"vnetSubnetID": "a"})), "spec.template.vnetSubnetID"),
        (with(json!({"spotMaxPrice": "0.5"})), "spotMaxPrice 0.5 has a meaning only with priority Spot"),
        (with(json!({"spotMaxPrice": "cheap", "priority": "Spot"})), "spec.template.spotMaxPrice"),
        (with(json!({"evictionPolicy": "Delete"})), "evictionPolicy Delete has a meaning only with priority Spot"),
        (with(json!({"nodePublicIPPrefixID": subnet})), "set enableNodePublicIP to true"),
        (with(json!({"workloadRuntime": "OCIContainer"})), "workloadRuntime"),
        (system(json!({"osType": "Windows"})), "does not fit spec.mode System"),
        (system(json!({"priority": "Spot"})), "priority Spot does not fit spec.mode System"),
        (system(json!({"maxPods": 29})), "spec.template.maxPods is too small for spec.mode System"),
    ] {
        let Err(error) = scene.apply(policy("apps", spec.clone())).await else { anyhow::bail!("{spec} was accepted") };
        let text = format!("{error:#}");
        assert!(text.contains(named), "{spec}: {text}");
    }
    let windows = with(json!({"osType": "Windows", "osSKU": "Windows2022"}));
    let Err(error) = scene.apply(policy("windows", windows)).await else { anyhow::bail!("accepted") };
    assert!(format!("{error:#}").contains("name is too long for spec.template.osType Windows"), "{error:#}");
    let all = json!({
        "osType": "Linux", "zones": ["1"], "vnetSubnetID": subnet, "priority": "Spot", "spotMaxPrice": "0.05",
        "evictionPolicy": "Deallocate", "osDiskType": "Ephemeral", "kubeletDiskType": "Temporary", "enableFIPS": false,
        "scaleDownMode": "Deallocate", "enableUltraSSD": false, "enableEncryptionAtHost": true,
    });
    scene.apply(policy("spot", with(all))).await?;
    let status = scene.ready("spot").await?;
    assert!(holds(&status, condition::IN_SYNC), "what was asked for is what ARM shows: {status:?}");
    assert_eq!(scene.in_arm("spot", "spotMaxPrice"), 0.05);
    scene.is_quiet().await?;
    Ok(scene)
}
