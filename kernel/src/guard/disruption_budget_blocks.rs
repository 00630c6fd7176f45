//! `DisruptionBudgetBlocks`: no more protected pods go together than their disruption budgets allow, without a budget
//! one of a workload. Never judges where else they could run.

use std::collections::BTreeMap;

use super::drain;
use super::evidence::Evidence;
use super::rule::{Broken, Rule, Standing};
use super::upgrade;
use crate::disruption::{Claim, Doubt, Eviction, Going, Guarding, Load, Takedown, doubt};
use crate::facts::Facts;
use crate::names::{capped, capped_list, counted};
use crate::snapshot::{Budget, Pod};
use crate::step::Step;

/// How many budgets and workloads a finding names.
const SHOWN: usize = 3;

/// Refuses, on any pool, a step that takes down together more protected pods than their budgets allow, with what is
/// being taken down elsewhere; without a budget more than one pod of a workload; and pods whose budgets have no current
/// status or are several. A pool that rolls drains its nodes one by one, so that each budget must allow one pod.
pub(super) fn check<'a>(facts: &Facts<'a>, step: &Step, takedown: &Takedown<'a>) -> Option<Broken> {
    let mut guarding = Guarding::new(facts.budgets);
    let mut taken = Taken::by(takedown, &mut guarding, Whose::Step);
    if !taken.groups.is_empty() {
        for other in Takedown::elsewhere(facts, step) {
            let others = Taken::by(&other, &mut guarding, Whose::Other).groups;
            for (key, group) in &mut taken.groups {
                group.elsewhere += others.get(key).map_or(0, |same| same.together(&other));
            }
        }
    }
    let excess: Vec<Excess<'_>> = taken
        .never
        .into_values()
        .chain(taken.groups.iter().filter_map(|(key, group)| group.excess(key, takedown)))
        .collect();
    let Some(cause) = excess.iter().map(|excess| excess.cause).min() else {
        return drain::budget(facts, step).or_else(|| upgrade::budgets(facts, step));
    };
    let evidence = Evidence::of(excess.iter().flat_map(|excess| excess.pods.iter().copied()));
    let what = cause.in_words(takedown, &step.pool);
    let found = capped(excess.iter().map(|excess| &excess.found), SHOWN, "; ");
    Some(Broken {
        rule: Rule::DisruptionBudgetBlocks,
        standing: excess.iter().map(|excess| excess.standing).max().unwrap_or(Standing::Lasting),
        finding: format!(
            "{what} would take down more protected pods together than may be missing: {found} ({})",
            evidence.in_words()
        ),
        remedy: remedy(cause, &excess).to_owned(),
        pods: evidence.pods,
    })
}

/// Why pods go, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Taint,
    Removal,
    Roll,
    Upgrade,
    Drain,
    Label,
}

/// Who takes pods down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The step that is judged: a pod that no budget can let go must not go.
    Step,
    /// A write in flight or an operation of somebody else: such a pod goes all the same, and all its budgets miss it.
    Other,
}

/// Who counts on pods: a budget, or, without one, their workload. Orders as a message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    namespace: &'a str,
    name: &'a str,
    /// The workload's kind; `None` for a budget.
    kind: Option<&'a str>,
}

/// The pods of one key that a takedown takes.
#[derive(Debug)]
struct Group<'a> {
    budget: Option<&'a Budget>,
    load: Load<'a>,
    pods: Vec<&'a Pod>,
    cause: Cause,
    /// How many pods of the key are being taken down elsewhere.
    elsewhere: usize,
}

/// The pods that a takedown takes.
#[derive(Debug, Default)]
struct Taken<'a> {
    groups: BTreeMap<Key<'a>, Group<'a>>,
    /// Pods that no budget can let go, by what is wrong.
    never: BTreeMap<String, Excess<'a>>,
}

/// Pods that may not go together.
#[derive(Debug)]
struct Excess<'a> {
    cause: Cause,
    standing: Standing,
    found: String,
    pods: Vec<&'a Pod>,
    in_doubt: bool,
}

