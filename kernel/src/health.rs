//! What the rules count on in the cluster as it is, for people to read. Never approves anything.

use std::collections::BTreeSet;

use crate::capacity::{self, Usability, explain, is_leaving, is_running_system, may_remain, usability};
use crate::facts::Facts;
use crate::guard::{Standing, proof};
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Mode, Snapshot};

/// What the rules count on, with whatever is in progress at its worst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// By what ARM's cluster is proven to be this one, or why it is not.
    pub identity: Result<String, Doubt>,
    /// The system pools by name.
    pub system_pools: Vec<SystemPool>,
    /// How many of them are healthy.
    pub healthy_pools: u32,
    /// Usable system nodes over all of them, less those that may be surplus.
    pub usable_nodes: u32,
    /// The sum of their fixed and minimum counts.
    pub guaranteed_nodes: u32,
    /// The names of the nodes that are usable as they are.
    pub usable: BTreeSet<String>,
}

/// Why ARM's cluster is not proven to be this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What was found.
    pub finding: String,
    /// What a person can do about it.
    pub remedy: String,
    /// Whether it stays so until somebody does something.
    pub lasts: bool,
}

/// A pool of mode System.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPool {
    /// The name.
    pub name: String,
    /// What can be counted on, in words; `None` if all of its nodes are usable.
    pub complaint: Option<String>,
}

/// How the cluster stands by the rules.
///
/// # Errors
/// What is unknown or too old, in words: nothing can be counted on then.
pub fn health(snapshot: &Snapshot, settings: &Settings) -> Result<Health, String> {
    let facts = Facts::gather(snapshot, settings).map_err(|stale| stale.finding)?;
    let total = capacity::now(&facts);
    let mut system: Vec<&AgentPool> = facts.cluster.pools.iter().filter(|pool| pool.mode == Mode::System).collect();
    system.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let is_usable = |pool: &AgentPool, name: &&&crate::Node| {
        is_counted(&facts, pool) && usability(name, pool, facts.now, settings) == Usability::Usable
    };
    let usable_of = |pool: &AgentPool| -> BTreeSet<String> {
        facts.nodes_of(&pool.name).iter().filter(|node| is_usable(pool, node)).map(|node| node.name.clone()).collect()
    };
    let row = |pool: &&AgentPool| {
        let usable = u32::try_from(usable_of(pool).len()).unwrap_or(u32::MAX);
        let whole = usable >= pool.count && usable > 0;
        SystemPool { name: pool.name.clone(), complaint: (!whole).then(|| explain(&facts, pool)) }
    };
    Ok(Health {
        identity: proof(&facts).map_err(|doubt| Doubt {
            finding: doubt.finding,
            remedy: doubt.remedy,
            lasts: doubt.standing == Standing::Lasting,
        }),
        healthy_pools: total.healthy_pools,
        usable_nodes: total.usable,
        guaranteed_nodes: total.guaranteed,
        usable: system.iter().flat_map(|pool| usable_of(pool)).collect(),
        system_pools: system.iter().map(row).collect(),
    })
}

/// Whether the pool's nodes count at all.
fn is_counted(facts: &Facts<'_>, pool: &AgentPool) -> bool {
    is_running_system(pool) && !is_leaving(pool) && may_remain(facts, pool, capacity::Outlook::Worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, ago, edit, in_flight, nodes_mut, pool, pool_mut, scale, snapshot};
    use crate::{Known, Power, Readiness};

    fn cluster() -> Snapshot {
        snapshot(vec![pool("two", Mode::System, 2), pool("one", Mode::System, 3), pool("apps", Mode::User, 4)])
    }

    fn found(change: impl Fn(&mut Snapshot)) -> Health {
        let mut snapshot = cluster();
        change(&mut snapshot);
        health(&snapshot, &Settings::default()).unwrap()
    }

    #[test]
    fn a_cluster_in_which_all_is_well_is_told_so() {
        let health = found(|_| {});
        assert_eq!((health.healthy_pools, health.usable_nodes, health.guaranteed_nodes), (2, 5, 5));
        assert_eq!(health.usable.len(), 5);
        let pools: Vec<(&str, Option<&str>)> =
            health.system_pools.iter().map(|pool| (pool.name.as_str(), pool.complaint.as_deref())).collect();
        assert_eq!(pools, [("one", None), ("two", None)]);
        let proof = health.identity.unwrap();
        assert!(proof.contains("https://issuer.example/") && proof.contains("the resource group MC_rg"), "{proof}");
    }

    #[test]
    fn what_does_not_count_is_told_with_its_reason() {
        let stopped = |s: &mut Snapshot| pool_mut(s, "two").power = Power::NotRunning("Stopped".into());
        let sick = |s: &mut Snapshot| {
            nodes_mut(s, "two").next().unwrap().readiness = Readiness::NotReady { since: ago(600) };
        };
        let going = |s: &mut Snapshot| s.in_flight = in_flight([scale("two", 2, 1)]);
        for (change, numbers, complaint) in [
            (&stopped as &dyn Fn(&mut Snapshot), (1, 3, 3), "system pool two is not running"),
            (&sick, (2, 4, 5), "has 1 usable of 2 nodes (aks-two-12345678-vmss000000 is not Ready)"),
            (&going, (2, 4, 4), ""),
        ] {
            let health = found(change);
            assert_eq!((health.healthy_pools, health.usable_nodes, health.guaranteed_nodes), numbers, "{complaint}");
            let two = health.system_pools.iter().find(|pool| pool.name == "two").unwrap();
            assert!(two.complaint.as_deref().unwrap_or_default().contains(complaint), "{two:?}");
        }
    }

    #[test]
    fn a_cluster_that_is_not_proven_is_told_with_what_was_found() {
        let other = |s: &mut Snapshot| s.issuer = Known::seen(NOW, "https://other.example/".into());
        let doubt = found(other).identity.unwrap_err();
        assert!(doubt.lasts && doubt.finding.contains("https://other.example/"), "{doubt:?}");
        let doubt = found(|s| s.issuer = Known::unknown("no answer")).identity.unwrap_err();
        assert!(!doubt.lasts && doubt.finding.contains("no answer"), "{doubt:?}");
        let by_nodes = found(|s| edit(&mut s.cluster).issuer_url = None).identity.unwrap();
        assert!(by_nodes.starts_with("the provider ids of nodes"), "{by_nodes}");
    }

    #[test]
    fn nothing_is_told_of_what_is_not_seen() {
        let mut snapshot = cluster();
        snapshot.budgets = Known::unknown("no answer");
        let unknown = health(&snapshot, &Settings::default()).unwrap_err();
        assert!(unknown.contains("the disruption budgets: no answer"), "{unknown}");
    }
}
