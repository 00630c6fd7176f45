//! Bad input: what the API server refuses at once, and what the process says about its settings and surroundings.

use std::process::{Command, Output};

use aks_emulator::{Canned, Matcher, PoolSpec};
use kube::Api;
use kube::api::{Patch, PatchParams};
use nodepool_operator::api::{NodePoolPolicy, condition};
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::{KubeSystem, Lane, Match, Testbed, wait_for};

use super::support::{DEADLINE, QUICK, Scene, Story, begin, binary, holds, message, policy, story};

pub fn stories() -> Vec<Story> {
    vec![
        story("the_api_server_refuses_every_invalid_policy_of_a_table_and_takes_its_neighbours", table),
        story("the_api_server_refuses_malformed_policies_and_names_the_field", malformed_policies),
        story("say_what_is_wrong_with_the_settings", settings),
        story("say_that_arm_can_not_be_read_and_recover", arm),
    ]
}

/// A row of the table: what is wrong, what the API server says of it, and what would be right.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    bad: Value,
    says: String,
    good: Value,
}

async fn table(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2))).await?;
    let rows: Vec<Row> = serde_saphyr::from_str(include_str!("bad_policies.yaml"))?;
    let policies: Api<NodePoolPolicy> = Api::all(scene.bed.cluster.client());
    let asked = async |spec: &Value| {
        let object = policy("apps", spec.clone());
        let parameters = PatchParams::apply("gitops").dry_run();
        match policies.patch("apps", &parameters, &Patch::Apply(&object)).await {
            Ok(_) => Ok(String::new()),
            Err(kube::Error::Api(refused)) => Ok(refused.message),
            Err(error) => Err(error),
        }
    };
    let mut wrong = Vec::new();
    for row in &rows {
        let (bad, good) = (asked(&row.bad).await?, asked(&row.good).await?);
        if bad != row.says || bad.is_empty() {
            wrong.push(json!({"bad": row.bad, "says": bad}).to_string());
        }
        if !good.is_empty() {
            wrong.push(json!({"good": row.good, "says": good}).to_string());
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{} of {} rows are otherwise:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    anyhow::ensure!(rows.len() >= 60, "the table has {} rows", rows.len());
    Ok(scene)
}

async fn malformed_policies(lane: Lane) -> anyhow::Result<Scene> {
    let scene = begin(Testbed::builder(lane).kube_system(KubeSystem::None).pool(PoolSpec::system("system", 2))).await?;
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
    scene.ready("apps").await?;
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
