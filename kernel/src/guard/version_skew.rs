//! `VersionSkew`: a pool runs a version that AKS takes beside its control plane, and offers the pool. Never chooses one.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::{WHY_UNKNOWN, capped_list, shorten};
use crate::snapshot::{AgentPool, Upgradable};
use crate::step::{Change, Step};
use crate::version::Version;

/// So many minors a pool may be behind its control plane. Source: AKS's version skew policy since Kubernetes 1.28.
const MOST_BEHIND: u32 = 3;
/// So many nodes a pool may have, those that an upgrade adds included. Source: the limits of AKS (`quotas-skus-regions`).
const MOST_NODES: u32 = 1000;
/// How many offered versions a finding names.
const SHOWN: usize = 12;

/// Refuses a version that AKS does not take: newer than the control plane's, patch included, which waits for it; of another
/// major; more than three minors behind; or one that AKS does not offer the pool.
///
/// Also an upgrade that would add more nodes than a pool may have, and a write about anything else that would go on with an
/// upgrade which has stopped half-way.
///
/// What AKS offers is read when nothing else stands against the upgrade. Until then the step is refused for now.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let (from, to) = match &step.change {
        Change::Version { from, to } => (Some(*from), *to),
        Change::Create(new) => (None, new.version?),
        Change::NodeImage { .. } => {
            return unfinished(facts, step).or_else(|| too_many(facts, step)).or_else(|| of_image(facts, step));
        }
        _ => return unfinished(facts, step),
    };
    let pool = &step.pool;
    let Some(control_plane) = facts.observed.version else {
        let finding = format!(
            "ARM does not tell which Kubernetes version the control plane runs, and pool {pool} may not be newer"
        );
        return Some(broken(Standing::Passing, finding, READS_AGAIN));
    };
    let of_present = from.and_then(|from| of_present(pool, from, to));
    let for_upgrade = || too_many(facts, step).or_else(|| offered(facts, pool, to));
    of_present.or_else(|| beside(pool, to, control_plane)).or_else(|| from.and_then(|_| for_upgrade()))
}

/// Why there is no room for the nodes that the upgrade adds for its time.
fn too_many(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.observed.pool(&step.pool)?;
    let (count, surge) = (pool.count, pool.surge());
    let room = MOST_NODES.saturating_sub(count);
    let finding = format!(
        "the upgrade of pool {} of {count} nodes would add {surge}, and a pool may have {MOST_NODES}",
        pool.name
    );
    let remedy = match room {
        0 => "let the pool have a node fewer, and set spec.upgrade.maxSurge to 1".to_owned(),
        room => format!("set spec.upgrade.maxSurge to {room} or less, or let the pool have fewer nodes"),
    };
    (surge > room).then(|| broken(Standing::Lasting, finding, &remedy))
}

/// Why what runs on the pool can't become the version: it is no older, or not told.
fn of_present(pool: &str, from: Option<Version>, to: Version) -> Option<Broken> {
    let Some(runs) = from else {
        let finding = format!("ARM does not tell which Kubernetes version pool {pool} runs");
        return Some(broken(Standing::Passing, finding, READS_AGAIN));
    };
    let finding = format!("pool {pool} runs Kubernetes {runs}, and {to} is not newer: AKS takes no version back");
    let remedy = "leave spec.kubernetesVersion at the version that runs";
    (!runs.is_older_than(to)).then(|| broken(Standing::Lasting, finding, remedy))
}

/// Why the version can't run beside the control plane's.
fn beside(pool: &str, to: Version, control_plane: Version) -> Option<Broken> {
    if control_plane.is_older_than(to) {
        let finding = format!(
            "pool {pool} is to run Kubernetes {to}, and no pool may be newer than the control plane, which runs {control_plane}"
        );
        let remedy = "upgrade the control plane (az aks upgrade --control-plane-only); the operator waits for it";
        return Some(broken(Standing::Passing, finding, remedy));
    }
    if to.minors_behind(control_plane).is_some_and(|minors| minors <= MOST_BEHIND) {
        return None;
    }
    let oldest = Version { minor: control_plane.minor.saturating_sub(MOST_BEHIND), patch: None, ..control_plane };
    let finding = format!(
        "pool {pool} is to run Kubernetes {to}, and AKS takes {oldest} to {control_plane} beside the control plane's \
         {control_plane}"
    );
    Some(broken(Standing::Lasting, finding, "set spec.kubernetesVersion to one of these, or to ControlPlane"))
}

