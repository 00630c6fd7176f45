//! Recorded answers of the service, replayed by a local server: the client understands each of them, and a write made
//! from one changes nothing but what it is about. Nothing of the recordings is copied into this repository.

use std::io::Write as _;
use std::path::PathBuf;

use nodepool_kernel::{AgentPool, Change, Mode, PoolKind, Power};
use nodepool_operator::arm::{ArmClient, ArmError, ArmOptions, PoolDocument, PoolWrite};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::server::{Reply, Server};
use crate::support::{CLUSTER, approved, client, options, permit, provider};

/// What a write never has, whatever was read.
const NEVER_SENT: [&str; 6] = [
    "currentOrchestratorVersion",
    "eTag",
    "nodeImageVersion",
    "provisioningState",
    "status",
    "virtualMachineNodesStatus",
];

/// A recorded request and its answer.
#[derive(Deserialize)]
struct Exchange {
    method: String,
    url: String,
    status: u16,
    response_headers: Map<String, Value>,
    #[serde(default)]
    response_body: Value,
    #[serde(skip)]
    place: String,
}

impl Exchange {
    fn path(&self) -> &str {
        self.url.split('?').next().unwrap()
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.url.split(['?', '&']).skip(1).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The path of the cluster, if it is about one, and what follows it.
    fn about(&self) -> Option<(&str, Vec<&str>)> {
        let segments: Vec<&str> = self.path().split('/').collect();
        let cluster = segments.iter().position(|segment| segment.eq_ignore_ascii_case("managedClusters"))? + 1;
        let end = segments.iter().take(cluster + 1).map(|segment| segment.len() + 1).sum::<usize>() - 1;
        Some((&self.path()[..end], segments.get(cluster + 1..)?.to_vec()))
    }

    /// The pool, if it is about one.
    fn pool(&self) -> Option<&str> {
        match self.about()?.1[..] {
            [kind, pool] if kind.eq_ignore_ascii_case("agentPools") => Some(pool),
            _ => None,
        }
    }

    /// The documents of pools in the answer, whatever was asked for.
    fn documents(&self) -> Vec<&Value> {
        let pools = self.about().is_some_and(|(_, rest)| matches!(rest[..], ["agentPools"] | ["agentPools", _]));
        let body = Some(&self.response_body).filter(|body| pools && self.status < 300 && body.is_object());
        body.map_or_else(Vec::new, |body| match body["value"].as_array() {
            Some(list) => list.iter().collect(),
            None => vec![body],
        })
    }

    /// The answer as it was recorded; what describes the recorded connection is left out.
    fn reply(&self) -> Reply {
        let of_connection = ["connection", "content-length", "transfer-encoding"];
        let told = self.response_headers.iter().filter(|(name, _)| !of_connection.contains(&name.as_str()));
        let headers: Vec<String> =
            told.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default())).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        Reply::whole(&format!("{} Recorded", self.status), &headers, self.response_body.to_string())
    }

    /// A server that gives this answer, and a client of the recorded cluster at the recorded api-version.
    async fn replayed(&self) -> (Server, ArmClient) {
        provider();
        let server = Server::start(self.reply()).await;
        let cluster = self.about().map_or(CLUSTER, |(cluster, _)| cluster);
        let api_version = self.query("api-version").unwrap_or_default().to_owned();
        let options = ArmOptions { api_version, ..options(server.endpoint(), cluster) };
        let client = ArmClient::new(options).unwrap();
        (server, client)
    }
}

/// All recorded exchanges, or `None` where there are none.
fn recordings() -> Option<Vec<Exchange>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/aks-traffic");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        say("SKIPPED: the folder ../shared/aks-traffic of recorded answers is not at hand");
        return None;
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let parse = |(line, text): (usize, &str)| {
            let place = format!("{name}, line {}", line + 1);
            Exchange { place, ..serde_json::from_str(text).unwrap() }
        };
        text.lines().enumerate().map(parse).collect::<Vec<_>>()
    };
    // The shapes of operations' answers have no pool and no error in them.
    files.retain(|file| !file.ends_with("operation-status-shapes.jsonl"));
    Some(files.iter().flat_map(read).collect())
}

