//! Disruption budgets, by trying every outcome: each set of nodes that AKS might remove, and what goes with it. Written
//! from the design's words and the API's documentation, not from the kernel.

use std::collections::BTreeSet;

use nodepool_kernel::placement::{Selector, Test};
use nodepool_kernel::{
    AgentPool, Budget, Change, Cluster, Known, Node, Owner, Phase, Pod, ProvisioningState, Refusal, Rows, Rule,
    Settings, Snapshot, Step, TaintEffect, UnhealthyPods, guard,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::cases;
use crate::clusters::{NOW, cluster_and_step};
use crate::oracle::{Oracle, is_evicted, unavailable};

struct World<'a> {
    oracle: Oracle<'a>,
    cluster: &'a Cluster,
    pods: &'a Rows<Pod>,
    budgets: &'a [Budget],
    in_flight: Vec<&'a Step>,
}

/// One way in which a write, or somebody's operation, may go: pods that are gone at once, and pods that drains take one
/// after the other.
#[derive(Clone)]
struct Outcome<'a> {
    gone: Vec<&'a Pod>,
    drained: Vec<&'a Pod>,
    /// Pods on the nodes that are drained at once.
    drained_together: Vec<&'a Pod>,
}

impl<'a> World<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            oracle: Oracle::new(snapshot),
            cluster: snapshot.cluster.value().unwrap(),
            pods: snapshot.pods.value().unwrap(),
            budgets: snapshot.budgets.value().unwrap(),
            in_flight: snapshot.in_flight.iter().map(|write| &write.step).collect(),
        }
    }

    fn pods_on(&self, node: &Node) -> impl Iterator<Item = &'a Pod> {
        let name = node.name.clone();
        self.pods.iter().filter(move |pod| pod.node.as_deref() == Some(name.as_str()))
    }

    /// Every way in which nodes of the pool may go with this change, or with the operation on it.
    fn outcomes(&self, pool: &AgentPool, change: Option<&Change>) -> Vec<Outcome<'a>> {
        let nodes: Vec<&Node> = self.oracle.nodes_of(pool).collect();
        let upgrades = change.is_some_and(Change::upgrades);
        let rolls = upgrades || (change.is_some() && self.oracle.is_half_upgraded(pool));
        let mut changed = pool.clone();
        if let Some(Change::UpgradeSettings { to, .. }) = change {
            to.apply(&mut changed);
        }
        let missing = [pool, &changed].map(|pool| unavailable(pool, pool.count.into())).into_iter().max().unwrap();
        let surge = if upgrades { usize::try_from(pool.surge()).unwrap() } else { 0 };
        let at_once = if rolls { usize::try_from(missing.max(1)).unwrap().max(surge) } else { 0 };
        let removed = self.removed(pool, change, nodes.len());
        let mut outcomes = vec![];
        for set in 0_u32..1 << nodes.len() {
            if usize::try_from(set.count_ones()).unwrap() != removed.min(nodes.len()) {
                continue;
            }
            let goes = |index: usize| set >> index & 1 == 1;
            let (mut gone, mut left) = (vec![], vec![]);
            for (index, node) in nodes.iter().enumerate() {
                let mut stay = vec![];
                for pod in self.pods_on(node) {
                    let movable = pod.owner != Owner::DaemonSet;
                    if Self::is_evicted(pod, node, pool, change) || (movable && goes(index)) {
                        gone.push(pod);
                    } else if movable && rolls {
                        stay.push(pod);
                    }
                }
                left.push(stay);
            }
            for together in 0_u32..1 << nodes.len() {
                if usize::try_from(together.count_ones()).unwrap() != at_once.min(nodes.len()) {
                    continue;
                }
                let drained_together =
                    (0..).zip(&left).filter(|(index, _)| together >> index & 1 == 1).flat_map(|(_, pods)| pods.clone());
                let drained_together = drained_together.collect();
                outcomes.push(Outcome { gone: gone.clone(), drained: left.concat(), drained_together });
            }
        }
        outcomes
    }

    fn removed(&self, pool: &AgentPool, change: Option<&Change>, nodes: usize) -> usize {
        let count = usize::try_from(pool.count).unwrap();
        let Some(change) = change else {
            return match &pool.state {
                ProvisioningState::Busy(operation) if operation == "Deleting" || operation == "Stopping" => nodes,
                ProvisioningState::Busy(_) => nodes.saturating_sub(count),
                _ => 0,
            };
        };
        let asked = match change {
            Change::Count { from, to } if to < from => nodes.max(count) - usize::try_from(*to).unwrap(),
            Change::Delete | Change::Stop => return nodes,
            _ => 0,
        };
        let old = if !self.oracle.goes_on_removing(pool) {
            0
        } else if nodes > count {
            nodes - count
        } else {
            nodes
        };
        asked.max(old).min(nodes)
    }

    fn is_evicted(pod: &Pod, node: &Node, pool: &AgentPool, change: Option<&Change>) -> bool {
        let Some(change) = change else { return false };
        if matches!(change, Change::Delete | Change::Stop) {
            return false;
        }
        let taints = if let Change::Taints { to, .. } = change { to } else { &pool.taints };
        let new = taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute && !node.taints.contains(taint));
        let lost_label = match change {
            Change::Mode { .. } => pod.selects.contains("kubernetes.azure.com/mode"),
            Change::Labels { from, to } => pod.selects.iter().any(|key| from.get(key) != to.get(key)),
            _ => false,
        };
        new.into_iter().any(|taint| is_evicted(&pod.tolerations, taint))
            || (pod.owner == Owner::DaemonSet && lost_label)
    }

    /// Whether these outcomes together take more than may go of anything that the first one touches.
    fn is_too_much(&self, own: &Outcome<'a>, others: &[Outcome<'a>]) -> bool {
        let alone = own.gone.iter().chain(&own.drained).filter(|pod| counts(pod));
        let touched: Vec<&Pod> = alone.copied().collect();
        if touched.iter().any(|pod| self.may_never_go(pod)) {
            return true;
        }
        let all = || std::iter::once(own).chain(others);
        let broken = |budget: &&Budget| {
            let guarded = |pod: &&&Pod| counts(pod) && Self::guards(budget, pod) && !excuses(budget, pod);
            let gone: usize = all().map(|outcome| outcome.gone.iter().filter(guarded).count()).sum();
            let drained = all().filter(|outcome| outcome.drained.iter().any(|pod| guarded(&pod))).count();
            let concerned = touched.iter().any(|pod| guarded(&pod));
            let allowed = usize::try_from(budget.status.allowed).unwrap_or(0);
            concerned && (gone + drained > allowed || is_unknown(budget))
        };
        self.budgets.iter().any(|budget| broken(&budget)) || self.is_workload_lost(&touched, own, others)
    }

    /// More than one budget, or one that nobody can read.
    fn may_never_go(&self, pod: &Pod) -> bool {
        let here = self.budgets.iter().filter(|budget| *budget.namespace == *pod.namespace);
        here.clone().filter(|budget| Self::guards(budget, pod)).count() > 1
            || here.into_iter().any(|budget| budget.selector.is_none())
    }

    /// Two pods of one workload that no budget guards.
    fn is_workload_lost(&self, touched: &[&Pod], own: &Outcome<'a>, others: &[Outcome<'a>]) -> bool {
        let bare = |pod: &&&Pod| counts(pod) && !self.budgets.iter().any(|budget| Self::guards(budget, pod));
        let mut workloads: BTreeSet<(String, String)> =
            touched.iter().filter(bare).filter_map(|pod| workload(pod)).collect();
        workloads.retain(|name| {
            let same = |pod: &&&Pod| bare(pod) && workload(pod).as_ref() == Some(name);
            let lost =
                |outcome: &Outcome<'a>| outcome.gone.iter().chain(&outcome.drained_together).filter(same).count();
            std::iter::once(own).chain(others).map(lost).sum::<usize>() > 1
        });
        !workloads.is_empty()
    }

    fn guards(budget: &Budget, pod: &Pod) -> bool {
        let Some(Selector::All(requirements)) = &budget.selector else { return false };
        let fits = |key: &str, test: &Test| match (pod.labels.get(key), test) {
            (Some(value), Test::In(values)) => values.contains(value),
            (Some(value), Test::NotIn(values)) => !values.contains(value),
            (value, Test::Exists) => value.is_some(),
            (value, Test::DoesNotExist | Test::NotIn(_)) => value.is_none(),
            _ => false,
        };
        *budget.namespace == *pod.namespace
            && requirements.iter().all(|requirement| fits(&requirement.key, &requirement.test))
    }
}

