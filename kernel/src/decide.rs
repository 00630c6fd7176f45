//! Which planned steps go now, which wait for another and which are refused, over all policies. Never carries out any.

use foldhash::HashSet;

use crate::drain::{Aim, Drain};
use crate::facts::Facts;
use crate::guard::{Approved, Refusal, Standing, judge};
use crate::intent::Intent;
use crate::names::shorten;
use crate::plan::{Plan, PolicyPlan, Problem};
use crate::settings::Settings;
use crate::snapshot::{Mode, Snapshot};
use crate::step::{Change, Purpose, Step};

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
    let mut steps: Vec<(Option<&PolicyPlan>, &Step)> =
        plan.policies.iter().flat_map(|policy| policy.steps.iter().map(move |step| (Some(policy), step))).collect();
    steps.extend(plan.left_behind.iter().map(|step| (None, step)));
    if steps.is_empty() {
        return Vec::new();
    }
    let facts = Facts::gather(snapshot, settings);
    let mut facts = match facts {
        Ok(facts) => facts,
        Err(stale) => {
            let refuse =
                |step: &Step| Verdict::Refused(Box::new(Refusal { step: step.clone(), broken: vec![stale.clone()] }));
            return steps.into_iter().map(|(_, step)| refuse(step)).collect();
        }
    };
    let first_in_line = first_in_line(&steps, &facts);
    steps.sort_by_key(|(policy, step)| (rank(*policy, step, &facts), Some(*step) != first_in_line));
    let in_flight = facts.in_flight();
    let mut pass = Pass {
        adding: adding(plan, snapshot),
        first_in_line,
        running: in_flight.len(),
        reducing: in_flight.iter().filter(|step| facts.reduces(step)).map(in_words).min(),
        draining: steps.iter().map(|(_, step)| *step).filter(|step| is_drain_under_way(step, &facts)).collect(),
        approved: Vec::new(),
        refused: HashSet::default(),
    };
    steps
        .into_iter()
        .map(|(policy, step)| match Preparation::of(policy, step) {
            Some(preparation) => preparation.decide(policy, step, &mut pass, &mut facts),
            None => pass.judge(policy, step, &mut facts),
        })
        .collect()
}

/// What has been decided so far in this pass.
struct Pass<'a> {
    /// Steps in flight, or planned by a policy that can make progress, that create or promote a pool or add nodes.
    adding: Vec<&'a Step>,
    /// The step that has waited for so long that no other disruptive one may begin before it.
    first_in_line: Option<&'a Step>,
    /// How many steps run, those in flight included.
    running: usize,
    /// The step that reduces system capacity, if one runs.
    reducing: Option<String>,
    /// The next steps of drains of system nodes that have begun.
    draining: Vec<&'a Step>,
    approved: Vec<&'a Step>,
    /// Policies of which a demotion, or what leads to it, is refused, and not just for a moment.
    refused: HashSet<String>,
}

impl<'a> Pass<'a> {
    /// Judges the step, unless it has to wait.
    fn judge(&mut self, policy: Option<&PolicyPlan>, step: &'a Step, facts: &mut Facts<'_>) -> Verdict {
        if let Some(reason) = self.must_wait(policy, step, facts) {
            return Verdict::Waits { step: step.clone(), reason };
        }
        match judge(step.clone(), facts) {
            Err(refusal) => self.refuse(refusal, facts),
            Ok(approved) => {
                self.note(step, facts);
                facts.fold(step);
                Verdict::Approved(approved)
            }
        }
    }

    fn refuse(&mut self, refusal: Box<Refusal>, facts: &Facts<'_>) -> Verdict {
        let Step { policy, change, .. } = &refusal.step;
        let is_stalled = || facts.intents.iter().any(|intent| intent.policy == *policy && intent.stalled);
        let leads = change.demotes() || change.aim() == Some(Aim::Demotion);
        if leads && (refusal.standing() != Standing::Passing || is_stalled()) {
            self.refused.insert(policy.clone());
        }
        Verdict::Refused(refusal)
    }

