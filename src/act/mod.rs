//! Carries out approved steps: fresh look, guard again, one write. The only writer to ARM and to nodes, and the only
//! evictor; never acts on a cached view.

mod drain;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use kube::Client;
use nodepool_kernel::{Approved, Change, Drain, InFlight, Refusal, Rule, Settings, Step, Time, guard, plan};

use crate::arm::{Accepted, ArmClient, ArmError, Operation, PoolWrite, Urgency, remedy};
use crate::clock::now;
use crate::leadership::Leadership;
use crate::observe::{Fresh, Observer};

/// What became of an approved step.
#[derive(Debug)]
pub enum Outcome {
    /// ARM accepted the write; the operation runs.
    Accepted {
        /// When.
        at: Time,
        /// The operation, if it can be asked how it goes.
        operation: Option<Operation>,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
    /// It was made in Kubernetes.
    Made {
        /// When.
        at: Time,
    },
    /// The write was sent and no answer tells whether it had an effect.
    Unknown {
        /// When it was given up.
        at: Time,
        /// What happened.
        error: String,
    },
    /// The fresh look shows that the step is no longer what is needed, or somebody wrote the pool in between.
    Superseded,
    /// The guard refuses the step on the fresh look.
    Refused(Box<Refusal>),
    /// ARM is busy with another operation, or asks to wait.
    Postponed {
        /// How long ARM asks to wait, if it says so.
        after: Option<Duration>,
        /// What ARM says.
        error: String,
    },
    /// ARM rejects the write; repeating it gives the same answer.
    Rejected {
        /// When.
        at: Time,
        /// ARM's code.
        code: String,
        /// ARM's message.
        message: String,
        /// What a person can do about it.
        remedy: String,
        /// The id by which Azure's support finds the request.
        correlation: Option<String>,
    },
    /// ARM could not be reached or read; nothing was written.
    NotSent {
        /// What happened.
        error: String,
    },
}

impl Outcome {
    /// The id by which Azure's support finds the write, if it was answered.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        match self {
            Self::Accepted { correlation, .. } | Self::Rejected { correlation, .. } => correlation.as_deref(),
            _ => None,
        }
    }

    /// What the fresh look did not show, where the step is refused for that: the view that it was planned on may show it all
    /// the same, so that nothing else tells people.
    #[must_use]
    pub fn unseen(&self) -> Option<String> {
        let Self::Refused(refusal) = self else { return None };
        let unseen = refusal.broken.iter().find(|broken| broken.rule == Rule::StaleObservation)?;
        Some(format!("on the last look before the write {}", unseen.finding))
    }
}

impl fmt::Display for Outcome {
    /// What became of the step, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { .. } => f.write_str("accepted"),
            Self::Made { .. } => f.write_str("made"),
            Self::Unknown { error, .. } => write!(f, "unknown: {error}"),
            Self::Superseded => f.write_str("superseded: the pool is no longer what the step was made for"),
            Self::Refused(refusal) => {
                let rules: Vec<&str> = refusal.broken.iter().map(|broken| broken.rule.name()).collect();
                write!(f, "refused on the fresh look by {}", rules.join(", "))?;
                self.unseen().map_or(Ok(()), |unseen| write!(f, ": {unseen}"))
            }
            Self::Postponed { error, .. } => write!(f, "postponed: {error}"),
            Self::Rejected { code, message, .. } => write!(f, "rejected by Azure: {code}: {message}"),
            Self::NotSent { error } => write!(f, "not sent: {error}"),
        }
    }
}

/// What a step is carried out with.
pub struct Hands<'a> {
    /// Writes to ARM.
    pub arm: &'a ArmClient,
    /// Writes to nodes and evicts, behind a gate: only while this replica leads.
    pub client: &'a Client,
    /// Who may write to ARM, and until when.
    pub leadership: &'a Leadership,
}

