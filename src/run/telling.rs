//! The part of a pass that tells people: the status of each policy, and what is news in it. Never tells of a policy that has
//! changed since the plan was made.

use nodepool_kernel::{Plan, PolicyPlan, Snapshot, Verdict};
use tokio::time::Instant;

use super::farewell::is_let_go;
use super::pass::Pass;
use crate::api::{ConditionStatus, NodePoolPolicy, NodePoolPolicyStatus, condition};
use crate::clock::now;
use crate::metrics::Untold;
use crate::observe::PolicyRow;
use crate::report::{Circumstances, Hold, Notice, malformed, notices, status};

impl Pass {
    pub(super) async fn report(&mut self, snapshot: &Snapshot, plan: &Plan, verdicts: &[Verdict]) {
        let rows = self.store.policies();
        self.ledger.retain(|policy| rows.contains_key(policy));
        self.flights.retain(|policy| rows.contains_key(policy));
        self.store.forget(|policy| rows.contains_key(policy));
        for (name, row) in rows {
            if !self.is_as_planned(&name, &row) {
                continue;
            }
            match row {
                PolicyRow::Valid(policy) => {
                    let Some(plan) = plan.of(&name).filter(|_| !self.finalizers.is_outdated(&policy)) else { continue };
                    if self.is_arriving && is_told(&policy) {
                        continue;
                    }
                    let status = self.status_of(&policy, plan, snapshot, verdicts);
                    let waits = status.condition(condition::RECONCILING).filter(|condition| {
                        condition.status == ConditionStatus::True && condition.reason != "OperationInProgress"
                    });
                    if status
                        .condition(condition::STALLED)
                        .is_none_or(|stalled| stalled.status == ConditionStatus::False)
                    {
                        self.ledger.waits_for(&name, waits.map(|condition| condition.reason.as_str()));
                    }
                    self.publish(&policy, status).await;
                }
                PolicyRow::Malformed { rest, error } if !is_let_go(&rest) => {
                    let status = malformed(&self.store.published(&rest), rest.metadata.generation, &error, now());
                    self.publish(&rest, status).await;
                }
                PolicyRow::Malformed { .. } => {}
            }
        }
    }

    fn status_of(
        &self,
        policy: &NodePoolPolicy,
        plan: &PolicyPlan,
        snapshot: &Snapshot,
        verdicts: &[Verdict],
    ) -> NodePoolPolicyStatus {
        let delayed = self.ledger.delayed(&plan.policy);
        let attempt = policy.status.as_ref().and_then(|status| status.attempt.as_ref());
        let attempt = attempt.filter(|attempt| Some(attempt.generation) == policy.metadata.generation);
        let about = Circumstances {
            now: snapshot.now,
            hold: Hold::of(policy, snapshot.paused.value() == Some(&true)),
            plan,
            verdicts: verdicts.iter().filter(|verdict| verdict.step().policy == plan.policy).collect(),
            pool: snapshot.cluster.value().and_then(|cluster| cluster.pool(&plan.pool)),
            nodes: &snapshot.nodes,
            in_flight: self.flights.of(&plan.policy),
            settled: is_stalled(snapshot, &plan.policy) || self.settles_at().is_none_or(|at| Instant::now() >= at),
            overdue: self.ledger.overdue(&plan.policy, self.arguments.progress_deadline_seconds),
            delayed: delayed.map(|(reason, _)| reason),
            failures: attempt.map_or(0, |attempt| attempt.failures),
            patience: self.arguments.operation_patience,
            repairs: self.arguments.repairs,
            offered: self.observer.offered(&plan.pool),
            joining: self.joins.lacking(policy, snapshot),
            looked: !self.is_older_than_the_policies() && self.observer.failed_reads().is_none(),
            stale: snapshot.cluster.fresh(snapshot.now, self.settings.stale_after).err(),
        };
        status(policy, &about)
    }

    /// Writes a status and tells what is news in it, if anything is. Tells whether the API server has it now.
    pub(super) async fn publish(&self, policy: &NodePoolPolicy, status: NodePoolPolicyStatus) -> bool {
        let published = self.store.published(policy);
        if published == status && !self.store.is_damaged(policy) {
            return true;
        }
        let version = match self.publisher.status(policy, &status).await {
            Ok(version) => version,
            Err(error) => {
                tracing::warn!(%error, "it is written again in the next pass");
                self.figures.untold(Untold::PolicyStatus);
                self.wake_later();
                return false;
            }
        };
        self.figures.published(&published, &status);
        for notice in notices(&published, &status) {
            let name = policy.metadata.name.as_deref().unwrap_or_default();
            tracing::info!(policy = name, reason = notice.reason, note = notice.note, "notice");
            self.tell(policy, &notice).await;
        }
        self.store.publish(policy, status, version);
        true
    }

    /// Sends an event about a policy.
    pub(super) async fn tell(&self, policy: &NodePoolPolicy, notice: &Notice) {
        if !self.publisher.notice(policy, notice).await {
            self.figures.untold(Untold::Event);
        }
    }
}

/// Whether the status is about the policy as it is.
fn is_told(policy: &NodePoolPolicy) -> bool {
    let told = policy.status.as_ref().and_then(|status| status.observed_generation);
    told.is_some() && told == policy.metadata.generation
}

/// Whether the policy as it is has been told to be stuck already: what becomes of others does not make that news again.
fn is_stalled(snapshot: &Snapshot, policy: &str) -> bool {
    let mut intents = snapshot.intents.value().into_iter().flatten();
    intents.any(|intent| intent.policy == policy && intent.stalled)
}
