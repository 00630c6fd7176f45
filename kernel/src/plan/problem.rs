//! Why a policy can't be planned, or not all of it. Never about safety: that is the guard's.

use std::fmt;

use crate::intent::{Attempt, Cause, Intent};
use crate::names::{capped_list, counted, shorten};
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Mode, PoolKind, Power, ProvisioningState};
use crate::step::Change;
use crate::time::Time;

/// Why some or all of a policy can't be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// ARM's cluster has not been read.
    NotObserved {
        /// Why.
        reason: String,
    },
    /// Another policy governs the pool.
    ConflictingPolicy {
        /// The policy that does.
        winner: String,
    },
    /// ARM has no such pool.
    PoolNotFound {
        /// The pools that exist, as a list.
        pools: String,
    },
    /// The pool is of a kind that is not managed.
    Unsupported {
        /// What is not supported.
        what: String,
    },
    /// The pool is stopped.
    NotRunning {
        /// ARM's power state.
        state: String,
    },
    /// The whole cluster is stopped, or on its way there or back, and the pool with it.
    ClusterNotRunning {
        /// What the cluster is.
        state: String,
    },
    /// The policy sets a count, and an autoscaler that somebody else has turned on owns it.
    Autoscaled,
    /// The last attempt failed and the next one is due later.
    BackingOff {
        /// The attempt.
        attempt: Attempt,
        /// Whether somebody has to do something: Azure refused the write, or its operation failed too often.
        lasts: bool,
    },
    /// An operation on the pool was canceled since the policy was last changed: somebody wanted it so.
    Canceled,
    /// The pool is to be created, and the policy does not say with how many nodes.
    CountMissing,
    /// AKS would not create a pool from the template.
    Unsuitable {
        /// Field, value, reason and remedy.
        why: String,
    },
    /// Nodes are to be drained, and too few can be chosen.
    TooFewNodes {
        /// What is missing, in words.
        what: String,
        /// Whether somebody else has cordoned some; otherwise they have not joined, or are going away.
        cordoned: bool,
    },
    /// The pool is to be deleted and is of a kind that is not managed.
    NotDeleted {
        /// What is not supported.
        what: String,
    },
}

impl Problem {
    /// Why nothing can be changed on the pool, if so.
    #[must_use]
    pub fn of_pool(pool: &AgentPool) -> Option<Self> {
        match (&pool.kind, &pool.mode, &pool.power) {
            (PoolKind::Other(kind), _, _) => Some(Self::Unsupported { what: format!("type {kind}") }),
            (PoolKind::Unreadable(why), _, _) => Some(Self::Unsupported { what: why.clone() }),
            (_, Mode::Other(mode), _) => Some(Self::Unsupported { what: format!("mode {mode}") }),
            (_, _, Power::NotRunning(state)) => Some(Self::NotRunning { state: state.clone() }),
            (PoolKind::ScaleSet, _, Power::Running) => None,
        }
    }

    /// Why the pool can't be changed in this way, if so. One that is stopped can be started or deleted.
    pub(crate) fn of_change(change: &Change, pool: &AgentPool) -> Option<Self> {
        if change.leads_to_deletion() {
            return Self::of_deletion(pool);
        }
        // A stop that has failed is made again.
        let fits = change.starts() || change.stops();
        Self::of_pool(pool).filter(|problem| !(fits && matches!(problem, Self::NotRunning { .. })))
    }

    /// Why the pool can't be deleted, if so. One that is stopped can.
    #[must_use]
    pub fn of_deletion(pool: &AgentPool) -> Option<Self> {
        match Self::of_pool(pool)? {
            Self::Unsupported { what } => Some(Self::NotDeleted { what }),
            _ => None,
        }
    }

    /// Too few nodes can be chosen for a drain.
    pub(super) fn too_few_nodes(needed: usize, found: usize, cordoned: &[&str]) -> Self {
        let (needed, others) = (counted(needed, "node"), capped_list(cordoned));
        let why = if cordoned.is_empty() {
            "Kubernetes shows no more".to_owned()
        } else {
            format!("somebody else has cordoned {others}")
        };
        let what = format!("of {needed} to be drained only {found} can be chosen: {why}");
        Self::TooFewNodes { what, cordoned: !cordoned.is_empty() }
    }

    /// Why no step is made although the pool differs, if the last attempt says so.
    pub(super) fn of_attempt(intent: &Intent, pool: &AgentPool, now: Time, settings: &Settings) -> Option<Self> {
        let attempt = intent.failed_attempt().filter(|_| intent.may_write())?;
        if attempt.cause == Cause::Canceled {
            // Whoever asks for another image since asks for something all the same.
            let asks_anew = intent.image.as_ref().is_some_and(|request| request.from.is_none());
            return (pool.state == ProvisioningState::Canceled && !asks_anew).then_some(Self::Canceled);
        }
        intent.backing_off(now)?;
        let lasts = matches!(attempt.cause, Cause::Refused | Cause::Drain) || attempt.failures > settings.repairs;
        Some(Self::BackingOff { attempt: attempt.clone(), lasts })
    }

