//! Requests to ARM as a person's tool makes them.

use aks_emulator::Emulator;
use anyhow::ensure;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Changes a pool through ARM, waits for the end, and returns the pool as it is then.
pub async fn put(emulator: &Emulator, pool: &str, properties: &Value) -> anyhow::Result<Value> {
    begin(emulator, Method::PUT, pool, &json!({"properties": properties})).await?;
    emulator.idle().await;
    Ok(emulator.pool(pool).unwrap_or_default())
}

/// Makes a request about a pool that must be accepted, and does not wait for its end.
pub async fn begin(emulator: &Emulator, method: Method, pool: &str, body: &Value) -> anyhow::Result<()> {
    begin_with(emulator, method, pool, "", body).await
}

/// The same with more of a query, such as `&a=b`.
pub async fn begin_with(
    emulator: &Emulator,
    method: Method,
    pool: &str,
    query: &str,
    body: &Value,
) -> anyhow::Result<()> {
    let id = emulator.cluster_id().trim_start_matches('/');
    let url = format!("{}{id}/agentPools/{pool}?api-version=2025-10-01{query}", emulator.endpoint());
    let answer = Client::new().request(method, url).json(body).send().await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(())
}
