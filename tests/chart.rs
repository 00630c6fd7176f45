//! The chart keeps up with the operator, and the plain manifests with the chart. Never at a cluster: what becomes of the
//! objects there is told in `tests/stories/chart.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a failure is to end the test with its place"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args as _;
use nodepool_operator::run::Arguments;
use serde_json::Value;
use testbed::Helm;
use testbed::assets::{Assets, Binary, Places};

/// The least that has to be set.
const LEAST: [&str; 6] = [
    "--set",
    "clusterResourceId=/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c",
    "--set",
    "image.repository=example.azurecr.io/nodepool-operator",
    "--set",
    "azure.clientId=44444444-5555-6666-7777-888888888888",
];

/// Values of all settings that have none by default.
const OPTIONAL: [&str; 14] = [
    "--set",
    "azure.auth=secret",
    "--set",
    "azure.tenantId=22222222-3333-4444-5555-666666666666",
    "--set",
    "azure.authority=https://login.example",
    "--set",
    "azure.federatedTokenFile=/token",
    "--set",
    "azure.clientSecret.secretName=azure",
    "--set",
    "azure.ca.configMapName=proxy",
    "--set",
    "arm.endpoint=https://arm.example",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(!text.is_empty(), "{} is missing or empty", path.display());
    text
}

async fn template(arguments: &[&str]) -> Vec<Value> {
    let rendered = Helm::find().await.unwrap().template(&[&LEAST[..], arguments].concat()).await.unwrap();
    serde_saphyr::from_multiple(&rendered).unwrap()
}

/// The environment of the operator's container, as text; what comes from the downward API is there without a value.
fn environment(objects: &[Value]) -> BTreeMap<String, String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let pair = |variable: &Value| {
        let value = variable["value"].as_str().unwrap_or_default().to_owned();
        (variable["name"].as_str().unwrap().to_owned(), value)
    };
    variables.iter().map(pair).collect()
}

#[tokio::test]
async fn every_setting_of_run_is_a_value_of_the_chart() {
    let set = environment(&template(&OPTIONAL).await);
    let command = Arguments::augment_args(clap::Command::new("run"));
    let known: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    let missing: Vec<&&str> = known.iter().filter(|name| !set.contains_key(**name)).collect();
    assert!(missing.is_empty(), "templates/_settings.tpl lacks {missing:?}");
    let unknown: Vec<&str> = set.keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "templates/_settings.tpl sets what the operator does not know: {unknown:?}");
}

#[tokio::test]
async fn every_default_of_the_chart_is_that_of_the_operator() {
    let set = environment(&template(&[]).await);
    let command = Arguments::augment_args(clap::Command::new("run"));
    let mut compared = 0;
    for argument in command.get_arguments() {
        let name = argument.get_env().and_then(|name| name.to_str()).unwrap();
        let defaults: Vec<&str> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        if let Some(value) = set.get(name).filter(|_| !defaults.is_empty()) {
            compared += 1;
            assert_eq!(*value, defaults.join(","), "the default of {name}");
        }
    }
    assert!(compared > 25, "only {compared} defaults were compared");
}

#[tokio::test]
async fn the_templates_do_what_their_tests_say() {
    let said = Helm::find().await.unwrap().unittest(&testbed::helm::chart()).await.unwrap();
    assert!(said.succeeded, "{}{}", said.output, said.errors);
    assert!(said.output.contains("Charts:      1 passed"), "{}", said.output);
}

#[test]
fn the_crds_of_the_chart_are_those_of_the_types() {
    let (made, shipped) = (root().join("crds"), testbed::helm::chart().join("files/crds"));
    let names = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&made), names(&shipped), "run `make crds`");
    for name in names(&made) {
        assert!(read(&made.join(&name)) == read(&shipped.join(&name)), "{} differs: run `make crds`", name.display());
    }
}

#[tokio::test]
async fn what_is_installed_as_a_crd_is_what_the_types_say() {
    let installed: Vec<Value> =
        template(&[]).await.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
    let definitions = nodepool_operator::api::definitions().unwrap();
    assert_eq!(installed.len(), definitions.len());
    for definition in definitions {
        let made: Value = serde_saphyr::from_str(&read(&root().join(&definition.stored_as))).unwrap();
        let of_it = installed.iter().find(|object| object["metadata"]["name"] == made["metadata"]["name"]).unwrap();
        assert_eq!(of_it["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        assert_eq!(of_it["spec"], made["spec"]);
    }
}

#[tokio::test]
async fn the_plain_manifests_are_what_the_chart_renders() {
    for (file, text) in Helm::find().await.unwrap().plain_manifests().await.unwrap() {
        assert!(read(&root().join("deploy/base").join(file)) == text, "deploy/base/{file} differs: run `make deploy`");
    }
}

#[test]
fn the_example_overlay_sets_all_that_a_person_has_to_set() {
    let assets = Assets::find_or_build(&Places::of_environment().unwrap(), &mut |line| eprintln!("{line}")).unwrap();
    let mut kubectl = Command::new(assets.path(Binary::Kubectl));
    let output = kubectl.arg("kustomize").arg(root().join("deploy/example")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for placeholder in ["SUBSCRIPTION", "CLIENT_ID", "image: nodepool-operator"] {
        assert!(!text.contains(placeholder), "the overlay leaves {placeholder}");
    }
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let mut kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    kinds.sort_unstable();
    let expected = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "CustomResourceDefinition",
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ];
    assert_eq!(kinds, expected);
}

/// The paths of a document's leaves; maps that are empty, or that people fill, are leaves.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !["nodeSelector", "resources"].contains(&path) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(field, &path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_value_is_in_the_schema_and_has_a_default() {
    let values: Value = serde_saphyr::from_str(&read(&testbed::helm::chart().join("values.yaml"))).unwrap();
    let schema: Value = serde_json::from_str(&read(&testbed::helm::chart().join("values.schema.json"))).unwrap();
    let (mut in_values, mut in_schema) = (Vec::new(), Vec::new());
    leaves(&values, "", &mut in_values);
    let mut open = vec![(String::new(), &schema)];
    while let Some((path, part)) = open.pop() {
        match part["properties"].as_object() {
            Some(fields) => {
                assert_eq!(part["additionalProperties"], false, "{path:?} takes values that nobody knows");
                let below = |name: &String| if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                open.extend(fields.iter().map(|(name, part)| (below(name), part)));
            }
            None => in_schema.push(path),
        }
    }
    // Helm gives `global` to every chart.
    in_schema.retain(|path| path != "global");
    in_values.sort();
    in_schema.sort();
    assert_eq!(in_values, in_schema);
}

#[tokio::test]
async fn alerts_and_dashboard_are_shipped_word_by_word() {
    let objects = template(&["--set", "metrics.rules.enabled=true,metrics.dashboard.enabled=true"]).await;
    let files = testbed::helm::chart().join("files");
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let rules: Value = serde_saphyr::from_str(&read(&files.join("alerts.yaml"))).unwrap();
    assert_eq!(of_kind("PrometheusRule")["spec"], rules);
    let dashboard: Value = serde_json::from_str(&read(&files.join("dashboard.json"))).unwrap();
    let shipped = of_kind("ConfigMap")["data"]["nodepool-operator.json"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(shipped).unwrap(), dashboard);
}