    /// Whether no step of the policy is made while the problem lasts, whatever it is.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::BackingOff { .. } | Self::Canceled)
    }

    /// Whether it is that a drain was given up.
    #[must_use]
    pub const fn ends_drain(&self) -> bool {
        matches!(self, Self::BackingOff { attempt, .. } if matches!(attempt.cause, Cause::Drain))
    }

    /// The reason that status and events use.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotObserved { .. } => "ClusterNotObserved",
            Self::ConflictingPolicy { .. } => "ConflictingPolicy",
            Self::PoolNotFound { .. } => "PoolNotFound",
            Self::Unsupported { .. } | Self::NotDeleted { .. } => "UnsupportedPool",
            Self::NotRunning { .. } => "PoolNotRunning",
            Self::ClusterNotRunning { .. } => "ClusterNotRunning",
            Self::Autoscaled => "PoolIsAutoscaled",
            Self::TooFewNodes { .. } => "TooFewNodes",
            Self::BackingOff { attempt, .. } if matches!(attempt.cause, Cause::Failed) => "OperationFailed",
            Self::BackingOff { .. } if self.ends_drain() => "DrainGivenUp",
            Self::BackingOff { .. } => "WriteFailed",
            Self::Canceled => "PoolCanceled",
            Self::CountMissing => "CountMissing",
            Self::Unsuitable { .. } => "TemplateUnsuitable",
        }
    }

    /// Whether somebody has to change something before the policy can be fulfilled.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        !matches!(
            self,
            Self::NotObserved { .. }
                | Self::ClusterNotRunning { .. }
                | Self::BackingOff { lasts: false, .. }
                | Self::TooFewNodes { cordoned: false, .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotObserved { reason } => write!(f, "the cluster has not been read from ARM: {reason}"),
            Self::ConflictingPolicy { winner } => {
                write!(f, "the pool is governed by the older policy {winner}: merge the two, or delete one")
            }
            Self::PoolNotFound { pools } => {
                let pools = match pools.as_str() {
                    "" => ", nor any other".to_owned(),
                    pools => format!("; its pools are {pools}"),
                };
                write!(
                    f,
                    "ARM has no such pool{pools}: correct spec.poolName, or add spec.template and \
                     spec.count, from which the operator creates the pool"
                )
            }
            Self::Unsupported { what } => {
                write!(
                    f,
                    "the pool is left alone, {} is not supported: manage it by other means and delete this policy",
                    shorten(what, 240)
                )
            }
            Self::NotRunning { state } => {
                write!(
                    f,
                    "the pool is {state}; nothing is changed until it is started: set spec.powerState to Running, or start it \
                     in Azure (az aks nodepool start)"
                )
            }
            Self::ClusterNotRunning { state } => {
                write!(f, "the cluster is {state}, and the pool with it; nothing is written until it runs (az aks start)")
            }
            Self::Autoscaled => f.write_str(
                "the pool is autoscaled, and not by this policy, so the cluster autoscaler owns its count: remove spec.count, \
                 or turn the autoscaler off for this pool (az aks nodepool update --disable-cluster-autoscaler)",
            ),
            Self::BackingOff { attempt, .. } => {
                let message = shorten(attempt.message.trim_end_matches('.'), 700);
                f.write_str(match attempt.cause {
                    Cause::Refused => "ARM refused the last write",
                    Cause::Failed | Cause::Canceled => "the last operation on the pool failed",
                    Cause::Drain => "the last drain was given up and its nodes are open again",
                })?;
                write!(f, " ({}, attempt {}): {message}", attempt.code, attempt.failures)?;
                if attempt.remedy.is_empty() { Ok(()) } else { write!(f, ". To do: {}", attempt.remedy) }
            }
            Self::TooFewNodes { what, cordoned: false } => f.write_str(what),
            Self::TooFewNodes { what, .. } => write!(
                f,
                "{}; uncordon these nodes (kubectl uncordon), or take them out of the pool in Azure (az aks nodepool \
                 delete-machines)",
                shorten(what, 500)
            ),
            Self::NotDeleted { what } => write!(
                f,
                "the pool is not deleted, {} is not supported: delete it by other means (az aks nodepool delete), or set \
                 spec.deletionPolicy to Orphan",
                shorten(what, 240)
            ),
            Self::Canceled => f.write_str(
                "the last operation on the pool was canceled, which somebody wanted: nothing is written until the \
                 policy is changed, a node image is asked for anew by annotation, or the pool is updated in Azure (az aks \
                 nodepool update)",
            ),
            Self::CountMissing => f.write_str(
                "the pool does not exist, and the policy does not say with how many nodes to create it: set spec.count or \
                 spec.autoscaling",
            ),
            Self::Unsuitable { why } => write!(f, "the pool can't be created: {}", shorten(why, 800)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_told_by_what_it_was() {
        for (cause, reason, ends_drain) in [
            (Cause::Drain, "DrainGivenUp", true),
            (Cause::Failed, "OperationFailed", false),
            (Cause::Refused, "WriteFailed", false),
            (Cause::Canceled, "WriteFailed", false),
        ] {
            let attempt = Attempt {
                cause,
                failures: 1,
                generation: 1,
                next: None,
                code: String::new(),
                message: String::new(),
                remedy: String::new(),
            };
            let problem = Problem::BackingOff { attempt, lasts: true };
            assert_eq!((problem.reason(), problem.ends_drain(), problem.holds()), (reason, ends_drain, true));
        }
    }
}
