//! Stopping and starting a pool, and what waits until it runs: AKS takes no other change of a pool that is stopped. Never
//! judges whether a pool may be stopped.

use super::problem::Problem;
use super::steps::on_its_own;
use crate::intent::{Intent, PowerWish};
use crate::snapshot::{AgentPool, Cluster, Power, ProvisioningState};
use crate::step::{Change, Purpose, Step};

/// The steps of a policy with regard to the power of its pool.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Powered {
    /// Those that may be made.
    pub(super) steps: Vec<Step>,
    /// Those that are made when the pool runs. The number of nodes is none of them: ARM shows none of a stopped pool.
    pub(super) kept_back: Vec<Step>,
}

/// What is left of the steps toward the policy, and what comes in their place. A system pool becomes a user pool before it is
/// stopped.
///
/// Source: AKS changes a pool only while it is Running, and a stopped one shows count 0 and returns to its old count.
pub(super) fn applied(intent: &Intent, pool: &AgentPool, steps: Vec<Step>) -> Powered {
    let runs = pool.power == Power::Running;
    let wish = intent.power;
    if runs && wish != Some(PowerWish::Stopped) {
        return Powered { steps, kept_back: Vec::new() };
    }
    let keep = |step: &Step| step.change.purpose() != Purpose::Count;
    let (mut go, mut kept_back): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| runs && step.change.purpose() == Purpose::Mode);
    kept_back.retain(keep);
    let own = match wish {
        Some(PowerWish::Running) => Some(Change::Start),
        Some(PowerWish::Stopped) if runs || pool.state == ProvisioningState::Failed => Some(Change::Stop),
        Some(PowerWish::Stopped) | None => None,
    };
    go.extend(own.map(|change| on_its_own(intent, pool, change)));
    Powered { steps: go, kept_back }
}

/// Whether the number of nodes and the autoscaler are of no account now: the pool is stopped, or is to be.
pub(super) fn is_off(intent: &Intent, pool: &AgentPool) -> bool {
    pool.power != Power::Running || intent.power == Some(PowerWish::Stopped)
}

/// Why a pool that does not run can't be planned: nobody says whether it is to run, or the cluster does not run either.
pub(super) fn hindrance(intent: &Intent, pool: &AgentPool, cluster: &Cluster) -> Option<Problem> {
    let problem = Problem::of_pool(pool)?;
    if !matches!(problem, Problem::NotRunning { .. }) {
        return Some(problem);
    }
    if let Some(state) = cluster_state(cluster) {
        return Some(Problem::ClusterNotRunning { state });
    }
    (intent.power.is_none() || !pool.power.is_stopped()).then_some(problem)
}

/// What the cluster is, if its pools do not run because of that.
fn cluster_state(cluster: &Cluster) -> Option<String> {
    if let Power::NotRunning(state) = &cluster.power {
        return Some(state.clone());
    }
    let operation = cluster.state.operation()?;
    let moves = ["Stopping", "Starting"].iter().any(|name| operation.eq_ignore_ascii_case(name));
    moves.then(|| operation.to_owned())
}

#[cfg(test)]
mod tests;
