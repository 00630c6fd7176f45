//! What is counted and logged of requests to the AKS emulator, and what is not: nothing that opens a door. Never goes
//! through the operator's loop.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a failure is to end the test with its place"
)]

#[path = "metrics/described.rs"]
mod described;
#[path = "arm/options.rs"]
mod options;

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use aks_emulator::{Action, Canned, ClusterSpec, Emulator, Matcher, NoNodes, PoolSpec, Settings};
use nodepool_operator::arm::{ArmClient, ArmOptions, Operation};
use nodepool_operator::leadership::Leadership;
use nodepool_operator::listen::Listener;
use nodepool_operator::metrics::{Figures, Metrics, Parts, PassedRules, routes};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::options::options;

/// A share whose token buckets do not fill noticeably while a test runs: one request at once, one in 100 s.
const SMALL: f64 = 0.01;

/// What all tests of this process log: tracing knows one subscriber for all threads.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    subscriber.init();
    log
});

async fn emulator() -> Emulator {
    LazyLock::force(&LOG);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 1)]);
    Emulator::start(Settings::with_time_scale(1e6), cluster, Arc::new(NoNodes::new())).await.unwrap()
}

fn client(emulator: &Emulator, request_share: f64) -> ArmClient {
    let options = options(emulator.endpoint().as_str(), emulator.cluster_id());
    ArmClient::new(ArmOptions { request_share, ..options }).unwrap()
}

/// The metrics of a process that has done nothing but ask ARM.
fn metrics(client: &ArmClient) -> Metrics {
    let figures = Figures::new(Arc::default(), &nodepool_kernel::Settings::default());
    Metrics::new(&Parts {
        arm: client,
        passed_rules: &PassedRules::default(),
        leadership: &Leadership::sole(),
        figures: &figures,
    })
}

/// The value of a metric with these labels; the samples of a family come in any order.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn each_request_is_counted_by_what_came_of_it_and_each_repetition_too() {
    let emulator = emulator().await;
    let client = client(&emulator, 1.0);
    client.cluster().await.unwrap();
    let failing = emulator.fault(Matcher::method("GET"), Action::Answer(Canned::bad_gateway()), Some(1));
    client.cluster().await.unwrap();
    drop(failing);
    client.pool("no-such-pool").await.unwrap_err();
    emulator.stop().await;
    client.pool("apps").await.unwrap_err();

    let text = metrics(&client).text().unwrap();
    let value = |name: &str| sample(&text, &format!("nodepool_operator_arm_{name}")).unwrap_or_default();
    for (name, wanted) in [
        (r#"requests_total{kind="read_cluster",status="200",class="ok"}"#, 2.0),
        (r#"request_attempts_total{kind="read_cluster"}"#, 3.0),
        (r#"request_duration_seconds_count{kind="read_cluster"}"#, 2.0),
        (r#"requests_total{kind="read_pool",status="404",class="fix_policy"}"#, 1.0),
        (r#"requests_total{kind="read_pool",status="none",class="retry_later"}"#, 1.0),
        // One for the 404, three for the connections that were refused.
        (r#"request_attempts_total{kind="read_pool"}"#, 4.0),
        (r#"budget_left{kind="read_operation"}"#, 200.0),
        (r#"budget_left{kind="write_pool"}"#, 20.0),
    ] {
        assert!((value(name) - wanted).abs() < 1e-9, "{name} is not {wanted} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("no-such-pool") && !text.contains("apps"), "a pool is no label:\n{text}");
}

#[tokio::test]
async fn repetitions_are_paid_for() {
    let emulator = emulator().await;
    let client = client(&emulator, SMALL);
    client.afford_read().unwrap();
    let _failing = emulator.fault(Matcher::method("GET"), Action::Answer(Canned::bad_gateway()), Some(1));
    client.cluster().await.unwrap();
    let text = metrics(&client).text().unwrap();
    let left = sample(&text, r#"nodepool_operator_arm_budget_left{kind="read_cluster"}"#).unwrap();
    assert!((-1.0..-0.5).contains(&left), "{left}");
    client.afford_read().unwrap_err();
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics_and_nothing_else_is() {
    let emulator = emulator().await;
    let client = client(&emulator, 1.0);
    client.cluster().await.unwrap();
    let server = Listener::bind("--metrics-address", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address();
    let taken = Listener::bind("--metrics-address", address).await.unwrap_err().to_string();
    assert!(taken.starts_with(&format!("--metrics-address {address} can't be listened on: ")), "{taken}");
    let task = tokio::spawn(server.serve(routes(metrics(&client))));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().await.unwrap();
    let requests = r#"nodepool_operator_arm_requests_total{kind="read_cluster",status="200",class="ok"}"#;
    assert_eq!(sample(&text, requests), Some(1.0), "{text}");
    assert_eq!(http.get(format!("http://{address}/")).send().await.unwrap().status(), 404);
    assert_eq!(http.post(format!("http://{address}/metrics")).send().await.unwrap().status(), 405);
    task.abort();
}

/// What was logged so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// What was logged of the requests that only one test makes: those for operations and for the pool `absent`.
    fn requests(&self) -> Vec<Value> {
        let lines = self.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        let fields = lines.into_iter().map(|line| line["fields"].clone());
        let of_one_test = |fields: &Value| fields["kind"] == "read_operation" || fields["pool"] == "absent";
        fields.filter(|fields| fields["message"] == "request" && of_one_test(fields)).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_request_is_logged_in_full_and_no_signature_ever() {
    let emulator = emulator().await;
    let client = client(&emulator, 1.0);
    let endpoint = emulator.endpoint().as_str().trim_end_matches('/').to_owned();
    let url = format!("{endpoint}{}/agentPools/apps?api-version=2025-10-01", emulator.cluster_id());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().put(url).header("user-agent", "by-hand");
    let answer = request.body(json!({"properties": {"count": 3}}).to_string()).send().await.unwrap();
    let operation = answer.headers()["azure-asyncoperation"].to_str().unwrap().to_owned();
    let signature = operation.split_once("&s=").unwrap().1.split('&').next().unwrap().to_owned();
    let operation = Operation::at(&operation, emulator.endpoint()).unwrap();

    client.poll(&operation).await;
    client.pool("absent").await.unwrap_err();
    emulator.stop().await;
    client.poll(&operation).await;

    let requests = LOG.requests();
    let fields = |index: usize| requests.get(index).unwrap();
    let field = |index: usize, name: &str| fields(index).get(name).cloned().unwrap_or_default();
    assert_eq!(requests.len(), 3, "{requests:?}");
    for (index, kind, status, class, attempts) in [
        (0, "read_operation", json!(200), "ok", 1),
        (1, "read_pool", json!(404), "fix_policy", 1),
        (2, "read_operation", Value::Null, "retry_later", 1),
    ] {
        let found = (field(index, "kind"), field(index, "status"), field(index, "class"), field(index, "attempts"));
        assert_eq!(found, (json!(kind), status, json!(class), json!(attempts)));
        assert!(field(index, "milliseconds").as_f64().is_some_and(|time| time >= 0.0));
        assert!(field(index, "client_request").is_string(), "{requests:?}");
        assert_eq!(field(index, "correlation").is_string(), index != 2, "{requests:?}");
    }
    assert_eq!((field(1, "pool"), field(1, "code")), (json!("absent"), json!("NotFound")));
    let text = LOG.text();
    assert!(text.contains("operations/"), "the log holds what the libraries say");
    assert!(!text.contains(&signature), "a signature is in the log");
}
