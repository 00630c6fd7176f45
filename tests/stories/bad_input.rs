//! Bad input: what the API server refuses at once, and what the process says about its settings and surroundings.

use std::process::{Command, Output};

use aks_emulator::{Canned, Matcher, PoolSpec};
use nodepool_operator::api::condition;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Match, Testbed, wait_for};

use super::support::{DEADLINE, QUICK, Scene, Story, begin, binary, holds, message, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("the_api_server_refuses_malformed_policies_and_names_the_field", malformed_policies),
        story("say_what_is_wrong_with_the_settings", settings),
        story("say_that_arm_can_not_be_read_and_recover", arm),
    ]
}

async fn malformed_policies(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2))).await?;
    let taint =
        |key: &str, value: &str, effect: &str| json!({"taints": [{"key": key, "value": value, "effect": effect}]});
    let cases: Vec<(Value, &str)> = vec![
        (json!({"mode": "Sytem"}), "spec.mode"),
        (json!({"count": -1}), "spec.count"),
        (json!({"count": 1001}), "spec.count"),
        (json!({"mode": "System", "count": 0}), "spec.count of a system pool"),
        (json!({"poolName": "Apps_1"}), "spec.poolName"),
        (json!({"enforcement": "Sometimes"}), "spec.enforcement"),
        (json!({"disruption": {"systemPods": "Move"}}), "spec.disruption.systemPods"),
        (json!({"disruption": {"systemPods": "relocate"}}), "spec.disruption.systemPods"),
        (json!({"disruption": {"systemPods": ""}}), "spec.disruption.systemPods"),
        (json!({"disruption": {"systemPods": true}}), "spec.disruption.systemPods"),
        (json!({"disruption": "Relocate"}), "spec.disruption"),
        (json!({"disruption": {"userPods": "Relocate"}}), "spec.disruption.userPods"),
        (taint("", "v", "NoSchedule"), "spec.taints[0].key"),
        (taint("a b", "v", "NoSchedule"), "spec.taints[0].key"),
        (taint("a", "v w", "NoSchedule"), "spec.taints[0].value"),
        (taint("a", "v", "NoRun"), "spec.taints[0].effect"),
        (taint("kubernetes.azure.com/x", "v", "NoSchedule"), "spec.taints[0]"),
        (
            json!({"taints": [{"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "a", "value": "2", "effect": "NoSchedule"}]}),
            "two taints have the same key and effect",
        ),
        (json!({"labels": {"kubernetes.azure.com/mode": "system"}}), "kubernetes.azure.com/ belong to AKS"),
        (json!({"labels": {"kubernetes.io/os": "linux"}}), "kubelet.kubernetes.io"),
        (json!({"labels": {"node-role.k8s.io/x": "y", "a": "b"}}), "node.kubernetes.io: choose another prefix"),
        (json!({"labels": {"-x": "y"}}), "spec.labels"),
        (json!({"labels": {"x": "not valid"}}), "spec.labels"),
        (json!({"tags": {"a/b": "x"}}), "Azure refuses <, >, %, &, \\, ? and / in them"),
        (json!({"tags": {"a\\b": "x"}}), "tag keys have 1 to 512 characters"),
        (json!({"tags": {"": "x"}}), "tag keys have 1 to 512 characters"),
        (json!({"tags": {"k".repeat(513): "x"}}), "tag keys have 1 to 512 characters"),
        (json!({"tags": {"a": "v".repeat(257)}}), "spec.tags.a"),
        (json!({"tags": tags(51)}), "spec.tags"),
        (json!({"tags": {"MicrosoftX": "x"}}), "belong to Azure"),
        (json!({"tags": {"aks-managed-pool": "x"}}), "begin with aks-managed to AKS"),
        (json!({"tags": {"Owner": "x", "owner": "x"}}), "differ in case only"),
        (json!({"kubernetesVersion": 1.3}), "spec.kubernetesVersion"),
        (json!({"kubernetesVersion": "1"}), "spec.kubernetesVersion is a minor such as 1.34"),
        (json!({"kubernetesVersion": "v1.34"}), "spec.kubernetesVersion is a minor such as 1.34"),
        (json!({"kubernetesVersion": "1.34.2.1"}), "a patch such as 1.34.2, or ControlPlane"),
        (json!({"kubernetesVersion": "controlPlane"}), "a patch such as 1.34.2, or ControlPlane"),
        (json!({"upgrade": {"maxSurge": "0"}}), "spec.upgrade.maxSurge 0 needs maxUnavailable of at least 1"),
        (json!({"upgrade": {"maxSurge": "0%", "maxUnavailable": "0"}}), "spec.upgrade.maxSurge 0 needs maxUnavailable"),
        (json!({"upgrade": {"maxSurge": "150%"}}), "spec.upgrade.maxSurge"),
        (json!({"upgrade": {"maxSurge": 1}}), "spec.upgrade.maxSurge"),
        (json!({"upgrade": {"maxUnavailable": "-1"}}), "spec.upgrade.maxUnavailable"),
        (json!({"upgrade": {"drainTimeoutMinutes": 4}}), "spec.upgrade.drainTimeoutMinutes"),
        (json!({"upgrade": {"drainTimeoutMinutes": 1441}}), "spec.upgrade.drainTimeoutMinutes"),
        (json!({"upgrade": {"nodeSoakMinutes": 31}}), "spec.upgrade.nodeSoakMinutes"),
        (json!({"upgrade": {"undrainableNodes": "Wait"}}), "spec.upgrade.undrainableNodes"),
        (json!({"mode": "System", "upgrade": {"maxUnavailable": "1"}}), "maxUnavailable does not fit spec.mode System"),
        (
            json!({"upgrade": {"maxSurge": "1"}, "template": {"vmSize": "Standard_D4ds_v5", "priority": "Spot"}}),
            "spec.upgrade.maxSurge does not fit spec.template.priority Spot",
        ),
        (json!({"count": 1, "autoscaling": {"minCount": 1, "maxCount": 2}}), "can't both be set"),
        (json!({"autoscaling": {"minCount": 3, "maxCount": 2}}), "minCount is greater than maxCount"),
        (json!({"autoscaling": {"minCount": 1}}), "spec.autoscaling.maxCount"),
        (json!({"autoscaling": {"minCount": 0, "maxCount": 1001}}), "spec.autoscaling.maxCount"),
        (json!({"mode": "System", "autoscaling": {"minCount": 0, "maxCount": 2}}), "minCount of a system pool"),
        (json!({"vmSize": "Standard_D4ds_v5"}), "vmSize"),
    ];
    for (spec, named) in cases {
        let Err(error) = scene.apply(policy("apps", spec.clone())).await else { anyhow::bail!("{spec} was accepted") };
        let text = format!("{error:#}");
        assert!(text.contains(named), "{spec}: {text}");
    }
    for word in ["Protect", "Relocate"] {
        let spec = json!({"enforcement": "Observe", "disruption": {"systemPods": word}});
        let stored = serde_json::to_value(scene.apply(policy("apps", spec)).await?.spec)?;
        assert_eq!(stored["disruption"], json!({"systemPods": word}));
    }
    scene.delete("apps").await?;
    let mut widest = tags(48);
    widest["k".repeat(512)] = json!("v".repeat(256));
    widest["cost center (€), my-azure"] = json!("<any> %&?/\\ text");
    scene.apply(policy("apps", json!({"enforcement": "Observe", "tags": widest}))).await?;
    scene.delete("apps").await?;
    let Err(error) = scene.apply(policy("a-name-that-no-pool-has", json!({}))).await else { anyhow::bail!("accepted") };
    assert!(format!("{error:#}").contains("set spec.poolName"), "{error:#}");
    scene.apply(policy("apps", json!({"poolName": "system", "labels": {"node.kubernetes.io/x": "y"}}))).await?;
    let Err(error) = scene.apply(policy("apps", json!({"poolName": "other"}))).await else { anyhow::bail!("accepted") };
    assert!(format!("{error:#}").contains("can't be changed"), "{error:#}");
    Ok(scene)
}

/// So many tags.
fn tags(number: usize) -> Value {
    (0..number).map(|number| (format!("key-{number}"), json!("value"))).collect::<serde_json::Map<_, _>>().into()
}

/// Arguments, environment, and what the process must say about them.
type Case<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>, &'a [&'a str]);

/// Runs the operator with arguments that end it at once.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<(Output, String)> {
    let mut command = Command::new(binary());
    command.arg("run").args(arguments).env_remove("KUBECONFIG").env("HOME", "/nonexistent");
    let output = command.envs(environment.iter().copied()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, said))
}

