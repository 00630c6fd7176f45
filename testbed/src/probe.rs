//! What an operator answers a probe, as a kubelet asks. Never waits for another answer.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

/// What an operator that wrote this log answers to a probe of that path: the status and the text.
///
/// # Errors
/// When the log names no address, or nobody answers there.
pub async fn probe(log: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    // Of its last start.
    let mut told = lines.filter_map(|line| line.get("fields").cloned());
    let told = told.rfind(|it| it.get("message").is_some_and(|message| message == "probes are answered"));
    let address = told.as_ref().and_then(|it| it.get("address")?.as_str()).context("no address in the log")?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let answer = client.get(format!("http://{address}/{path}")).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
