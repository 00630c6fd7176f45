//! `WorkloadsDependOnPool`: a user pool does not go while pods there would be lost, or have nowhere else to go. Never
//! places a pod itself.

use super::drain;
use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::{WHY_UNKNOWN, capped, counted, shorten};
use crate::snapshot::{AgentPool, Dependent, Mode};
use crate::step::{Change, Step};

/// How many pods a finding names.
const SHOWN: usize = 3;

/// Refuses a step that takes all nodes of a user pool away while pods depend on it, and for now while that is not known or
/// something else is taking away room that they may need.
///
/// A person may allow the loss, for one pool by its name. Of a drain, on any pool, a pod that nothing would start again is
/// never evicted, nor one that has come to a node since it was cordoned.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let Some(pool) = facts.observed.pool(&step.pool).filter(|pool| pool.mode != Mode::System) else {
        return drain::loses(facts, step);
    };
    if !step.change.empties() || drain::may_lose(facts, step) {
        return drain::loses(facts, step);
    }
    let (standing, finding, remedy, pods) = match facts.dependents_on(&pool.name) {
        Err(reason) => (Standing::Passing, unread(&pool.name, &reason), WAIT.to_owned(), Vec::new()),
        Ok([]) => {
            let Some(other) = room_goes_with(facts, &pool.name) else { return drain::loses(facts, step) };
            let finding = format!("the pods on pool {} may need the room that goes with pool {other}", pool.name);
            (Standing::Passing, finding, WAIT.to_owned(), Vec::new())
        }
        Ok(dependents) => {
            let pods: Vec<String> = dependents.iter().map(|dependent| dependent.pod.clone()).collect();
            (Standing::Lasting, found(&pool.name, dependents), remedy(step), pods)
        }
    };
    Some(Broken { rule: Rule::WorkloadsDependOnPool, standing, finding, remedy, pods })
}

const WAIT: &str =
    "the operator looks again by itself; if this stays, look at its log and at its access to the API server";

fn unread(pool: &str, reason: &str) -> String {
    format!("which pods depend on pool {pool} is not known: {}", shorten(reason, WHY_UNKNOWN))
}

fn found(pool: &str, dependents: &[Dependent]) -> String {
    let (what, them) = if dependents.len() == 1 { ("depends", "it") } else { ("depend", "them") };
    let pods = capped(dependents.iter().map(Dependent::to_string), SHOWN, "; ");
    format!("{} {what} on pool {pool}, which would take {them} along: {pods}", counted(dependents.len(), "pod"))
}

fn remedy(step: &Step) -> String {
    format!(
        "give these pods another place (nodes with room that they tolerate and select) and take their data off the \
         nodes' disks; to let them be lost: kubectl annotate nodepoolpolicy {} aks.nodepool.dev/allow-workload-loss={}",
        step.policy, step.pool
    )
}

/// Another pool on which something is under way that may take away room, or change which pods fit: whether these pods
/// have a place was judged without it.
fn room_goes_with<'a>(facts: &'a Facts<'_>, pool: &str) -> Option<&'a str> {
    let adds = |change: &Change| {
        change.promotes() || change.scales_up() || change.starts() || matches!(change, Change::Repair { .. })
    };
    let ours = facts.in_flight().iter().filter(|step| step.pool != pool && !adds(&step.change));
    let leaves = |other: &&AgentPool| match other.state.operation() {
        Some("Deleting" | "Stopping" | "Updating") => true,
        Some(_) => facts.nodes_of(&other.name).len() > usize::try_from(other.count).unwrap_or(usize::MAX),
        None => false,
    };
    let theirs = facts.observed.pools.iter().filter(|other| other.name != pool).filter(leaves);
    ours.map(|step| step.pool.as_str()).chain(theirs.map(|other| other.name.as_str())).min()
}

impl Facts<'_> {
    /// The pods that depend on the pool, or why they are not known.
    fn dependents_on(&self, pool: &str) -> Result<&[Dependent], String> {
        let Some(known) = self.dependents.get(pool) else { return Err("they have not been read yet".to_owned()) };
        known.fresh(self.now, self.settings.stale_after).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
