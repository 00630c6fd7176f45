//! The autoscaler of a pool and the other steps of its policy: it owns the number of nodes until it is off, and it is off
//! while a pool is emptied for its demotion. Never turns it off for a drain that can't begin.

use super::{Pass, Verdict, in_words};
use crate::drain::Aim;
use crate::facts::Facts;
use crate::guard::judge;
use crate::plan::{PolicyPlan, Problem};
use crate::step::{Change, Purpose, Step};

/// The step that turns the autoscaler off, or changes it, before the number of nodes is changed.
pub(super) fn before_count<'a>(policy: &'a PolicyPlan, step: &Step) -> Option<&'a Step> {
    let is_first = |other: &&Step| other.change.purpose() == Purpose::Autoscaling;
    policy.steps.iter().find(is_first).filter(|_| step.change.purpose() == Purpose::Count)
}

/// The step after which the autoscaler is turned on, or gets other bounds: the demotion, or what leads to it.
pub(super) fn awaited<'a>(policy: &'a PolicyPlan, step: &Step) -> Option<&'a Step> {
    let leads = |other: &&Step| other.change.demotes() || other.change.aim() == Some(Aim::Demotion);
    policy.steps.iter().find(leads).filter(|_| turns_on(step) && !restores(policy, step))
}

/// Whether the step gives the pool its autoscaler back after a drain that was given up.
pub(super) fn restores(policy: &PolicyPlan, step: &Step) -> bool {
    turns_on(step) && policy.problems.iter().any(Problem::ends_drain)
}

/// Whether the autoscaler is on after the step.
pub(super) fn turns_on(step: &Step) -> bool {
    matches!(step.change, Change::Autoscaling { to: Some(_), .. })
}

/// A drain that the autoscaler has to be off for, and is not.
#[derive(Clone, Copy)]
pub(super) struct Preparation<'a> {
    /// Turns it off.
    off: &'a Step,
    /// The next change of the drain.
    drain: &'a Step,
}

impl<'a> Preparation<'a> {
    /// The one that the step belongs to.
    pub(super) fn of(policy: Option<&'a PolicyPlan>, step: &Step) -> Option<Self> {
        let steps = || policy.into_iter().flat_map(|policy| &policy.steps);
        let off = steps().find(|other| matches!(other.change, Change::Autoscaling { to: None, .. }))?;
        let drain = steps().find(|other| other.change.aim().is_some_and(Aim::takes_all))?;
        (step == off || step == drain).then_some(Self { off, drain })
    }

    /// The drain is judged as if the autoscaler were off, which is turned off only if the drain may go on then.
    pub(super) fn decide(
        self,
        policy: Option<&'a PolicyPlan>,
        step: &'a Step,
        pass: &mut Pass<'a>,
        facts: &mut Facts<'_>,
    ) -> Verdict {
        let waits = |reason: String| Verdict::Waits { step: step.clone(), reason };
        if let Some(reason) = pass.must_wait(policy, self.drain, facts) {
            return waits(reason);
        }
        facts.assumed_off = Some(self.drain.pool.clone());
        let judged = judge(self.drain.clone(), facts);
        facts.assumed_off = None;
        match judged {
            Err(refusal) if step == self.drain => pass.refuse(refusal, facts),
            Err(_) => waits(format!("a step that is refused, {}", in_words(self.drain))),
            Ok(_) if step == self.drain => waits(format!("the step before it, {}", in_words(self.off))),
            Ok(_) => pass.judge(policy, step, facts),
        }
    }
}

#[cfg(test)]
mod tests;
