//! An emulator on a manual clock, what was accepted so far, and what has to hold of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{Action, Canned, ClusterSpec, Emulator, Fault, ForeignRequest, Matcher, PoolSpec, Settings};
use http::{Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::Watched;
use crate::steps::{POOLS, Step};

const VERSION: &str = "2025-10-01";
/// Longer than any operation.
const LONG: Duration = Duration::from_hours(2);

/// An operation that was accepted.
struct Accepted {
    pool: &'static str,
    /// What its URL answered when it had ended.
    ended: Option<Value>,
}

pub struct World {
    emulator: Emulator,
    settings: Settings,
    nodes: Arc<Watched>,
    /// By the path and query of its URL.
    accepted: BTreeMap<String, Accepted>,
    /// The provisioning state of each pool as of the last look.
    states: BTreeMap<&'static str, Option<String>>,
    faults: Vec<Fault>,
    _folder: TempDir,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            Settings { manual_clock: true, state_file: Some(folder.path().join("state.json")), ..Settings::default() };
        let nodes = Arc::new(Watched::default());
        let emulator = Emulator::start(settings.clone(), cluster(), nodes.clone()).await.unwrap();
        let mut world = Self {
            emulator,
            settings,
            nodes,
            accepted: BTreeMap::new(),
            states: BTreeMap::new(),
            faults: Vec::new(),
            _folder: folder,
        };
        world.states = world.states_now();
        world
    }

    pub async fn take(&mut self, step: &Step) {
        match step {
            Step::Put { pool, properties } => {
                let body = json!({"properties": properties}).to_string();
                self.write("PUT", pool, "", &body).await;
            }
            Step::Delete { pool } => self.write("DELETE", pool, "", "").await,
            Step::Abort { pool } => self.write("POST", pool, "/abort", "").await,
            Step::ForeignPut { pool, properties } => {
                let put = ForeignRequest::new("PUT", &self.path(pool, ""), Some(json!({"properties": properties})));
                let status = self.emulator.as_someone_else(&put).await.unwrap().status;
                assert!(status.is_some_and(|status| status < 500), "{status:?}");
            }
            Step::Malformed { method, path, body } => {
                let answer = self.send("actor", method, path, body).await;
                let refused = answer.is_none_or(|answer| answer.status().as_u16() >= 400);
                assert!(refused);
            }
            Step::LoseNext { before } => {
                self.lay(if *before { Action::DropBefore } else { Action::DropAfter });
            }
            Step::AnswerNext { status } => self.lay(Action::Answer(Canned::error(*status, "Fault", "by the test"))),
            Step::FailNext { pool } => {
                self.faults.push(self.emulator.operation(pool).fail("QuotaExceeded", "no cores left", Some(1)));
            }
            Step::Advance { seconds } => {
                assert!(self.emulator.clock().unwrap().advance(Duration::from_secs(*seconds)).await);
            }
            Step::ToNext => {
                self.emulator.clock().unwrap().advance_to_next().await;
            }
            Step::Restart => self.restart().await,
        }
    }

    /// What holds after each step.
    pub async fn check(&mut self, step: &Step) {
        let states = self.states_now();
        for (pool, now) in &states {
            let before = self.states.get(pool).and_then(Option::as_deref);
            assert!(may_follow(before, now.as_deref()), "{pool} went from {before:?} to {now:?} by {step:?}");
        }
        self.states = states;
        let mut running = BTreeMap::new();
        let urls: Vec<String> = self.accepted.keys().cloned().collect();
        for url in urls {
            let answer = self.send("checker", "GET", &url, "").await.unwrap();
            let body: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(answer.status(), 200, "an operation was lost by {step:?}: {body}");
            let accepted = self.accepted.get_mut(&url).unwrap();
            if let Some(ended) = &accepted.ended {
                assert_eq!(&body, ended, "an operation changed after its end, by {step:?}");
            } else if body.get("endTime").is_some() {
                accepted.ended = Some(body);
            } else {
                let other = running.insert(accepted.pool, url);
                assert!(other.is_none(), "two operations run on {} after {step:?}", accepted.pool);
            }
        }
        assert_eq!(self.nodes.wrongs(), Vec::<String>::new(), "by {step:?}");
    }

    /// Lets all come to its end, and checks that pools and nodes agree and nothing is locked.
    pub async fn settle(&mut self) {
        self.faults.clear();
        assert!(self.emulator.clock().unwrap().advance(LONG).await);
        self.check(&Step::ToNext).await;
        assert!(self.accepted.values().all(|accepted| accepted.ended.is_some()), "an operation never ends");
        for pool in POOLS {
            if self.emulator.pool(pool).is_none() {
                continue;
            }
            let free = self.send("checker", "PUT", &self.path(pool, ""), "{}").await.unwrap();
            let body = String::from_utf8_lossy(free.body()).into_owned();
            assert_eq!(free.status(), 200, "{pool} is locked: {body}");
            assert!(self.emulator.clock().unwrap().advance(LONG).await);
            let properties = self.emulator.pool(pool).unwrap()["properties"].clone();
            assert_eq!(properties["provisioningState"], "Succeeded", "{properties}");
            if properties["enableAutoScaling"] == false {
                assert_eq!(json!(self.node_count(pool)), properties["count"], "nodes of {properties}");
            }
        }
    }

    fn node_count(&self, pool: &str) -> usize {
        self.nodes.count(&format!("aks-{pool}-"))
    }

    async fn restart(&mut self) {
        self.faults.clear();
        self.emulator.stop().await;
        self.emulator = Emulator::start(self.settings.clone(), cluster(), self.nodes.clone()).await.unwrap();
    }

    /// Lays a fault on the next request of the actor.
    fn lay(&mut self, action: Action) {
        self.faults.push(self.emulator.fault(Matcher::any().user_agent("actor"), action, Some(1)));
    }

    async fn write(&mut self, method: &str, pool: &'static str, below: &str, body: &str) {
        let answer = self.send("actor", method, &self.path(pool, below), body).await;
        let Some(url) = answer.as_ref().and_then(|answer| answer.headers().get("azure-asyncoperation")) else {
            return;
        };
        let url = url.to_str().unwrap();
        let path = url[url.find("/subscriptions").unwrap()..].to_owned();
        // A second DELETE joins the first and so names its operation again.
        self.accepted.entry(path).or_insert(Accepted { pool, ended: None });
    }

    async fn send(&self, agent: &str, method: &str, target: &str, body: &str) -> Option<Response<Vec<u8>>> {
        let request = Request::builder().method(method).uri(target).header("user-agent", agent);
        self.emulator.request(request.body(body.as_bytes().to_vec()).unwrap()).await
    }

    fn path(&self, pool: &str, below: &str) -> String {
        format!("{}/agentPools/{pool}{below}?api-version={VERSION}", self.emulator.cluster_id())
    }

    fn states_now(&self) -> BTreeMap<&'static str, Option<String>> {
        let state = |pool: Value| pool["properties"]["provisioningState"].as_str().map(str::to_owned);
        POOLS.into_iter().map(|name| (name, self.emulator.pool(name).and_then(state))).collect()
    }
}

fn cluster() -> ClusterSpec {
    ClusterSpec::with_pools([PoolSpec::system("system", 3).zones(&["1", "2", "3"]), PoolSpec::user("apps", 2)])
}

/// Whether one look at a pool may show this state after that one; `None` is a pool that is not there.
fn may_follow(before: Option<&str>, now: Option<&str>) -> bool {
    let terminal = |state: &str| matches!(state, "Succeeded" | "Failed" | "Canceled");
    match (before, now) {
        _ if before == now => true,
        (None, Some(now)) => now == "Creating",
        (Some(before), None) => before == "Deleting",
        (Some(before), Some(now)) if terminal(before) => !terminal(now) && now != "Creating" && now != "Canceling",
        (Some("Canceling"), Some(now)) => matches!(now, "Canceled" | "Failed" | "Deleting"),
        (Some(_), Some(now)) => matches!(now, "Succeeded" | "Failed" | "Deleting" | "Canceling"),
        (None, None) => true,
    }
}