    /// Why the step is not to be judged yet. To open nodes waits for nothing.
    fn must_wait(&self, policy: Option<&PolicyPlan>, step: &Step, facts: &Facts<'_>) -> Option<String> {
        let policy = policy.filter(|_| !step.change.ends_drain())?;
        let held = policy.problems.iter().find(|problem| problem.holds());
        if let Some(held) = held.filter(|_| !autoscaler::restores(policy, step)) {
            return Some(match held {
                Problem::Canceled => "a change of the policy".to_owned(),
                _ => "the next attempt after a failed one".to_owned(),
            });
        }
        let is_under_way = || !self.refused.contains(&step.policy) || has_begun(step, facts);
        if let Some(first) = unfinished_upgrade(policy, step, facts) {
            return Some(format!("the unfinished upgrade of its pool, {}", in_words(first)));
        }
        if step.change.upgrades() && has_begun(step, facts) {
            return Some("the drain of nodes of its pool, which has begun".to_owned());
        }
        let first = after_mode(policy, step).or_else(|| autoscaler::before_count(policy, step));
        if let Some(first) = first.or_else(|| autoscaler::awaited(policy, step).filter(|_| is_under_way())) {
            return Some(format!("the step before it, {}", in_words(first)));
        }
        if let Some(first) = self.approved.iter().find(|other| other.pool == step.pool) {
            return Some(format!("the step before it, {}", in_words(first)));
        }
        if step.change.removes()
            && let Some(predecessor) = self.predecessor(step, facts)
        {
            return Some(format!("the step before it, {}", in_words(predecessor)));
        }
        if step.change.removes()
            && let Some(pool) = joining(step, facts)
        {
            return Some(format!("the nodes of pool {pool}, which have not all joined"));
        }
        if facts.reduces(step)
            && let Some(other) = &self.reducing
        {
            return Some(format!("another step that takes away system capacity, {other}"));
        }
        if facts.reduces(step)
            && let Some(other) = self.draining.iter().find(|other| other.pool != step.pool)
            && !self.draining.iter().any(|own| own.pool == step.pool)
        {
            return Some(format!("a drain that has begun, {}", in_words(other)));
        }
        if self.first_in_line == Some(step) {
            return None;
        }
        if let Some(first) = self.first_in_line
            && facts.disrupts(step)
            && !self.clears_the_way(step, first, facts)
        {
            return Some(format!("a step that has waited for long, {}", in_words(first)));
        }
        (self.running >= facts.settings.steps_in_parallel).then(|| "other steps that run now".to_owned())
    }

    /// A step that adds what this step relies on and that can still make progress.
    fn predecessor(&self, step: &Step, facts: &Facts<'_>) -> Option<&'a Step> {
        self.predecessors(step, facts).next()
    }

    fn predecessors(&self, step: &Step, facts: &Facts<'_>) -> impl Iterator<Item = &'a Step> {
        let system_only = is_system(step, facts);
        let relevant = move |other: &&Step| !system_only || other.change.promotes() || is_system(other, facts);
        self.adding.iter().copied().filter(relevant)
    }

    /// Whether `first` waits for the policy of `step`, or belongs to it.
    fn clears_the_way(&self, step: &Step, first: &Step, facts: &Facts<'_>) -> bool {
        step.policy == first.policy || self.predecessors(first, facts).any(|other| other.policy == step.policy)
    }

    fn note(&mut self, step: &'a Step, facts: &Facts<'_>) {
        self.running = self.running.saturating_add(1);
        self.approved.push(step);
        if facts.reduces(step) {
            self.reducing = Some(in_words(step));
        }
    }
}

/// A pool on whose new nodes this step relies: its creation has begun, and makes progress.
fn joining<'a>(step: &Step, facts: &Facts<'a>) -> Option<&'a str> {
    let system_only = is_system(step, facts);
    let relevant = |pool: &str| !system_only || facts.observed.pool(pool).is_some_and(|pool| pool.mode == Mode::System);
    let progresses = |intent: &&Intent| intent.creating && !intent.stalled && intent.may_write();
    let pools = facts.intents.iter().filter(progresses).map(|intent| intent.pool.as_str());
    pools.filter(|pool| *pool != step.pool && relevant(pool)).min()
}

/// The steps that add something, those in flight first.
fn adding<'a>(plan: &'a Plan, snapshot: &'a Snapshot) -> Vec<&'a Step> {
    let progresses = |intent: &&Intent| !intent.stalled && intent.may_write();
    let intents = snapshot.intents.value().map_or(&[][..], Vec::as_slice);
    let policies: HashSet<&str> = intents.iter().filter(progresses).map(|intent| intent.policy.as_str()).collect();
    let planned = plan.policies.iter().filter(|policy| policies.contains(policy.policy.as_str()));
    let mut in_flight: Vec<&Step> = snapshot.in_flight.iter().map(|write| &write.step).collect();
    in_flight.sort_by_cached_key(ToString::to_string);
    let all = in_flight.into_iter().chain(planned.flat_map(|policy| &policy.steps));
    all.filter(|step| step.change.adds()).collect()
}

