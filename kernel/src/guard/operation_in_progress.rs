//! `OperationInProgress`: a busy pool or cluster waits, whoever keeps it busy. Never interrupts an operation.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::snapshot::Power;
use crate::step::Step;

/// Refuses for now a step on a pool that is busy, or on any pool while the cluster is.
///
/// ARM answers 409 `OperationNotAllowed` to such a write.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let cluster = &facts.cluster;
    let pool = facts.pool(step)?;
    let finding = if let Some(operation) = cluster.state.operation() {
        format!("the cluster is {operation}")
    } else if let Power::NotRunning(state) = &cluster.power {
        format!("the cluster is {state}")
    } else if let Some(operation) = pool.state.operation() {
        format!("pool {} is {operation}", pool.name)
    } else if facts.is_in_flight(&pool.name) {
        format!("a change of pool {} was just sent and has not been observed yet", pool.name)
    } else {
        return None;
    };
    Some(Broken {
        rule: Rule::OperationInProgress,
        standing: Standing::Passing,
        finding,
        remedy: "wait until it has ended; the operator goes on by itself".to_owned(),
        pods: Vec::new(),
    })
}
