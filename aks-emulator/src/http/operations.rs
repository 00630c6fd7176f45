//! Operations over HTTP: long signed URLs, status and results. Never changes an operation.

use axum::http::StatusCode;

use super::Call;
use super::cluster::read;
use super::reply::Reply;
use crate::nodes::names::digest;
use crate::service::operation::Operation;
use crate::service::refusal::Refusal;

/// The api-version in the URLs of operations since 2025.
const API_VERSION: &str = "2025-03-01";
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The URL of an operation, about 3 KB with its signature; `kind` is `operations` or `operationresults`.
pub(super) fn url(call: &Call<'_>, operation: &Operation, kind: &str) -> String {
    format!(
        "{}/subscriptions/{}/providers/Microsoft.ContainerService/locations/{}/{kind}/{}?{}",
        call.base,
        operation.subscription,
        operation.location,
        operation.id,
        query(operation, kind)
    )
}

/// The query that an operation's URL must have, to the letter. It stands for a signature and follows from the id,
/// which nobody can guess.
fn query(operation: &Operation, kind: &str) -> String {
    // Ticks of 100 ns since the year 1, as in the recordings.
    let ticks = 621_355_968_000_000_000 + i128::from(operation.started.as_microsecond()) * 10;
    let part = |name: &str, length: usize| letters(&format!("{name}/{kind}/{}", operation.id), length);
    format!("api-version={API_VERSION}&t={ticks}&c={}&s={}&h={}", part("c", 2400), part("s", 342), part("h", 43))
}

/// Letters that look random and are always the same for a seed.
fn letters(seed: &str, length: usize) -> String {
    let mut state = digest(seed) | 1;
    (0..length)
        .map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state >> 58).unwrap_or_default();
            LETTERS.get(index).map_or('A', |letter| char::from(*letter))
        })
        .collect()
}

/// The answer to a GET of an operation's status.
pub(super) fn status(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let operation = find(call, id, "operations")?;
    Ok(read(&operation.document(call.service.settings.switches.leftover_errors)))
}

/// The answer to a GET of an operation's result: 202 while it runs, 204 afterwards.
pub(super) fn result(call: &Call<'_>, id: &str) -> Result<Reply, Refusal> {
    let operation = find(call, id, "operationresults")?;
    if operation.is_running() {
        let location = url(call, &operation, "operationresults");
        return Ok(Reply::empty(StatusCode::ACCEPTED).with("location", &location));
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn find(call: &Call<'_>, id: &str, kind: &str) -> Result<Operation, Refusal> {
    if call.method != "GET" {
        return Err(Refusal::method(call.method));
    }
    let operation = call.service.read(|state| state.operations.get(&id.to_ascii_lowercase()).cloned());
    let forbidden = call.service.settings.switches.operation_urls_forbidden;
    match operation {
        Some(operation) if !forbidden && call.query == query(&operation, kind) => Ok(operation),
        // Without its signature the gateway asks for a role; whether it then says 403 or 404 is not recorded.
        _ => Err(Refusal::forbidden(&format!("Microsoft.ContainerService/locations/{kind}/read"), call.path)),
    }
}
