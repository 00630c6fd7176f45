//! Failures of operations through the admin API: with a code and message, or a preset. Never fails one itself.

use serde::Deserialize;

use crate::faults::Cause;
use crate::rules::Rules;
use crate::service::refusal::Refusal;
use crate::{Failure, Fault};

/// A failure of operations, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct FailureRequest {
    pool: String,
    code: Option<String>,
    message: Option<String>,
    preset: Option<Failure>,
    /// How many nodes are created before it; without, a preset comes before any and another failure after all.
    after_nodes: Option<usize>,
    times: Option<usize>,
}

pub(super) fn lay(rules: &Rules, request: FailureRequest) -> Result<Fault, Refusal> {
    let FailureRequest { pool, code, message, preset, after_nodes, times } = request;
    match (preset, code, message) {
        (Some(failure), None, None) => {
            Ok(rules.fall_short(&pool, Cause::Preset(failure), after_nodes.unwrap_or_default(), times))
        }
        (None, Some(code), Some(message)) => Ok(match after_nodes {
            Some(after_nodes) => rules.fall_short(&pool, Cause::Given { code, message }, after_nodes, times),
            None => rules.fail_operations(&pool, &code, &message, times),
        }),
        _ => Err(Refusal::content("give either preset, or code and message")),
    }
}
