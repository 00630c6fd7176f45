//! The emulator in the state that a recording starts from, and the way from one request to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aks_emulator::{Cluster, ClusterSpec, Hold, PoolSpec, Settings, Switches};
use serde_json::{Value, json};

use super::compare::{Difference, compare};
use super::recording::{Exchange, Recording};
use crate::staged::Staged;
use crate::support::{Answer, FAST, Local, start_on};

/// An operation that a replayed write started, kept where the recording has it.
struct Running {
    url: String,
    before_nodes: Hold,
    before_end: Hold,
}

/// The emulator that a recording is replayed on.
pub struct Scene {
    settings: Settings,
    location: String,
    /// Whether no header was stripped from the recording.
    genuine: bool,
    version: String,
    local: Option<Local>,
    nodes: Arc<Staged>,
    running: BTreeMap<String, Running>,
    /// Recorded ids of operations that will be started here.
    known: Vec<String>,
    /// Whether requests were passed over, so that only the recorded answer says what state they led to.
    unsure: bool,
}

impl Scene {
    pub fn new(recording: &Recording, genuine: bool) -> Self {
        let switches = Switches {
            etags: recording.shows("eTag"),
            list_ends_with_empty_page: recording.shows("nextLink"),
            ..Switches::default()
        };
        let writes = recording.exchanges().iter().filter(|exchange| exchange.segment("agentPools").is_some());
        let version = recording.pools().find_map(|pool| pool["properties"]["currentOrchestratorVersion"].as_str());
        Self {
            settings: Settings {
                api_versions_also: vec!["2025-09-02-preview".to_owned()],
                switches,
                ..Settings::with_time_scale(FAST)
            },
            location: recording.location(),
            genuine,
            version: version.unwrap_or("1.33.5").to_owned(),
            local: None,
            nodes: Arc::new(Staged::default()),
            running: BTreeMap::new(),
            known: writes.filter_map(|exchange| exchange.started().map(str::to_owned)).collect(),
            unsure: true,
        }
    }

    /// Whether an operation is one that a replayed write started.
    pub fn knows(&self, operation: &str) -> bool {
        self.known.iter().any(|known| known == operation)
    }

    /// A request was not sent; what it did is taken from the next answer.
    pub fn passed_over(&mut self) {
        self.unsure = true;
    }

    /// Sends a request and compares the answers.
    pub async fn send(&mut self, exchange: &Exchange) -> Vec<Difference> {
        if exchange.segment("agentPools").is_none() && exchange.operation().is_none() {
            return self.send_to_cluster(exchange).await;
        }
        if self.local.is_none() {
            self.local = Some(self.start(exchange).await);
        }
        if self.unsure && exchange.method == "GET" {
            self.seed(exchange);
            self.local().emulator.edit(|cluster| {
                let other = cluster
                    .pools
                    .iter()
                    .any(|pool| pool.name != "before" && pool.get("mode") == Some(&json!("System")));
                cluster.pools.retain(|pool| !other || pool.name != "before");
            });
        }
        let answer = match exchange.operation() {
            Some(id) => self.look(exchange, id).await,
            None if exchange.method == "GET" => self.request(exchange).await,
            None => self.write(exchange).await,
        };
        let differences = compare(exchange, &answer, self.genuine);
        self.seed(exchange);
        differences
    }

    /// A GET of the managed cluster, on an emulator of its own: with that cluster as it was recorded, or with another
    /// in its place if it was absent.
    async fn send_to_cluster(&mut self, exchange: &Exchange) -> Vec<Difference> {
        let mut spec = self.spec(exchange);
        if exchange.status == 404 {
            spec.name = "another".to_owned();
        }
        let local = start_on(self.settings.clone(), spec, self.nodes.clone()).await;
        if exchange.status == 200 {
            local.emulator.edit(|cluster| seed_cluster(cluster, &exchange.response_body));
        }
        let answer = local.get(&exchange.url).await;
        compare(exchange, &answer, self.genuine)
    }