/// Of the steps that take away system capacity and could be made but for others, the one that has waited longest, if that
/// is too long: without it, a stream of other steps could keep it waiting for ever.
fn first_in_line<'a>(steps: &[(Option<&'a PolicyPlan>, &'a Step)], facts: &Facts<'_>) -> Option<&'a Step> {
    let since = |policy: &PolicyPlan| {
        let intent = facts.intents.iter().find(|intent| intent.policy == policy.policy)?;
        let since = intent.waits_since.filter(|_| !policy.problems.iter().any(Problem::holds))?;
        (facts.now.since(since) >= facts.settings.priority_after).then_some(since)
    };
    let waiting = steps.iter().filter(|(_, step)| facts.reduces(step));
    let waiting = waiting.filter_map(|(policy, step)| Some(((*policy)?, *step)));
    let waiting = waiting.filter_map(|(policy, step)| Some((since(policy)?, &policy.policy, step)));
    waiting.min_by_key(|(since, policy, _)| (*since, *policy)).map(|(_, _, step)| step)
}

/// The step in a message.
fn in_words(step: &Step) -> String {
    shorten(&step.to_string(), 300)
}

/// Taints and mode of one pool depend on each other: AKS takes some taints only before, some only after the change. Nodes are
/// taken away when the pool is no system pool any more. A pool is upgraded in the mode that it is to have.
fn after_mode<'a>(policy: &'a PolicyPlan, step: &Step) -> Option<&'a Step> {
    let depends = |step: &Step| matches!(step.change.purpose(), Purpose::Mode | Purpose::Taints);
    let first = policy.steps.iter().find(|other| depends(other))?;
    let leaves = first.change.demotes() || first.change.aim() == Some(Aim::Demotion);
    let waits = step.change.upgrades() && first.change.changes_mode();
    let comes_after = step.change.stops() || (leaves && step.change.scales_down());
    ((depends(step) && first != step) || comes_after || waits).then_some(first)
}

/// The upgrade of the policy that is to be finished before anything else is written to its pool.
fn unfinished_upgrade<'a>(policy: &'a PolicyPlan, step: &Step, facts: &Facts<'_>) -> Option<&'a Step> {
    let is_half = facts.observed.pool(&step.pool).is_some_and(|pool| facts.is_half_upgraded(pool));
    // Of a version and an image the version is finished first, which takes the latest image too.
    let (puts, is_image) =
        (step.change.is_put() && !step.change.upgrades(), step.change.purpose() == Purpose::NodeImage);
    let waits = is_half && (puts || is_image);
    policy.steps.iter().find(|other| waits && other.change.upgrades() && *other != step)
}

/// The place of a step in the order of a pass; steps of equal rank keep the order of policies.
fn rank(policy: Option<&PolicyPlan>, step: &Step, facts: &Facts<'_>) -> u8 {
    // What is done to the autoscaler for a demotion depends on whether that is refused.
    if policy.is_some_and(|policy| autoscaler::awaited(policy, step).is_some()) {
        return 3;
    }
    if Preparation::of(policy, step).is_some() {
        return 2;
    }
    if step.change.ends_drain() {
        return 0;
    }
    let takes_away = step.change.removes() || facts.reduces(step);
    let brings_nodes = step.change.scales_up() || step.change.starts();
    let adds = step.change.creates() || step.change.promotes() || (brings_nodes && is_system(step, facts));
    match (adds, takes_away) {
        (true, false) => 0,
        (false, false) => 1,
        (_, true) => 2,
    }
}

/// Whether the step goes on with a drain of system nodes that are cordoned.
fn is_drain_under_way(step: &Step, facts: &Facts<'_>) -> bool {
    let goes_on = !matches!(step.change, Change::Drain(Drain::Cordon { .. })) && step.change.aim().is_some();
    goes_on && facts.reduces(step) && has_begun(step, facts)
}

/// Whether nodes are cordoned for the policy of the step.
fn has_begun(step: &Step, facts: &Facts<'_>) -> bool {
    facts.nodes_of(&step.pool).iter().any(|node| node.is_drained_for(&step.policy))
}

/// Whether the step is made on a system pool.
fn is_system(step: &Step, facts: &Facts<'_>) -> bool {
    facts.observed.pool(&step.pool).is_some_and(|pool| pool.mode == Mode::System)
}

mod autoscaler;
mod given_up;

use autoscaler::Preparation;
pub use given_up::{GivenUp, given_up};

#[cfg(test)]
mod creation_tests;
#[cfg(test)]
mod tests;