/// Not with a macro, whose output the test harness would swallow.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Whether the typed view says what the properties of the document say.
fn fits(pool: &AgentPool, properties: &Value) -> bool {
    let text = |name: &str| properties[name].as_str();
    let number = |name: &str| properties[name].as_u64().map(|number| u32::try_from(number).unwrap());
    let autoscaled = properties["enableAutoScaling"] == true;
    let taints: Vec<String> = pool.taints.iter().map(ToString::to_string).collect();
    let or_empty = |name: &str, empty: Value| match &properties[name] {
        Value::Null => empty,
        value => value.clone(),
    };
    let state = text("provisioningState").unwrap();
    let at_rest = matches!(state, "Succeeded" | "Failed" | "Canceled");
    pool.count == number("count").unwrap()
        && pool.kind == PoolKind::ScaleSet
        && pool.mode == Mode::parse(text("mode").unwrap())
        && matches!(pool.mode, Mode::System | Mode::User)
        && json!(taints) == or_empty("nodeTaints", json!([]))
        && json!(pool.labels) == or_empty("nodeLabels", json!({}))
        && json!(pool.tags) == or_empty("tags", json!({}))
        && pool.state.operation() == Some(state).filter(|_| !at_rest)
        && (pool.power == Power::Running) == (properties["powerState"]["code"] == "Running")
        && pool.requested_version.as_deref() == text("orchestratorVersion")
        && pool.current_version.as_deref() == text("currentOrchestratorVersion")
        && pool.autoscaling.map(|bounds| (Some(bounds.min), Some(bounds.max)))
            == autoscaled.then(|| (number("minCount"), number("maxCount")))
}

#[tokio::test]
async fn every_recorded_cluster_is_understood() {
    let Some(recordings) = recordings() else { return };
    let (mut clusters, mut pools) = (0, 0);
    for exchange in &recordings {
        let of_cluster = exchange.about().is_some_and(|(_, rest)| rest.is_empty());
        if exchange.method != "GET" || exchange.status != 200 || !of_cluster {
            continue;
        }
        let (server, client) = exchange.replayed().await;
        let seen = client.cluster().await.unwrap_or_else(|error| panic!("{}: {error}", exchange.place));
        assert!(
            server.requests()[0].starts_with(&format!("GET {}?api-version=", exchange.path())),
            "{}",
            exchange.place
        );
        let properties = &exchange.response_body["properties"];
        assert_eq!(seen.node_resource_group.as_deref(), properties["nodeResourceGroup"].as_str(), "{}", exchange.place);
        assert_eq!(seen.issuer_url.as_deref(), properties["oidcIssuerProfile"]["issuerURL"].as_str());
        let profiles = properties["agentPoolProfiles"].as_array().unwrap();
        assert_eq!(seen.pools.len(), profiles.len(), "{}", exchange.place);
        for (pool, profile) in seen.pools.iter().zip(profiles) {
            assert_eq!(pool.name, profile["name"].as_str().unwrap());
            assert!(fits(pool, profile), "{}: {pool:?} of {profile}", exchange.place);
        }
        clusters += 1;
        pools += profiles.len();
    }
    assert!(clusters > 0);
    say(&format!("recorded answers understood: {clusters} of GET managedCluster, with {pools} pools"));
}

#[tokio::test]
async fn every_recorded_pool_is_understood() {
    let Some(recordings) = recordings() else { return };
    let mut pools = 0;
    for exchange in &recordings {
        let Some(name) = exchange.pool().filter(|_| exchange.method == "GET" && exchange.status == 200) else {
            continue;
        };
        let (server, client) = exchange.replayed().await;
        let seen = client.pool(name).await.unwrap_or_else(|error| panic!("{}: {error}", exchange.place));
        assert!(
            server.requests()[0].starts_with(&format!("GET {}?api-version=", exchange.path())),
            "{}",
            exchange.place
        );
        assert_eq!(json!(seen.properties()), exchange.response_body["properties"], "{}", exchange.place);
        assert!(fits(&seen.pool(), &exchange.response_body["properties"]), "{}: {:?}", exchange.place, seen.pool());
        pools += 1;
    }
    assert!(pools > 0);
    say(&format!("recorded answers understood: {pools} of GET agentPool"));
}

