//! Every metric is described, and whatever names one names one that there is. Never judges what alerts and panels make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use nodepool_kernel::{Change, Cluster, Health, Known, Power, ProvisioningState, Settings, Snapshot, Step, Time};
use nodepool_operator::act::Outcome;
use nodepool_operator::leadership::Leadership;
use nodepool_operator::metrics::{Figures, Metrics, Parts, PassedRules, Untold};
use nodepool_operator::observe::Room;
use nodepool_operator::report::{Capacity, SystemRoom};
use regex::Regex;
use serde_json::Value;

use crate::{client, emulator};

/// The labels of each metric. Of a histogram it is the name without what its series end in.
type LabelsByMetric = BTreeMap<String, BTreeSet<String>>;

const ALERTS: &str = "charts/nodepool-operator/files/alerts.yaml";
/// What promtool is told of when they fire.
const CASES: &str = "tests/alerts/alerts.yaml";
const DASHBOARD: &str = "charts/nodepool-operator/files/dashboard.json";

fn read(path: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What each part counts once it has something to count.
async fn served() -> LabelsByMetric {
    let emulator = emulator().await;
    let client = client(&emulator, 1.0);
    client.cluster().await.unwrap();
    let passed_rules = PassedRules::default();
    passed_rules.count("VersionSkew");
    let figures = Figures::new(Arc::default(), &Settings::default());
    figures.begin();
    let step = Step { policy: "apps".into(), pool: "apps".into(), change: Change::Stop };
    figures.acted(&step, &Outcome::Superseded);
    figures.can_carry(&capacity());
    figures.untold(Untold::PolicyStatus);
    figures.observe(&snapshot(), &[]);
    let leadership = Leadership::sole();
    let parts = Parts { arm: &client, passed_rules: &passed_rules, leadership: &leadership, figures: &figures };
    labels(&Metrics::new(&parts).text().unwrap())
}

fn capacity() -> Capacity {
    let health = Health {
        identity: Ok("by its nodes".into()),
        system_pools: vec![],
        healthy_pools: 1,
        usable_nodes: 2,
        guaranteed_nodes: 2,
        usable: BTreeSet::new(),
    };
    let room = SystemRoom { offered: Room::default(), left: Room::default() };
    Capacity { health: Ok(health), room: Some(room), unknown: vec![] }
}

fn snapshot() -> Snapshot {
    let now = Time::from_millis(1_800_000_000_000);
    let cluster = Cluster {
        id: "id".into(),
        subscription: "s".into(),
        node_resource_group: None,
        load_balancer_sku: None,
        issuer_url: None,
        state: ProvisioningState::Succeeded,
        power: Power::Running,
        version: None,
        pools: vec![],
    };
    let unknown = "not read";
    Snapshot {
        now,
        paused: Known::seen(now, false),
        bulk: Known::unknown(unknown),
        intents: Known::seen(now, vec![]),
        cluster: Known::seen(now, cluster),
        issuer: Known::unknown(unknown),
        nodes: Known::unknown(unknown),
        pods: Known::unknown(unknown),
        budgets: Known::unknown(unknown),
        workloads: Known::unknown(unknown),
        places: Known::unknown(unknown),
        in_flight: vec![],
        dependents: BTreeMap::new(),
        occupancy: BTreeMap::new(),
        upgradable: BTreeMap::new(),
    }
}

/// The metrics of a page of samples with their labels.
fn labels(text: &str) -> LabelsByMetric {
    let histograms: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")).collect();
    let label = Regex::new("([a-z_]+)=").unwrap();
    let mut metrics = LabelsByMetric::new();
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = sample.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let histogram = histograms
            .iter()
            .find(|of| name.strip_prefix(**of).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end)));
        let labels = label.captures_iter(series).map(|found| found[1].to_owned());
        let labels = labels.filter(|label| histogram.is_none() || label != "le");
        metrics.entry(histogram.map_or(name, |of| of).to_owned()).or_default().extend(labels);
    }
    metrics
}