fn workload(pod: &Pod) -> Option<(String, String)> {
    pod.controller.as_ref().map(|controller| (pod.namespace.to_string(), controller.name.clone()))
}

/// "Pods already going", pending and finished ones count for nobody.
fn counts(pod: &Pod) -> bool {
    !pod.deleting && matches!(pod.phase, Phase::Running | Phase::Unknown)
}

/// Whether the budget does not need a pod that is not Ready.
fn excuses(budget: &Budget, pod: &Pod) -> bool {
    let fulfilled = budget.status.desired > 0 && budget.status.healthy >= budget.status.desired;
    let current = budget.generation <= budget.status.observed_generation;
    !pod.ready && (budget.unhealthy == UnhealthyPods::AlwaysAllow || (fulfilled && current))
}

fn is_unknown(budget: &Budget) -> bool {
    budget.generation > budget.status.observed_generation
        || budget.status.allowed < 0
        || budget.status.unconfirmed > 2000
}

/// Every combination of one outcome each.
fn combinations<'a>(each: &[Vec<Outcome<'a>>]) -> Vec<Vec<Outcome<'a>>> {
    each.iter().fold(vec![vec![]], |all, outcomes| {
        let extend = |chosen: Vec<Outcome<'a>>| {
            outcomes.iter().map(move |outcome| [chosen.clone(), vec![outcome.clone()]].concat()).collect::<Vec<_>>()
        };
        all.into_iter().flat_map(extend).collect()
    })
}