#[test]
fn a_write_made_from_any_recorded_pool_changes_what_it_is_about_and_nothing_else() {
    let Some(recordings) = recordings() else { return };
    let (mut documents, mut with_etag) = (0, 0);
    for exchange in &recordings {
        for recorded in exchange.documents() {
            let mut tagged = recorded.clone();
            tagged["properties"]["eTag"] = json!("of-the-test");
            for document in [recorded, &tagged] {
                let pool = PoolDocument::parse(document.clone()).unwrap().pool();
                assert!(fits(&pool, &document["properties"]), "{}: {pool:?}", exchange.place);
                changes_only_what_it_is_about(document, &pool, &exchange.place);
            }
            documents += 1;
            with_etag += usize::from(recorded["properties"]["eTag"].is_string());
        }
    }
    assert!(documents > 0);
    say(&format!("recorded documents of pools: {documents}, {with_etag} of them with an eTag; 5 writes from each"));
}

fn changes_only_what_it_is_about(document: &Value, pool: &AgentPool, place: &str) {
    let (mut labels, mut taints, mut tags) = (pool.labels.clone(), pool.taints.clone(), pool.tags.clone());
    labels.insert("added".into(), "here".into());
    tags.insert("added".into(), "here".into());
    taints.push("added=here:PreferNoSchedule".parse().unwrap());
    let shown: Vec<String> = taints.iter().map(ToString::to_string).collect();
    let other = if pool.mode == Mode::System { Mode::User } else { Mode::System };
    for (change, about, wanted) in [
        (Change::Count { from: pool.count, to: pool.count + 1 }, "count", json!(pool.count + 1)),
        (Change::Labels { from: pool.labels.clone(), to: labels.clone() }, "nodeLabels", json!(labels)),
        (Change::Tags { from: pool.tags.clone(), to: tags.clone() }, "tags", json!(tags)),
        (Change::Taints { from: pool.taints.clone(), to: taints.clone() }, "nodeTaints", json!(shown)),
        (Change::Mode { from: pool.mode.clone(), to: other.clone() }, "mode", json!(other.to_string())),
    ] {
        let write = PoolWrite::new(&PoolDocument::parse(document.clone()).unwrap(), &change);
        let body = write.body["properties"].as_object().unwrap();
        assert_eq!(body[about], wanted, "{place}");
        let read = &document["properties"];
        for (name, value) in body.iter().filter(|(name, _)| *name != about) {
            // An empty collection clears what was not there.
            let empty = *value == json!([]) || *value == json!({});
            assert!(*value == read[name] || empty && read[name].is_null(), "{place}: {name} becomes {value}");
            assert!(!NEVER_SENT.contains(&name.as_str()), "{place}: {name} is sent");
        }
        assert_eq!(body.len() <= 4, read["eTag"].is_null(), "{place}: {body:?}");
        assert_eq!(body.contains_key("count"), about == "count" || body.len() > 4 && read["enableAutoScaling"] != true);
    }
}

#[tokio::test]
async fn every_recorded_error_is_told_with_its_code_and_its_message() {
    let Some(recordings) = recordings() else { return };
    let (approved, write) = approved();
    let mut errors = 0;
    for exchange in recordings.iter().filter(|exchange| exchange.status >= 400) {
        let server = Server::start(exchange.reply()).await;
        let client = client(server.endpoint(), CLUSTER);
        let mut answers = vec![client.put_pool(&approved, &write, permit()).await.map(drop).unwrap_err()];
        if exchange.status < 429 {
            answers.push(client.cluster().await.unwrap_err());
            answers.push(client.pool("apps").await.map(drop).unwrap_err());
        }
        let body = &exchange.response_body;
        let recorded = if body["error"].is_object() { &body["error"] } else { body };
        for error in answers {
            let ArmError::Answered { status, code, message, .. } = &error else {
                panic!("{}: {error}", exchange.place)
            };
            assert_eq!(*status, exchange.status, "{}", exchange.place);
            assert_eq!(
                (&json!(code), &json!(message)),
                (&recorded["code"], &recorded["message"]),
                "{}",
                exchange.place
            );
            assert_eq!(error.outcome_unknown(), exchange.status >= 500, "{}", exchange.place);
        }
        errors += 1;
    }
    assert!(errors > 0);
    say(&format!("recorded errors told with their code and message: {errors}"));
}