/// The metrics of the table in docs/operations.md with their labels.
fn described() -> LabelsByMetric {
    let page = read("docs/operations.md");
    let section = page.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let code = Regex::new("`([^`]+)`").unwrap();
    let in_code = |cell: &str| code.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let rows = section.lines().filter(|line| line.starts_with("| `nodepool_operator_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (in_code(cells[1]).remove(0), in_code(cells[2]).into_iter().collect())
    })
    .collect()
}

#[tokio::test]
async fn every_metric_is_described_with_its_labels_and_no_other_is() {
    let (served, described) = (served().await, described());
    assert!(served.len() > 30, "{served:?}");
    assert_eq!(served, described, "left: what is served, right: the table in docs/operations.md");
}

/// The metrics that an expression names, with the labels that it selects by.
fn named(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let selector = Regex::new(r"(nodepool_operator_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*""#).unwrap();
    let of = |found: regex::Captures<'_>| {
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        (found[1].to_owned(), label.captures_iter(labels).map(|found| found[1].to_owned()).collect())
    };
    selector.captures_iter(expression).map(of).collect()
}

/// Asserts that there is each metric that an expression names, with the labels that it selects by.
fn assert_served(served: &LabelsByMetric, expression: &str, place: &str) {
    // What Prometheus adds, and what the dashboard chooses by.
    let foreign = ["job", "namespace", "pod", "instance", "cluster", "le"];
    for (name, labels) in named(expression) {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let found = served.get(&name).or_else(|| served.get(histogram?));
        assert!(found.is_some(), "{place}: there is no metric {name}");
        for label in labels.iter().filter(|label| !foreign.contains(&label.as_str())) {
            assert!(found.unwrap().contains(label), "{place}: {name} has no label {label}");
        }
    }
}

#[tokio::test]
async fn every_alert_names_metrics_that_there_are_and_has_a_runbook_and_a_case() {
    let served = served().await;
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let (runbooks, cases) = (read("docs/runbooks.md"), read(CASES));
    let groups = rules["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 10, "{} rules", rules.len());
    let headings: BTreeSet<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        let expression = rule["expr"].as_str().unwrap();
        assert!(!named(expression).is_empty(), "{alert} names no metric");
        assert_served(&served, expression, alert);
        let annotation = |name: &str| rule["annotations"][name].as_str().unwrap_or_default();
        for name in ["summary", "description"] {
            assert!(!annotation(name).is_empty(), "{alert} has no {name}");
            assert_served(&served, annotation(name), alert);
        }
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{alert} has the severity {severity:?}");
        let anchor = annotation("runbook_url").split_once("/docs/runbooks.md#").map(|(_, anchor)| anchor.to_owned());
        assert_eq!(anchor, Some(alert.to_lowercase()), "{alert}");
        assert!(cases.contains(&format!("alertname=\"{alert}\"")), "no case of {CASES} lets {alert} fire");
        alerts.insert(alert);
    }
    let sections: BTreeSet<&str> = headings.into_iter().filter(|heading| heading.starts_with("Nodepool")).collect();
    assert_eq!(alerts, sections, "left: the alerts, right: the sections of docs/runbooks.md");
}

/// Every expression of a panel or a variable.
fn expressions(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Array(all) => all.iter().for_each(|one| expressions(one, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Some(text) = value.as_str().filter(|_| ["expr", "query", "definition"].contains(&key.as_str())) {
                    found.push(text.to_owned());
                } else {
                    expressions(value, found);
                }
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_shows_metrics_that_there_are() {
    let served = served().await;
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 15, "{found:?}");
    for expression in &found {
        assert_served(&served, expression, "the dashboard");
    }
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id of {title}");
        let kind = panel["type"].as_str().unwrap();
        assert!(["row", "stat", "timeseries", "table", "bargauge"].contains(&kind), "{title} is of the type {kind}");
        let source = &panel["datasource"]["uid"];
        assert!(kind == "row" || source == "${datasource}", "{title} has the data source {source}");
    }
}
