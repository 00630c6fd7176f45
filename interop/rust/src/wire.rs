//! What goes past the crate: the emulator's admin API, and plain requests with the api-versions of today. Never the
//! crate itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::auth::TokenCredential;
use reqwest::Method;
use serde_json::{Value, json};

use crate::connection::{CLUSTER, GROUP, SUBSCRIPTION, credential, endpoint, transport};
use crate::{Problem, same};

/// The newest api-version that is generally available.
const NEWEST: &str = "2026-08-01";

/// Requests past the crate.
pub struct Wire {
    client: reqwest::Client,
    credential: Arc<dyn TokenCredential>,
    endpoint: String,
}

impl Wire {
    pub fn new() -> Result<Self, Problem> {
        Ok(Self { client: transport()?, credential: credential()?, endpoint: endpoint()? })
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.endpoint));
        if let Some(body) = body {
            request = request.json(body);
        }
        let token = self.credential.get_token(&self.endpoint).await?.token;
        let answer = request.bearer_auth(token.secret()).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("{method} {path}: got {status} {text}").into());
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Lays a rule; its number ends it.
    pub async fn lay(&self, kind: &str, what: Value) -> Result<u64, Problem> {
        let laid = self.send(Method::POST, &format!("/admin/{kind}"), Some(&what)).await?;
        laid["id"].as_u64().ok_or_else(|| format!("the rule has no number: {laid}").into())
    }

    pub async fn end(&self, rule: u64) -> Result<(), Problem> {
        self.send(Method::DELETE, &format!("/admin/rules/{rule}"), None).await.map(drop)
    }

    /// The bodies of all PUTs of a pool, as they were sent.
    pub async fn puts(&self, pool: &str) -> Result<Vec<Value>, Problem> {
        let journal = self.send(Method::GET, "/admin/journal", None).await?;
        let end = format!("/agentPools/{pool}");
        let exchanges = journal["value"].as_array().map(Vec::as_slice).unwrap_or_default();
        let puts = exchanges
            .iter()
            .filter(|one| one["method"] == "PUT" && one["path"].as_str().is_some_and(|path| path.ends_with(&end)));
        Ok(puts.map(|one| one["request"].clone()).collect())
    }

    /// The properties of the newest PUT of a pool.
    pub async fn last_put(&self, pool: &str) -> Result<Value, Problem> {
        let put = self.puts(pool).await?.pop();
        Ok(put.ok_or_else(|| format!("no PUT of {pool} in the journal"))?["properties"].clone())
    }

    /// A pool's properties as the newest api-version shows them.
    pub async fn pool(&self, name: &str) -> Result<Value, Problem> {
        Ok(self.send(Method::GET, &path(name), None).await?["properties"].clone())
    }

    /// Writes properties with the newest api-version, and waits for the end.
    pub async fn put(&self, name: &str, properties: Value) -> Result<Value, Problem> {
        self.send(Method::PUT, &path(name), Some(&json!({"properties": properties}))).await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let pool = self.pool(name).await?;
            match pool["provisioningState"].as_str() {
                Some("Succeeded") => return Ok(pool),
                state if Instant::now() > deadline => {
                    same("state after 30 s", &Some("Succeeded"), &state)?;
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn path(pool: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/\
         {CLUSTER}/agentPools/{pool}?api-version={NEWEST}"
    )
}
