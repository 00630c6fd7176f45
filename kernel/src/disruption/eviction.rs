//! The API server's verdict on the eviction of one pod, and what the pod asks of its budgets.
//!
//! Source: Kubernetes 1.35, `pkg/registry/core/pod/storage/eviction.go` (`Create`, `canIgnorePDB`, `checkAndDecrement`,
//! `getPodDisruptionBudgets`).

use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use crate::names::{capped_list, counted};
use crate::placement::Labels;
use crate::snapshot::{Budget, Phase, Pod, UnhealthyPods};

/// How many evictions may be unconfirmed before the API server allows no further one (`MaxDisruptedPodSize`).
const MOST_UNCONFIRMED: usize = 2000;

/// The verdict on the eviction of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eviction {
    /// The API server would evict it (201).
    Evictable,
    /// It would not.
    Blocked {
        /// The budget, `namespace/name`; of several the first ones by name.
        budget: String,
        /// Why.
        why: Block,
    },
    /// Whether it may go is not known now, so that it may not.
    Unclear {
        /// The budget, `namespace/name`.
        budget: String,
        /// What is not known.
        why: Doubt,
    },
}

/// Why a budget does not let a pod go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The budget allows no disruption (429).
    NoneAllowed {
        /// How many pods are healthy.
        healthy: i32,
        /// How many have to be.
        desired: i32,
    },
    /// More than one budget selects the pod, for which the API server has no answer (500).
    Several(usize),
}

/// What keeps a budget from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its status is absent, or about an older version of it (429).
    Outdated,
    /// It allows a negative number of disruptions (403).
    Negative,
    /// Too many evicted pods have not been seen to go (403).
    Unconfirmed(usize),
    /// Its selector can't be understood, so that it may select the pod.
    Selector,
}

/// The API server's verdict on the eviction of `pod`, given all budgets of its namespace (others do not matter).
///
/// It is the API server's own also where that takes an outdated status at its word: a pod that is not Ready, under a
/// budget that was fulfilled when it was last counted. A step that takes down pods without asking has no such licence.
#[must_use]
pub fn eviction(pod: &Pod, budgets: &[Budget]) -> Eviction {
    let guards = Guards::of(pod, budgets);
    match guards.claim(pod) {
        Claim::Free | Claim::Unguarded => Eviction::Evictable,
        Claim::One(budget) if !pod.ready && lets_unhealthy_go(budget) => Eviction::Evictable,
        Claim::One(budget) => match doubt(budget) {
            Some(why) => Eviction::Unclear { budget: budget.full_name(), why },
            None if budget.status.allowed == 0 => {
                let (healthy, desired) = (budget.status.healthy, budget.status.desired);
                Eviction::Blocked { budget: budget.full_name(), why: Block::NoneAllowed { healthy, desired } }
            }
            None => Eviction::Evictable,
        },
        Claim::Never(verdict) => verdict,
    }
}

/// What taking a pod down asks of the budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim<'a> {
    /// Nothing: it is no healthy pod that anybody counts on.
    Free,
    /// Nothing: no budget selects it.
    Unguarded,
    /// One of the disruptions that this budget allows.
    One(&'a Budget),
    /// More than any budget can give.
    Never(Eviction),
}

/// The budgets that may select the pods with certain labels.
#[derive(Debug, Clone, Default)]
struct Guards<'a> {
    selecting: Vec<&'a Budget>,
    not_understood: Option<&'a Budget>,
}

impl<'a> Guards<'a> {
    /// The budgets of the pod's namespace that select it.
    fn of(pod: &Pod, budgets: &'a [Budget]) -> Self {
        let mut guards = Self::default();
        for budget in budgets.iter().filter(|budget| *budget.namespace == *pod.namespace) {
            match &budget.selector {
                Some(selector) if selector.matches(&pod.labels) => guards.selecting.push(budget),
                Some(_) => {}
                None => {
                    guards.not_understood =
                        guards.not_understood.into_iter().chain([budget]).min_by_key(|budget| &budget.name);
                }
            }
        }
        guards
    }

