//! Break-glass: a person's word that one change of a policy may break one rule. Never passes a rule that says which cluster
//! this is, what is known of it, or that somebody does not want writes.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::step::Step;
use crate::time::{Span, Time};

/// A person's word that one rule lets one change of a policy pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The rule.
    pub rule: Rule,
    /// When the word is worth nothing any more.
    pub until: Time,
    /// The field whose change has made use of it ([`crate::Purpose`] in words): its steps may go on and be tried again, and no
    /// others.
    pub field: Option<String>,
}

impl BreakGlass {
    /// For how long a word may be given.
    pub const LONGEST: Span = Span::from_secs(24 * 3600);

    /// Whether it holds at that time, with an end that is not too far off.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        now < self.until && self.until <= now.after(Self::LONGEST)
    }
}

impl Rule {
    /// Whether a person may let a step pass it. What is not: which cluster this is and how much of it is known, who may write
    /// at all, which is said elsewhere, and what AKS refuses anyway.
    #[must_use]
    pub const fn may_be_passed(self) -> bool {
        match self {
            Self::WrongCluster
            | Self::StaleObservation
            | Self::ConflictingPolicy
            | Self::Paused
            | Self::Suspended
            | Self::ObserveOnly
            | Self::OperationInProgress
            | Self::ImmutableField
            | Self::SystemPoolMustRun => false,
            Self::VersionSkew
            | Self::RestrictedSystemTaint
            | Self::LastHealthySystemPool
            | Self::SystemCapacityFloor
            | Self::SystemPodsWouldBeEvicted
            | Self::SystemPodsUnplaceable
            | Self::DisruptionBudgetBlocks
            | Self::KubeSystemUnhealthy
            | Self::WorkloadsDependOnPool
            | Self::BulkChangeFuse => true,
        }
    }
}

/// Takes the rule that a person lets the step pass out of those that it breaks.
pub(super) fn pass(facts: &Facts<'_>, step: &Step, broken: &mut Vec<Broken>) -> Option<Broken> {
    let given = facts.intents.iter().find(|intent| intent.policy == step.policy)?.break_glass.as_ref()?;
    let is_for_step = || given.field.as_ref().is_none_or(|used| *used == step.change.purpose().to_string());
    if !(given.rule.may_be_passed() && given.holds(facts.now) && is_for_step()) {
        return None;
    }
    let at = broken.iter().position(|broken| broken.rule == given.rule && is_known(step, broken))?;
    Some(broken.remove(at))
}

/// Whether the rule has spoken on all that it reads. What is read only for a step that needs it is read first, for mostly
/// nobody's word is needed then.
fn is_known(step: &Step, broken: &Broken) -> bool {
    let reads = match broken.rule {
        Rule::SystemPodsUnplaceable => true,
        Rule::VersionSkew | Rule::DisruptionBudgetBlocks => step.change.upgrades(),
        _ => false,
    };
    !reads || broken.standing == Standing::Lasting
}

#[cfg(test)]
mod tests;
