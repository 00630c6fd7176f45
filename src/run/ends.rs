//! The part of a pass that records how operations have ended: in the status of their policies, with the time of the next
//! attempt. Never asks ARM.

use std::time::Duration;

use nodepool_kernel::{Plan, PolicyPlan, Snapshot, Time};

use super::jitter::jittered;
use super::pass::Pass;
use crate::api::{NodePoolPolicy, NodePoolPolicyStatus, Operation};
use crate::clock::now;
use crate::observe::PolicyRow;
use crate::report::{Rest, take_absence, take_rest};

const LONGEST_RETRY: Duration = Duration::from_hours(1);

impl Pass {
    /// Records how operations have ended on the pools that are at rest. Tells whether there was anything to record.
    pub(super) fn record_ends(&mut self, snapshot: &Snapshot, plan: &Plan) -> bool {
        let Some(cluster) = snapshot.cluster.value() else { return false };
        let retry_seconds = self.arguments.retry_seconds;
        let retry_at = move |failures| retry_at(retry_seconds, failures);
        let mut recorded = false;
        for (name, row) in self.store.policies() {
            if !self.is_as_planned(&name, &row) {
                continue;
            }
            let PolicyRow::Valid(policy) = row else { continue };
            let Some(plan) = plan.of(&name) else { continue };
            let Some(pool) = cluster.pool(&plan.pool) else {
                recorded |= self.record_absence(&policy, snapshot, plan);
                continue;
            };
            let is_under_way = snapshot.in_flight.iter().any(|flight| flight.step.pool == pool.name);
            // A step that is to follow does not wait for what nodes show, unless they are new.
            let is_last = || plan.steps.is_empty() || policy.status.as_ref().is_some_and(brings_nodes);
            if is_under_way || (is_last() && self.joins.lacking(&policy, snapshot).is_some()) {
                continue;
            }
            let generation = policy.metadata.generation.unwrap_or_default();
            let end = self.flights.end_of(&name);
            let rest = Rest { now: snapshot.now, pool, end, plan, generation, retry_at: &retry_at };
            let before = policy.status.clone().unwrap_or_default();
            let mut status = before.clone();
            take_rest(&mut status, &rest);
            self.flights.end_is_recorded(&name);
            if status != before {
                recorded = true;
                self.store.change_status(&policy, |working| *working = status);
            }
        }
        recorded
    }

    /// Records that a creation has come to nothing, if the pool is not there when nothing is under way any more.
    fn record_absence(&mut self, policy: &NodePoolPolicy, snapshot: &Snapshot, plan: &PolicyPlan) -> bool {
        if snapshot.in_flight.iter().any(|flight| flight.step.pool == plan.pool) {
            return false;
        }
        let base = self.arguments.retry_seconds;
        let (end, generation) = (self.flights.end_of(&plan.policy), policy.metadata.generation.unwrap_or_default());
        let before = policy.status.clone().unwrap_or_default();
        let mut status = before.clone();
        take_absence(&mut status, snapshot.now, end, generation, |failures| retry_at(base, failures));
        if status == before {
            return false;
        }
        self.flights.end_is_recorded(&plan.policy);
        self.store.change_status(policy, |working| *working = status);
        true
    }
}

fn brings_nodes(status: &NodePoolPolicyStatus) -> bool {
    status.operation.as_ref().is_some_and(Operation::brings_nodes)
}

/// The next attempt after so many failures in a row.
pub(super) fn retry_at(base: Duration, failures: u32) -> Time {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    let wait = jittered(base.saturating_mul(factor).min(LONGEST_RETRY));
    now().after(nodepool_kernel::Span::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}