async fn settings(lane: Lane) -> anyhow::Result<Option<Scene>> {
    drop(lane);
    let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
    let local = ["--cluster-resource-id", id, "--azure-auth", "none", "--arm-endpoint", "http://127.0.0.1:9"];
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("kubeconfig");
    std::fs::write(&broken, "clusters: nonsense")?;
    let broken = broken.to_string_lossy().into_owned();
    let cases: Vec<Case<'_>> = vec![
        (vec![], vec![], &["--cluster-resource-id"]),
        (vec!["--cluster-resource-id", "my-cluster"], vec![], &["my-cluster", "az aks show --query id"]),
        (
            vec!["--cluster-resource-id", id, "--azure-auth", "none"],
            vec![],
            &["management.azure.com", "--azure-auth workload"],
        ),
        (
            vec!["--cluster-resource-id", id],
            vec![],
            &["workload identity is not set up", "azure.workload.identity/use"],
        ),
        (local.to_vec(), vec![], &["no way to the API server", "KUBECONFIG"]),
        (local.to_vec(), vec![("KUBECONFIG", &broken)], &["no way to the API server", "kubeconfig"]),
        ([&local[..], &["--arm-poll-seconds", "0"]].concat(), vec![], &["--arm-poll-seconds", "above 0"]),
        ([&local[..], &["--log", "a=b=c"]].concat(), vec![], &["--log", "a=b=c"]),
    ];
    for (arguments, environment, parts) in cases {
        let (output, said) = run(&arguments, &environment)?;
        assert!(!output.status.success(), "{arguments:?}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
    Ok(None)
}

async fn arm(lane: Lane) -> anyhow::Result<Scene> {
    let builder = Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2));
    let bed = builder.pool(PoolSpec::user("apps", 1)).start().await?;
    let page = Canned::text(200, "text/html", "<html>welcome to the proxy</html>");
    let odd = bed.emulator.respond(Matcher::method("GET"), page, None);
    let options = bed.operator_options(binary()).arguments(&QUICK);
    let cut = bed.arm.drop_request(Match::any());
    let operator = bed.start_operator(options).await?;
    let scene = Scene::of(bed, operator);
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    scene
        .until("apps", "to say that ARM can't be reached", |status| {
            message(status, condition::READY).contains("check")
                || message(status, condition::READY).contains("no answer")
        })
        .await?;
    drop(cut);
    let status = scene
        .until("apps", "to say that ARM is not understood", |status| {
            message(status, condition::READY).contains("not JSON") && holds(status, condition::RECONCILING)
        })
        .await?;
    assert!(message(&status, condition::READY).contains("--arm-endpoint"), "{status:?}");
    drop(odd);
    scene.ready("apps").await?;

    let gone = scene.bed.emulator.respond(
        Matcher::method("GET"),
        Canned::error(403, "AuthorizationFailed", "The client does not have authorization to perform action 'Microsoft.ContainerService/managedClusters/read'"),
        None,
    );
    wait_for("the log to say what ARM refuses", DEADLINE, async || {
        let log = scene.operator.log();
        Ok(if log.contains("AuthorizationFailed") { Ok(()) } else { Err("it does not yet") })
    })
    .await?;
    drop(gone);
    scene.apply(policy("apps", json!({"count": 1}))).await?;
    scene.ready("apps").await?;
    Ok(scene)
}
