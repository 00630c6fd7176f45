//! The verdict on one step: approved, or refused with every rule that it breaks. Never repairs a step, only judges it.

mod break_glass;
mod bulk_change_fuse;
mod closed_budget;
mod conflicting_policy;
#[cfg(test)]
mod deletion_tests;
mod disruption_budget_blocks;
mod drain;
mod evidence;
mod held;
mod immutable_field;
mod kube_system_unhealthy;
mod last_healthy_system_pool;
mod operation_in_progress;
#[cfg(test)]
mod power_tests;
mod restricted_system_taint;
mod rule;
mod stale_observation;
mod system_capacity_floor;
mod system_pods_unplaceable;
mod system_pods_would_be_evicted;
mod system_pool_must_run;
mod upgrade;
mod version_skew;
mod workloads_depend_on_pool;
mod wrong_cluster;

pub use break_glass::BreakGlass;
pub use immutable_field::LEAST_PODS;
pub use kube_system_unhealthy::ALWAYS_REQUIRED;
pub use rule::{Broken, Refusal, Rule, Standing};
pub(crate) use wrong_cluster::{is_proven, proof};

use crate::disruption::Takedown;
use crate::facts::Facts;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::step::Step;

/// A step that broke no rule, but for one that a person lets it pass. Only [`guard`] and [`crate::decide`] make one, and
/// whoever carries it out consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Approved<T> {
    what: T,
    passed: Option<Broken>,
}

impl<T> Approved<T> {
    /// What was approved.
    pub const fn get(&self) -> &T {
        &self.what
    }

    /// The rule that it breaks and that a person lets it pass.
    pub const fn passed(&self) -> Option<&Broken> {
        self.passed.as_ref()
    }

    /// Takes what was approved out, to carry it out.
    pub fn into_inner(self) -> T {
        self.what
    }
}

/// Judges one step against a snapshot, with everything in flight counted at its worst.
///
/// # Errors
/// The refusal names every rule that the step breaks, with what was found and what would help.
pub fn guard(step: Step, snapshot: &Snapshot, settings: &Settings) -> Result<Approved<Step>, Box<Refusal>> {
    match Facts::gather(snapshot, settings) {
        Ok(facts) => judge(step, &facts),
        Err(stale) => Err(Box::new(Refusal { step, broken: vec![stale] })),
    }
}

/// One rule.
type Check = fn(&Facts<'_>, &Step) -> Option<Broken>;
/// A rule about the protected pods that the step takes down, of which there may be thousands: they are looked for once.
type CheckOfPods = for<'a> fn(&Facts<'a>, &Step, &Takedown<'a>) -> Option<Broken>;

/// Judges one step against facts.
pub(crate) fn judge(step: Step, facts: &Facts<'_>) -> Result<Approved<Step>, Box<Refusal>> {
    const OF_THE_CLUSTER: [Check; 11] = [
        wrong_cluster::check,
        stale_observation::check,
        conflicting_policy::check,
        held::check,
        operation_in_progress::check,
        version_skew::check,
        immutable_field::check,
        restricted_system_taint::check,
        system_pool_must_run::check,
        last_healthy_system_pool::check,
        system_capacity_floor::check,
    ];
    const OF_PODS: [CheckOfPods; 3] =
        [system_pods_would_be_evicted::check, system_pods_unplaceable::check, disruption_budget_blocks::check];
    const OF_WORKLOADS: [Check; 3] =
        [kube_system_unhealthy::check, workloads_depend_on_pool::check, bulk_change_fuse::check];
    if step.change.ends_drain() {
        // Whatever else is known or not: nodes that this operator cordoned may be opened again, unless all writes are paused.
        return match held::check_pause(facts).or_else(|| drain::check_end(facts, &step)) {
            None => Ok(Approved { what: step, passed: None }),
            Some(broken) => Err(Box::new(Refusal { step, broken: vec![broken] })),
        };
    }
    let mut broken: Vec<Broken> = OF_THE_CLUSTER.iter().filter_map(|check| check(facts, &step)).collect();
    let takedown = Takedown::of(facts, &step);
    broken.extend(OF_PODS.iter().filter_map(|check| check(facts, &step, &takedown)));
    broken.extend(OF_WORKLOADS.iter().filter_map(|check| check(facts, &step)));
    let passed = break_glass::pass(facts, &step, &mut broken);
    if broken.is_empty() { Ok(Approved { what: step, passed }) } else { Err(Box::new(Refusal { step, broken })) }
}