/// Carries out one approved step.
///
/// The approval is spent: what is written is approved again on what the fresh look shows.
pub async fn act(
    approved: Approved<Step>,
    observer: &Observer,
    Hands { arm, client, leadership }: Hands<'_>,
    in_flight: &[InFlight],
    settings: &Settings,
) -> Outcome {
    // Whether a node is the operator's to open is told by the node alone; that depends on nothing else.
    if let Change::Drain(Drain::Uncordon { nodes, .. }) = &approved.get().change {
        return drain::uncordon(client, &approved, nodes).await;
    }
    let passed = approved.passed().map(|broken| broken.rule);
    let step = approved.into_inner();
    let urgency = if matches!(step.change, Change::Repair { .. }) { Urgency::Urgent } else { Urgency::Ordinary };
    let pools = observer.pools_read_for(&step);
    let afforded =
        if step.change.is_put() { arm.afford_step(&step.pool, pools, urgency) } else { arm.afford_removal(pools) };
    if let Err(error) = afforded {
        return not_sent(error);
    }
    let mut fresh = match Box::pin(observer.fresh(&step, in_flight)).await {
        Ok(fresh) => fresh,
        Err(error) if error.says_absent() => return Outcome::Superseded,
        Err(error) => return not_sent(error),
    };
    if !plan(&fresh.snapshot, settings).policies.iter().any(|policy| policy.steps.contains(&step)) {
        return Outcome::Superseded;
    }
    let approved = match guard_afresh(step, observer, &mut fresh, settings).await {
        Ok(approved) => approved,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    // That a person lets it pass a rule is noted before it is made.
    if approved.passed().is_some_and(|broken| Some(broken.rule) != passed) {
        return Outcome::Superseded;
    }
    if let (Change::Drain(change), Some(_)) = (&approved.get().change, &fresh.document) {
        match change {
            Drain::Cordon { nodes, aim } => return drain::cordon(client, &approved, nodes, *aim).await,
            Drain::Evict { pod, uid, .. } => return drain::evict(client, &approved, pod, uid).await,
            Drain::Uncordon { .. } => return Outcome::Superseded,
            Drain::RemoveMachines { .. } => {}
        }
    }
    let permit = match leadership.permit(arm.write_timeout()) {
        Ok(permit) => permit,
        Err(refused) => return Outcome::NotSent { error: refused.to_string() },
    };
    tracing::info!(step = %approved.get(), "writing");
    let answer = match (&approved.get().change, &fresh.document) {
        (Change::Create(new), None) => arm.put_pool(&approved, &PoolWrite::creation(new), permit).await,
        (Change::Delete, Some(document)) => arm.delete_pool(&approved, document.tag(), permit).await,
        (Change::Drain(Drain::RemoveMachines { machines, .. }), Some(_)) => {
            arm.delete_machines(&approved, machines, permit).await
        }
        (Change::Drain(_), _) => return Outcome::Superseded,
        (Change::NodeImage { .. }, Some(_)) => arm.upgrade_node_image(&approved, permit).await,
        (change, Some(document)) if !change.creates() => {
            arm.put_pool(&approved, &PoolWrite::new(document, change), permit).await
        }
        _ => return Outcome::Superseded,
    };
    match answer {
        Ok(Accepted { operation, correlation }) => Outcome::Accepted { at: now(), operation, correlation },
        // Somebody else has deleted the pool meanwhile.
        Err(error) if error.says_absent() && approved.get().change.deletes() => Outcome::Superseded,
        Err(error) => judge(error),
    }
}

/// Guards the step on the fresh look, and reads where pods could run if that matters.
async fn guard_afresh(
    step: Step,
    observer: &Observer,
    fresh: &mut Fresh,
    settings: &Settings,
) -> Result<Approved<Step>, Box<Refusal>> {
    let refusal = match guard(step, &fresh.snapshot, settings) {
        Ok(approved) => return Ok(approved),
        Err(refusal) => refusal,
    };
    let lacking: BTreeSet<String> = refusal.lacks_places_of(&fresh.snapshot, settings).iter().cloned().collect();
    if lacking.is_empty() {
        return Err(refusal);
    }
    fresh.snapshot.places = observer.places_now(&lacking).await;
    guard(refusal.step, &fresh.snapshot, settings)
}

fn not_sent(error: ArmError) -> Outcome {
    match error {
        ArmError::Answered { status: 429, retry_after, .. } => {
            Outcome::Postponed { after: retry_after, error: error.to_string() }
        }
        ArmError::OverBudget { after } => Outcome::Postponed { after: Some(after), error: error.to_string() },
        error => Outcome::NotSent { error: error.in_short() },
    }
}

/// What an error of a write means.
fn judge(error: ArmError) -> Outcome {
    if error.outcome_unknown() {
        return Outcome::Unknown { at: now(), error: error.to_string() };
    }
    match error {
        // Somebody wrote the pool since it was read: the same body must not go again.
        ArmError::Answered { status: 412, .. } => Outcome::Superseded,
        ArmError::Answered { status: 409, ref code, .. } if code == "EtagMismatch" => Outcome::Superseded,
        ArmError::Answered { status: 409 | 429, retry_after, .. } => {
            Outcome::Postponed { after: retry_after, error: error.to_string() }
        }
        ArmError::Answered { status, code, message, correlation, .. } => {
            let remedy = remedy(status, &code, &message);
            Outcome::Rejected { at: now(), code, message, remedy, correlation }
        }
        error => Outcome::NotSent { error: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> ArmError {
        ArmError::answered(status, br#"{"code":"C","message":"M"}"#, None)
    }

    #[test]
    fn an_error_of_a_write_is_never_taken_for_more_than_it_says() {
        assert!(matches!(judge(answered(400)), Outcome::Rejected { code, .. } if code == "C"));
        assert!(matches!(judge(answered(409)), Outcome::Postponed { .. }));
        assert!(matches!(judge(answered(412)), Outcome::Superseded));
        let lost_race = ArmError::answered(409, br#"{"code":"EtagMismatch","message":"M"}"#, None);
        assert!(matches!(judge(lost_race), Outcome::Superseded));
        assert!(matches!(judge(answered(429)), Outcome::Postponed { .. }));
        assert!(matches!(judge(answered(503)), Outcome::Unknown { .. }));
        let lost = ArmError::Lost { what: "w".into(), endpoint: "e".into(), detail: "d".into(), correlation: None };
        assert!(matches!(judge(lost), Outcome::Unknown { .. }));
    }
}