    /// What taking this pod down asks of them.
    fn claim(&self, pod: &Pod) -> Claim<'a> {
        if pod.deleting || matches!(pod.phase, Phase::Pending | Phase::Finished) {
            return Claim::Free;
        }
        match (self.selecting.as_slice(), self.not_understood) {
            ([], None) => Claim::Unguarded,
            ([budget], None) if !pod.ready && lets_unhealthy_go(budget) && !is_in_doubt(budget) => Claim::Free,
            ([budget], None) => Claim::One(budget),
            ([_, _, ..], _) => Claim::Never(Eviction::Blocked {
                budget: capped_list(self.selecting.iter().map(|budget| budget.full_name())),
                why: Block::Several(self.selecting.len()),
            }),
            (_, Some(budget)) => Claim::Never(Eviction::Unclear { budget: budget.full_name(), why: Doubt::Selector }),
        }
    }
}

/// The guards of many pods, worked out once for pods that share their labels.
pub(crate) struct Guarding<'a> {
    budgets: &'a [Budget],
    known: HashMap<(*const Labels, &'a str), Guards<'a>>,
}

impl<'a> Guarding<'a> {
    /// With all budgets.
    pub(crate) fn new(budgets: &'a [Budget]) -> Self {
        Self { budgets, known: HashMap::default() }
    }

    /// What taking this pod down asks of its budgets.
    pub(crate) fn claim(&mut self, pod: &'a Pod) -> Claim<'a> {
        self.of(pod).claim(pod)
    }

    /// The budgets that miss this pod when it goes, whoever let it go: more than one where no eviction could.
    pub(crate) fn missing(&mut self, pod: &'a Pod) -> Vec<&'a Budget> {
        let guards = self.of(pod);
        let misses = |budget: &&&Budget| pod.ready || !lets_unhealthy_go(budget) || is_in_doubt(budget);
        guards.selecting.iter().filter(misses).copied().collect()
    }

    fn of(&mut self, pod: &'a Pod) -> &Guards<'a> {
        let key = (Arc::as_ptr(&pod.labels), &*pod.namespace);
        self.known.entry(key).or_insert_with(|| Guards::of(pod, self.budgets))
    }
}

/// Whether the budget, by what it last counted, does not need its pods that are not Ready.
const fn lets_unhealthy_go(budget: &Budget) -> bool {
    let status = budget.status;
    matches!(budget.unhealthy, UnhealthyPods::AlwaysAllow) || (status.healthy >= status.desired && status.desired > 0)
}

/// Whether that rests on an outdated count.
const fn is_in_doubt(budget: &Budget) -> bool {
    matches!(budget.unhealthy, UnhealthyPods::IfHealthyBudget) && !budget.is_current()
}

/// What keeps the budget from an answer.
pub(crate) const fn doubt(budget: &Budget) -> Option<Doubt> {
    if !budget.is_current() {
        Some(Doubt::Outdated)
    } else if budget.status.allowed < 0 {
        Some(Doubt::Negative)
    } else if budget.status.unconfirmed > MOST_UNCONFIRMED {
        Some(Doubt::Unconfirmed(budget.status.unconfirmed))
    } else {
        None
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneAllowed { healthy, desired } => {
                write!(f, "allows no disruption: {healthy} healthy pods, {desired} are needed")
            }
            Self::Several(number) => write!(f, "are {number} on one pod, which no eviction gets past"),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outdated => f.write_str("has no status yet, or one of an older version of it"),
            Self::Negative => f.write_str("allows a negative number of disruptions"),
            Self::Unconfirmed(number) => write!(f, "waits for {} to go", counted(*number, "evicted pod")),
            Self::Selector => f.write_str("has a selector that can't be understood, so that it may select any pod"),
        }
    }
}

#[cfg(test)]
mod tests;