/// Whether the step may go wrong in some way.
fn may_take_too_much(snapshot: &Snapshot, step: &Step) -> bool {
    let world = World::new(snapshot);
    let own = world.outcomes(world.cluster.pool(&step.pool).unwrap(), Some(&step.change));
    let others: Vec<Vec<Outcome<'_>>> = world
        .cluster
        .pools
        .iter()
        .filter(|pool| pool.name != step.pool)
        .map(|pool| {
            let write = world.in_flight.iter().find(|write| write.pool == pool.name);
            world.outcomes(pool, write.map(|write| &write.change))
        })
        .filter(|outcomes| outcomes.iter().any(|outcome| !outcome.gone.is_empty() || !outcome.drained.is_empty()))
        .collect();
    let combined = combinations(&others);
    own.iter().any(|own| combined.iter().any(|others| world.is_too_much(own, others)))
}

/// The case, with half of the pods on the step's pool, and few enough outcomes to try them all: one write in flight and
/// one foreign operation.
fn tractable((mut snapshot, step): (Snapshot, Step)) -> (Snapshot, Step) {
    let nodes = snapshot.nodes.value().unwrap().iter().filter(|node| node.pool.as_deref() == Some(step.pool.as_str()));
    let names: Vec<String> = nodes.map(|node| node.name.clone()).collect();
    let mut pods = snapshot.pods.value().unwrap().clone();
    for (pod, name) in pods.iter_mut().step_by(2).zip(names.iter().cycle()) {
        pod.node = Some(name.as_str().into());
    }
    snapshot.pods = Known::seen(NOW, pods);
    let mut pools = vec![step.pool.clone()];
    snapshot.in_flight.retain(|write| {
        let new = !pools.contains(&write.step.pool);
        pools.push(write.step.pool.clone());
        new
    });
    snapshot.in_flight.truncate(1);
    let mut cluster = snapshot.cluster.value().unwrap().clone();
    let mut busy = 0;
    for pool in &mut cluster.pools {
        busy += usize::from(matches!(pool.state, ProvisioningState::Busy(_)));
        if busy > 1 {
            pool.state = ProvisioningState::Succeeded;
        }
    }
    snapshot.cluster = Known::seen(NOW, cluster);
    (snapshot, step)
}

fn is_blocked(refusal: &Refusal) -> bool {
    refusal.broken.iter().any(|broken| broken.rule == Rule::DisruptionBudgetBlocks)
}

proptest! {
    #![proptest_config(cases(1200))]

    #[test]
    fn the_rule_refuses_exactly_what_may_take_too_much(case in cluster_and_step().prop_map(tractable)) {
        let (snapshot, step) = case;
        let blocked = guard(step.clone(), &snapshot, &Settings::default()).is_err_and(|refusal| is_blocked(&refusal));
        prop_assert_eq!(blocked, may_take_too_much(&snapshot, &step), "{}", step);
    }

    #[test]
    fn a_budget_that_says_less_never_approves_more((snapshot, step) in cluster_and_step(), how in 0..4_u8) {
        let mut budgets = snapshot.budgets.value().unwrap().clone();
        for budget in &mut budgets {
            match how {
                0 => budget.status = nodepool_kernel::BudgetStatus::default(),
                1 => budget.generation += 1,
                2 => budget.selector = None,
                _ => budget.status.allowed = 0,
            }
        }
        let degraded = Snapshot { budgets: Known::seen(NOW, budgets), ..snapshot.clone() };
        if guard(step.clone(), &snapshot, &Settings::default()).is_err() {
            prop_assert!(guard(step, &degraded, &Settings::default()).is_err());
        }
    }

    #[test]
    fn what_would_break_a_budget_would_evict_a_protected_pod((snapshot, step) in cluster_and_step()) {
        // An upgrade is permitted by the policy, and judged by the budgets all the same.
        let permitted = step.change.upgrades();
        if let Err(refusal) = guard(step, &snapshot, &Settings::default()) && is_blocked(&refusal) && !permitted {
            let evicts = refusal.broken.iter().find(|broken| broken.rule == Rule::SystemPodsWouldBeEvicted);
            let blocks = refusal.broken.iter().find(|broken| broken.rule == Rule::DisruptionBudgetBlocks).unwrap();
            prop_assert!(evicts.is_some_and(|evicts| blocks.pods.iter().all(|pod| evicts.pods.contains(pod))));
        }
    }
}

/// The first property means something only if there is enough of both.
#[test]
fn budgets_are_kept_and_broken() {
    let mut runner = TestRunner::new_with_rng(cases(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut too_much, mut kept) = (0, 0);
    for _ in 0..3000 {
        let (snapshot, step) = tractable(cluster_and_step().new_tree(&mut runner).unwrap().current());
        let victims = Oracle::new(&snapshot).victims(&step);
        let guarded = victims.iter().any(|pod| !snapshot.budgets.value().unwrap().is_empty() && counts(pod));
        match may_take_too_much(&snapshot, &step) {
            true => too_much += 1,
            false if guarded => kept += 1,
            false => {}
        }
    }
    assert!(too_much > 60 && kept > 60, "{too_much} take too much, {kept} take no more than allowed");
}