    fn spec(&self, exchange: &Exchange) -> ClusterSpec {
        let own = |name: &str| exchange.segment(name).unwrap_or_default().to_owned();
        ClusterSpec {
            subscription: own("subscriptions"),
            resource_group: own("resourceGroups"),
            name: own("managedClusters"),
            location: self.location.clone(),
            kubernetes_version: self.version.clone(),
            // In 2023 the patch was part of what was asked for, and shown.
            requested_version: self.version.starts_with("1.25.").then(|| self.version.clone()),
            pools: vec![PoolSpec::system("before", 1)],
            ..ClusterSpec::default()
        }
    }

    async fn start(&self, exchange: &Exchange) -> Local {
        start_on(self.settings.clone(), self.spec(exchange), self.nodes.clone()).await
    }

    fn local(&self) -> &Local {
        self.local.as_ref().unwrap()
    }

    async fn request(&self, exchange: &Exchange) -> Answer {
        let local = self.local();
        let body = Some(&exchange.request_body).filter(|body| !body.is_null());
        local.send(exchange.method.parse().unwrap(), &local.url(&exchange.url), body).await
    }

    /// A write, whose operation waits until the recording is there.
    async fn write(&mut self, exchange: &Exchange) -> Answer {
        let operations = self.local().emulator.operation(exchange.segment("agentPools").unwrap());
        let (before_nodes, before_end) = (operations.hold_before_nodes(), operations.hold());
        let answer = self.request(exchange).await;
        if let (Some(id), Some(url)) = (exchange.started(), answer.header("azure-asyncoperation")) {
            self.running.insert(id.to_owned(), Running { url: url.to_owned(), before_nodes, before_end });
        }
        answer
    }

    /// A look at an operation, brought to where it was when the recording was made.
    async fn look(&mut self, exchange: &Exchange, id: &str) -> Answer {
        let recorded = exchange.response_body["status"].as_str().unwrap_or_default();
        let ended = matches!(recorded, "Succeeded" | "Failed" | "Canceled");
        let nodes = recorded.strip_suffix(" nodes completed").and_then(|text| text.rsplit(' ').next());
        let running = &self.running[id];
        if ended || nodes.is_some() {
            let all = nodes.and_then(|nodes| nodes.split_once('/')).is_none_or(|(ready, all)| ready == all);
            self.nodes.ready(all);
            running.before_nodes.release();
        }
        if ended {
            running.before_end.release();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let answer = self.local().send(reqwest::Method::GET, &running.url, None).await;
            let there = !(ended || nodes.is_some()) || answer.body["status"] == recorded;
            if there || Instant::now() >= deadline {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Brings the pools to what an answer shows, so that one difference does not lead to others.
    fn seed(&mut self, exchange: &Exchange) {
        let pools = exchange.pools();
        if pools.is_empty() {
            return;
        }
        let list = exchange.response_body.get("value").is_some();
        self.local().emulator.edit(|cluster| {
            if list {
                cluster.pools.retain(|own| pools.iter().any(|pool| pool["name"] == own.name) || own.name == "before");
            }
            for pool in &pools {
                seed_pool(cluster, pool["name"].as_str().unwrap(), &pool["properties"]);
            }
            if list {
                cluster.pools.retain(|own| own.name != "before");
            }
        });
        self.unsure = false;
    }
}

/// Brings a pool, old or new, to these properties.
fn seed_pool(cluster: &mut Cluster, name: &str, properties: &Value) {
    if cluster.pool(name).is_none() {
        let mut new = cluster.pools[0].clone();
        name.clone_into(&mut new.name);
        cluster.pools.push(new);
    }
    cluster.pool_mut(name).unwrap().properties = properties.as_object().unwrap().clone();
}

/// Brings the cluster to a recorded document.
fn seed_cluster(cluster: &mut Cluster, document: &Value) {
    let mut properties = document["properties"].as_object().unwrap().clone();
    let profiles = properties.remove("agentPoolProfiles").unwrap_or(json!([]));
    for profile in profiles.as_array().unwrap() {
        let mut profile = profile.clone();
        let name = profile.as_object_mut().unwrap().remove("name").unwrap();
        seed_pool(cluster, name.as_str().unwrap(), &profile);
    }
    cluster.pools.retain(|own| own.name != "before");
    cluster.properties = properties;
    document["location"].as_str().unwrap().clone_into(&mut cluster.location);
    cluster.members = document.as_object().unwrap().clone();
    cluster.members.retain(|name, _| matches!(name.as_str(), "identity" | "sku" | "tags"));
}