impl<'a> Taken<'a> {
    fn by(takedown: &Takedown<'a>, guarding: &mut Guarding<'a>, whose: Whose) -> Self {
        let mut taken = Self::default();
        for (pod, going) in &takedown.evicted {
            let cause = if *going == Going::Taint { Cause::Taint } else { Cause::Label };
            taken.add(pod, cause, (guarding, whose), |load| load.evicted += 1);
        }
        let cause = match (takedown.removed, takedown.upgrades) {
            (0, false) => Cause::Roll,
            (0, true) => Cause::Upgrade,
            _ => Cause::Removal,
        };
        // The autoscaler asks the budgets, and leaves a node whose pods they hold.
        let by_azure = takedown.removed > 0 || takedown.rolled > 0;
        for (pod, node) in takedown.with_nodes.iter().filter(|_| by_azure) {
            taken.add(pod, cause, (guarding, whose), |load| *load.by_node.entry(&node.name).or_default() += 1);
        }
        for (pod, _) in &takedown.singly {
            taken.add(pod, Cause::Drain, (guarding, whose), |load| load.singly = true);
        }
        taken
    }

    /// Adds the pod to its groups: to none if nobody counts on it, or it may not go at all.
    fn add(
        &mut self,
        pod: &'a Pod,
        cause: Cause,
        (guarding, whose): (&mut Guarding<'a>, Whose),
        count: impl Fn(&mut Load<'a>),
    ) {
        match guarding.claim(pod) {
            Claim::Free => {}
            Claim::One(budget) => count(self.load(Key::of(budget), Some(budget), pod, cause)),
            Claim::Unguarded => {
                if let Some(controller) = pod.controller.as_ref() {
                    let (namespace, kind) = (&pod.namespace, Some(&*controller.kind));
                    count(self.load(Key { namespace, name: &controller.name, kind }, None, pod, cause));
                }
            }
            Claim::Never(_) if whose == Whose::Other => {
                for budget in guarding.missing(pod) {
                    count(self.load(Key::of(budget), Some(budget), pod, cause));
                }
            }
            Claim::Never(verdict) => {
                if let Some((found, standing, in_doubt)) = in_words(&verdict) {
                    let new = Excess { cause, standing, found: found.clone(), pods: Vec::new(), in_doubt };
                    let excess = self.never.entry(found).or_insert(new);
                    excess.cause = excess.cause.min(cause);
                    excess.pods.push(pod);
                }
            }
        }
    }

    /// What is taken of a group, with this pod in it.
    fn load(&mut self, key: Key<'a>, budget: Option<&'a Budget>, pod: &'a Pod, cause: Cause) -> &mut Load<'a> {
        let new = || Group { budget, load: Load::default(), pods: Vec::new(), cause, elsewhere: 0 };
        let group = self.groups.entry(key).or_insert_with(new);
        group.cause = group.cause.min(cause);
        group.pods.push(pod);
        &mut group.load
    }
}

impl<'a> Key<'a> {
    fn of(budget: &'a Budget) -> Self {
        Self { namespace: &budget.namespace, name: &budget.name, kind: None }
    }
}

impl<'a> Group<'a> {
    /// How many pods go together at worst. A drain asks the budget before it takes a pod, so that the budget must allow
    /// one; nothing spreads the pods of a workload without a budget over the drains of several nodes.
    fn together(&self, takedown: &Takedown<'a>) -> usize {
        let Takedown { removed, rolled, .. } = *takedown;
        let singly = usize::from(self.load.singly);
        if self.budget.is_none() {
            return self.load.at_worst(removed.saturating_add(rolled.max(takedown.surged))) + singly;
        }
        let drained = rolled > 0 && self.load.outlasts(removed);
        self.load.at_worst(removed) + usize::from(drained) + singly
    }

    /// What is too much, if anything is.
    fn excess(&self, key: &Key<'a>, takedown: &Takedown<'a>) -> Option<Excess<'a>> {
        let here = self.together(takedown);
        let (found, standing, in_doubt) = match self.budget {
            None => {
                let standing = if here > 1 { Standing::Lasting } else { Standing::Passing };
                let found = format!("{} {key} has no budget", key.kind.unwrap_or_default());
                (here + self.elsewhere > 1).then(|| (self.with_numbers(&found, here), standing, false))
            }
            Some(budget) => {
                if let Some(why) = doubt(budget) {
                    in_words(&Eviction::Unclear { budget: budget.full_name(), why })
                } else {
                    let allowed = usize::try_from(budget.status.allowed).unwrap_or(0);
                    let standing =
                        if here > allowed.max(at_best(budget)) { Standing::Lasting } else { Standing::Passing };
                    let found = format!("budget {key} allows {}", counted(allowed, "disruption"));
                    (here + self.elsewhere > allowed).then(|| (self.with_numbers(&found, here), standing, false))
                }
            }
        }?;
        Some(Excess { cause: self.cause, standing, found, pods: self.pods.clone(), in_doubt })
    }

    fn with_numbers(&self, found: &str, here: usize) -> String {
        let elsewhere = if self.elsewhere == 0 { String::new() } else { format!(", and {} elsewhere", self.elsewhere) };
        format!("{found}, {} would go{elsewhere}", counted(here, "pod"))
    }
}

/// How many disruptions the budget would allow if all its pods were healthy.
fn at_best(budget: &Budget) -> usize {
    usize::try_from(budget.status.expected.saturating_sub(budget.status.desired)).unwrap_or(0)
}

/// A verdict that holds for one pod alone, whether it may pass, and whether something is not known.
fn in_words(verdict: &Eviction) -> Option<(String, Standing, bool)> {
    match verdict {
        Eviction::Evictable => None,
        Eviction::Blocked { budget, why } => Some((format!("budgets {budget} {why}"), Standing::Lasting, false)),
        Eviction::Unclear { budget, why } => {
            let passing = matches!(why, Doubt::Outdated | Doubt::Unconfirmed(_));
            let standing = if passing { Standing::Passing } else { Standing::Lasting };
            Some((format!("budget {budget} {why}"), standing, true))
        }
    }
}

impl Cause {
    fn in_words(self, takedown: &Takedown<'_>, pool: &str) -> String {
        match self {
            Self::Taint => format!("the taint {}", capped_list(takedown.taints.iter().map(ToString::to_string))),
            Self::Removal => format!("removing {} of pool {pool}", counted(takedown.removed, "node")),
            Self::Roll => format!("any write to pool {pool} would go on with its unfinished upgrade, which"),
            Self::Upgrade => format!("the upgrade of pool {pool}"),
            Self::Drain => format!("the drain of nodes of pool {pool}"),
            Self::Label => "the change of a label that their DaemonSets select on".to_owned(),
        }
    }
}

/// What a person can do. Where `SystemPodsWouldBeEvicted` is broken too, following its remedy follows this one.
fn remedy(cause: Cause, excess: &[Excess<'_>]) -> &'static str {
    if excess.iter().all(|excess| excess.in_doubt) {
        return "wait until the disruption controller has counted the pods of these budgets; if this stays, look at \
                their events (kubectl describe pdb)";
    }
    match cause {
        Cause::Taint => {
            "use the effect NoSchedule, which leaves running pods alone, or move these pods to other nodes one by one \
             first"
        }
        Cause::Removal => {
            "move these pods to another pool first: cordon the nodes of this pool and restart the workloads, then \
             uncordon"
        }
        Cause::Roll => {
            "let each of these budgets allow one pod to go (more replicas, or less that must be available), and finish \
             the upgrade before changing anything else on the pool"
        }
        Cause::Upgrade => {
            "let each of these budgets allow one pod to go (more replicas, or less that must be available); give workloads \
             without a budget one, for AKS drains a node as budgets allow"
        }
        Cause::Drain => {
            "let each of these budgets allow one pod to go (more replicas, or less that must be available); pods are \
             evicted one at a time"
        }
        Cause::Label => "leave that label as it is",
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests;
