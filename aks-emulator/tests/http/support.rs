//! What the tests share: an emulator on a free port and a client for it.

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use aks_emulator::{ClusterSpec, Emulator, NoNodes, NodeSide, PoolSpec, Settings};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub const VERSION: &str = "2025-10-01";
/// Fast enough that a create takes 20 ms.
pub const FAST: f64 = 10_000.0;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn code(&self) -> &str {
        let code = &self.body["code"];
        let code = code.as_str().or(self.body["error"]["code"].as_str());
        code.unwrap_or_default()
    }

    pub fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }
}

/// An emulator and a client of it.
pub struct Local {
    pub emulator: Emulator,
    pub client: reqwest::Client,
}

/// One system and one user pool.
pub fn two_pools() -> ClusterSpec {
    ClusterSpec::with_pools([PoolSpec::system("system", 3), PoolSpec::user("apps", 2)])
}

/// Chooses the cryptography that clients are built with, once.
pub fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    });
}

pub async fn fast() -> Local {
    start(Settings::with_time_scale(FAST), two_pools()).await
}

pub async fn start(settings: Settings, cluster: ClusterSpec) -> Local {
    start_on(settings, cluster, Arc::new(NoNodes::new())).await
}

pub async fn start_on(settings: Settings, cluster: ClusterSpec, nodes: Arc<dyn NodeSide>) -> Local {
    install_provider();
    let emulator = Emulator::start(settings, cluster, nodes).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().user_agent("tests/1").build().unwrap();
    Local { emulator, client }
}

impl Local {
    pub fn url(&self, path: &str) -> String {
        let base = self.emulator.endpoint().as_str().trim_end_matches('/');
        format!("{base}{path}")
    }

    pub fn pool_path(&self, pool: &str) -> String {
        let id = self.emulator.cluster_id();
        format!("{id}/agentPools/{pool}?api-version={VERSION}")
    }

    pub async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Answer {
        self.send_with(method, url, body, &[]).await
    }

    pub async fn send_with(&self, method: Method, url: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, &self.url(path), None).await
    }

    pub async fn get_pool(&self, pool: &str) -> Answer {
        self.get(&self.pool_path(pool)).await
    }

    /// A PUT of properties on a pool.
    pub async fn put(&self, pool: &str, properties: Value) -> Answer {
        let body = json!({"properties": properties});
        self.send(Method::PUT, &self.url(&self.pool_path(pool)), Some(&body)).await
    }

    pub async fn delete(&self, pool: &str) -> Answer {
        self.send(Method::DELETE, &self.url(&self.pool_path(pool)), None).await
    }

    /// Follows an operation until it ends and returns the last status.
    pub async fn follow(&self, accepted: &Answer) -> Value {
        let url = accepted.header("azure-asyncoperation").unwrap().to_owned();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.send(Method::GET, &url, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let status = answer.body["status"].as_str().unwrap();
            if matches!(status, "Succeeded" | "Failed" | "Canceled") {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "still {status}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A PUT that is accepted and succeeds.
    pub async fn put_and_follow(&self, pool: &str, properties: Value) -> Answer {
        let answer = self.put(pool, properties).await;
        assert!(answer.status < 300, "{answer:?}");
        assert_eq!(self.follow(&answer).await["status"], "Succeeded");
        answer
    }
}
