//! Which planned steps go now, which wait for another and which are refused, over all policies. Never carries out any.

use crate::facts::Facts;
use crate::guard::{Approved, Refusal, judge};
use crate::intent::Intent;
use crate::plan::{Plan, PolicyPlan, Problem};
use crate::settings::Settings;
use crate::snapshot::{Cluster, Mode, Snapshot};
use crate::step::{Purpose, Step};

/// What became of one planned step in this pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made now.
    Approved(Approved<Step>),
    /// It waits for another step and has not been judged.
    Waits {
        /// The step.
        step: Step,
        /// What it waits for, in words.
        reason: String,
    },
    /// It breaks a rule.
    Refused(Box<Refusal>),
}

impl Verdict {
    /// The step.
    #[must_use]
    pub const fn step(&self) -> &Step {
        match self {
            Self::Approved(approved) => approved.get(),
            Self::Waits { step, .. } => step,
            Self::Refused(refusal) => &refusal.step,
        }
    }
}

/// Judges the steps of a plan in the order in which they are to be made: what adds system capacity first, what takes
/// it away last. Each is judged with the steps approved before it counted at their worst, and at most one step of a
/// pass reduces.
#[must_use]
pub fn decide(plan: &Plan, snapshot: &Snapshot, settings: &Settings) -> Vec<Verdict> {
    let mut steps: Vec<(&PolicyPlan, &Step)> =
        plan.policies.iter().flat_map(|policy| policy.steps.iter().map(move |step| (policy, step))).collect();
    let facts = Facts::gather(snapshot, settings);
    let mut facts = match facts {
        Ok(facts) => facts,
        Err(stale) => {
            let refuse =
                |step: &Step| Verdict::Refused(Box::new(Refusal { step: step.clone(), broken: vec![stale.clone()] }));
            return steps.into_iter().map(|(_, step)| refuse(step)).collect();
        }
    };
    let cluster = facts.cluster.clone();
    steps.sort_by_key(|(_, step)| rank(step, &cluster));
    let mut pass = Pass { cluster: &cluster, plan, approved: 0, reducing: None };
    steps
        .into_iter()
        .map(|(policy, step)| match pass.must_wait(policy, step, &facts) {
            Some(reason) => Verdict::Waits { step: step.clone(), reason },
            None => match judge(step.clone(), &facts) {
                Err(refusal) => Verdict::Refused(refusal),
                Ok(approved) => {
                    facts.fold(step);
                    pass.note(step);
                    Verdict::Approved(approved)
                }
            },
        })
        .collect()
}

/// What has been decided so far in this pass.
struct Pass<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    approved: usize,
    reducing: Option<String>,
}

impl Pass<'_> {
    /// Why the step is not to be judged yet.
    fn must_wait(&self, policy: &PolicyPlan, step: &Step, facts: &Facts<'_>) -> Option<String> {
        let backing_off = |problem: &Problem| matches!(problem, Problem::BackingOff(_));
        if policy.problems.iter().any(backing_off) {
            return Some("the next attempt after a failed write".to_owned());
        }
        if let Some(reason) = after_mode(policy, step) {
            return Some(reason);
        }
        let intent = |name: &str| facts.intents.iter().find(|intent| intent.policy == name);
        if removes(step)
            && let Some(predecessor) = self.predecessor(step, &intent)
        {
            return Some(format!("the step before it, {predecessor}"));
        }
        if reduces(step, self.cluster)
            && let Some(other) = &self.reducing
        {
            return Some(format!("another step that takes away system capacity, {other}"));
        }
        (self.approved >= facts.settings.steps_in_parallel).then(|| "other steps that run now".to_owned())
    }

    /// A planned step that adds what this step relies on and that can still make progress.
    fn predecessor<'a>(&self, step: &Step, intent: &impl Fn(&str) -> Option<&'a Intent>) -> Option<String> {
        let system_only = is_system(step, self.cluster);
        let adds = |other: &Step| {
            let relevant = !system_only || other.change.promotes() || is_system(other, self.cluster);
            relevant && (other.change.promotes() || other.change.scales_up())
        };
        let progresses = |policy: &PolicyPlan| {
            intent(&policy.policy).is_some_and(|intent| {
                !intent.stalled && !intent.suspended && intent.enforcement == crate::Enforcement::Enforce
            })
        };
        self.plan
            .policies
            .iter()
            .filter(|policy| progresses(policy))
            .flat_map(|policy| &policy.steps)
            .find(|other| adds(other))
            .map(ToString::to_string)
    }

    fn note(&mut self, step: &Step) {
        self.approved = self.approved.saturating_add(1);
        if reduces(step, self.cluster) {
            self.reducing = Some(step.to_string());
        }
    }
}

/// Taints and mode of one pool depend on each other: AKS takes some taints only before, some only after the change.
fn after_mode(policy: &PolicyPlan, step: &Step) -> Option<String> {
    let first = policy.steps.iter().find(|other| matches!(other.change.purpose(), Purpose::Mode | Purpose::Taints))?;
    let second = matches!(step.change.purpose(), Purpose::Mode | Purpose::Taints) && first != step;
    second.then(|| format!("the step before it, {first}"))
}

/// The place of a step in the order of a pass; steps of equal rank keep the order of policies.
fn rank(step: &Step, cluster: &Cluster) -> u8 {
    let change = &step.change;
    if change.promotes() || (change.scales_up() && is_system(step, cluster)) {
        0
    } else if removes(step) || reduces(step, cluster) {
        2
    } else {
        1
    }
}

fn is_system(step: &Step, cluster: &Cluster) -> bool {
    cluster.pool(&step.pool).is_some_and(|pool| pool.mode == Mode::System)
}

/// Whether the step takes nodes away, or takes a pool away from the add-ons.
fn removes(step: &Step) -> bool {
    step.change.demotes() || step.change.scales_down()
}

/// Whether the step can reduce system capacity.
fn reduces(step: &Step, cluster: &Cluster) -> bool {
    let repels = match &step.change {
        crate::Change::Taints { to, .. } => to.iter().any(crate::Taint::repels_system_pods),
        _ => false,
    };
    is_system(step, cluster) && (removes(step) || repels)
}
