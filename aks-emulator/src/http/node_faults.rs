//! Faults of nodes through the admin API. Never touches a node itself.

use std::time::Duration;

use serde::Deserialize;

use super::App;
use crate::service::refusal::Refusal;
use crate::{NodeFault, NodeTrouble};

/// A fault of a pool's nodes, as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NodeFaultRequest {
    pool: String,
    trouble: Trouble,
    /// How long, at the service's pace.
    seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Trouble {
    NeverReady,
    LateObject,
    LateReady,
    LateWrites,
    NotReady,
}

pub(super) fn lay(app: &App, request: &NodeFaultRequest) -> Result<NodeFault, Refusal> {
    let time = request.seconds.map(Duration::from_secs);
    let lateness = || time.ok_or_else(|| Refusal::content("seconds is missing: say how late"));
    let trouble = match request.trouble {
        Trouble::NeverReady if time.is_some() => {
            return Err(Refusal::content("seconds is given, but neverReady has no end: use lateReady"));
        }
        Trouble::NeverReady => NodeTrouble::NeverReady,
        Trouble::LateObject => NodeTrouble::LateObject(lateness()?),
        Trouble::LateReady => NodeTrouble::LateReady(lateness()?),
        Trouble::LateWrites => NodeTrouble::LateWrites(lateness()?),
        Trouble::NotReady => NodeTrouble::NotReady(time),
    };
    Ok(app.service.lay_node_fault(&request.pool, trouble))
}