/// Why what an upgrade depends on besides is not known at first.
const UNREAD: &str = "it is read when nothing else stands against the upgrade";
const READS_AGAIN: &str =
    "the operator reads again by itself; if this stays, look at its log and at its permissions in Azure";

/// Refuses a write that would go on with an upgrade of its pool that has stopped half-way, and is about something else.
fn unfinished(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    // The upgrade of an image goes on with one that has stopped, and is not known to do so with that of a version.
    let goes_on = |pool: &&AgentPool| {
        if step.change.upgrades() {
            pool.version_differs()
        } else {
            step.change.is_put() && facts.is_half_upgraded(pool)
        }
    };
    let pool = facts.observed.pool(&step.pool).filter(goes_on)?;
    let runs = pool.current_version.as_deref().unwrap_or("an unknown version");
    let asked = pool.requested_version.as_deref().unwrap_or("an unknown one");
    let quarantined = facts.nodes_of(&pool.name).iter().filter(|node| node.quarantined).map(|node| node.name.as_str());
    let quarantined = capped_list(quarantined);
    let left = if quarantined.is_empty() { String::new() } else { format!("; {quarantined} is quarantined") };
    // What runs may end as it should.
    let busy = pool.state.operation().is_some() || facts.is_in_flight(&pool.name);
    Some(broken(
        if busy { Standing::Passing } else { Standing::Lasting },
        format!(
            "any write to pool {} would go on with its unfinished upgrade (it is {}, runs Kubernetes {runs}, and was asked for \
             {asked}{left})",
            pool.name, pool.state
        ),
        "finish the upgrade first: set spec.kubernetesVersion to the version that was asked for, or use az aks nodepool upgrade",
    ))
}

/// What AKS offers the pool instead, if it does not offer the version, or that this is not known.
fn offered(facts: &Facts<'_>, pool: &str, to: Version) -> Option<Broken> {
    let offered = match upgradable(facts, pool) {
        Ok(upgradable) => &upgradable.offered,
        Err(why) => {
            let finding = format!("it is not known which versions AKS offers pool {pool}: {why}");
            return Some(broken(Standing::Passing, finding, READS_AGAIN));
        }
    };
    if offered.iter().any(|offered| to.covers(*offered)) {
        return None;
    }
    // The newest ones are what a person looks for.
    let newest = offered.iter().skip(offered.len().saturating_sub(SHOWN)).map(ToString::to_string);
    let newest = newest.collect::<Vec<_>>().join(", ");
    let (instead, remedy) = if newest.is_empty() {
        ("none".to_owned(), "leave spec.kubernetesVersion at the version that runs, or upgrade the control plane first")
    } else {
        (newest, "set spec.kubernetesVersion to one of these first, and to this one when the pool has it")
    };
    let finding = format!("AKS does not offer pool {pool} an upgrade to Kubernetes {to}; it offers {instead}");
    Some(broken(Standing::Lasting, finding, remedy))
}

/// Refuses for now to upgrade an image while it is not known which one is the latest: the pool may have it.
fn of_image(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let why = match upgradable(facts, &step.pool) {
        Ok(upgradable) if upgradable.latest_image.is_some() => return None,
        Ok(_) => "AKS does not tell".to_owned(),
        Err(why) => why,
    };
    let finding = format!("it is not known which node image is the latest for pool {}: {why}", step.pool);
    Some(broken(Standing::Passing, finding, READS_AGAIN))
}

/// What the upgrade of a pool depends on besides, or why that is not known.
fn upgradable<'a>(facts: &Facts<'a>, pool: &str) -> Result<&'a Upgradable, String> {
    let known = facts.upgradable.get(pool).ok_or_else(|| UNREAD.to_owned())?;
    known.fresh(facts.now, facts.settings.stale_after).map_err(|why| shorten(&why, WHY_UNKNOWN))
}

fn broken(standing: Standing, finding: String, remedy: &str) -> Broken {
    Broken { rule: Rule::VersionSkew, standing, finding, remedy: remedy.to_owned(), pods: Vec::new() }
}

#[cfg(test)]
mod tests;
