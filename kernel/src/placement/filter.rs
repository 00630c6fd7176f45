//! The filters of the scheduler put together: on which nodes one pod could be placed. Never changes the world.

use super::node::Node;
use super::pod::{Obstacle, Pod};
use super::pod_affinity::AffinityFilter;
use super::reason::{Misfit, Unplaceable};
use super::spread::SpreadFilter;
use super::volumes;
use super::world::{Bar, Site, World};
use crate::taint::{Taint, TaintEffect};

/// The taint for which a pod needs a toleration to be placed on a cordoned node (upstream `TaintNodeUnschedulable`).
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

impl World {
    /// The names of the nodes on which the scheduler could place the pod now, sorted.
    ///
    /// # Errors
    /// When there is none: why not, by the first filter that each node fails.
    pub fn feasible(&self, pod: &Pod) -> Result<Vec<&str>, Unplaceable> {
        self.feasible_sites(pod).map(|sites| sites.into_iter().map(|(_, site)| site.node.name.as_str()).collect())
    }

    /// The same with their numbers.
    pub(super) fn feasible_sites(&self, pod: &Pod) -> Result<Vec<(usize, &Site)>, Unplaceable> {
        let filter = Filter::new(self, pod).map_err(|obstacles| Unplaceable::blocked(pod, obstacles))?;
        let mut feasible = Vec::new();
        let mut misfits = Vec::new();
        let sites = self.sites().map(|(number, site)| (number, site, self.bar_at(number)));
        for (number, site, bar) in sites.filter(|(_, _, bar)| *bar != Some(&Bar::OutOfQuestion)) {
            match filter.misfit(site, bar) {
                None => feasible.push((number, site)),
                Some(misfit) => misfits.push(misfit),
            }
        }
        if feasible.is_empty() { Err(Unplaceable::nowhere(pod, misfits)) } else { Ok(feasible) }
    }

    /// The node of that number, if the scheduler could place the pod there now.
    pub(super) fn feasible_site(&self, number: usize, pod: &Pod) -> Option<&Site> {
        let (site, bar) = (self.site(number)?, self.bar_at(number));
        let fits = |filter: Filter<'_>| bar != Some(&Bar::OutOfQuestion) && filter.misfit(site, bar).is_none();
        Filter::new(self, pod).is_ok_and(fits).then_some(site)
    }
}

/// What is worked out once for a pod.
struct Filter<'a> {
    world: &'a World,
    pod: &'a Pod,
    tolerates_cordon: bool,
    spread: SpreadFilter<'a>,
    affinity: AffinityFilter<'a>,
}

impl<'a> Filter<'a> {
    fn new(world: &'a World, pod: &'a Pod) -> Result<Self, Vec<Obstacle>> {
        let mut obstacles = pod.obstacles.clone();
        obstacles.extend(unlisted_use(world, pod));
        match AffinityFilter::new(world, pod) {
            Ok(affinity) if obstacles.is_empty() => {
                let cordon = Taint::new(UNSCHEDULABLE, "", TaintEffect::NoSchedule);
                let tolerates_cordon = pod.tolerations.iter().any(|toleration| toleration.matches(&cordon));
                Ok(Self { world, pod, tolerates_cordon, spread: SpreadFilter::new(world, pod), affinity })
            }
            affinity => {
                obstacles.extend(affinity.err());
                Err(obstacles)
            }
        }
    }

    /// Why the pod can't be placed there: the first filter that fails, in the scheduler's default order.
    fn misfit(&self, site: &Site, bar: Option<&Bar>) -> Option<Misfit> {
        let (pod, node) = (self.pod, &*site.node);
        self.availability(site, bar)
            .or_else(|| untolerated(pod, node).map(|taint| Misfit::Taint(taint.clone())))
            .or_else(|| (!pod.selects(node)).then_some(Misfit::NotSelected))
            .or_else(|| room(pod, site))
            .or_else(|| volumes::misfit(self.world, site, pod))
            .or_else(|| self.spread.misfit(node))
            .or_else(|| self.affinity.misfit(node))
    }

    /// Upstream `nodeunschedulable` and `nodename`, and what the caller says of the node.
    fn availability(&self, site: &Site, bar: Option<&Bar>) -> Option<Misfit> {
        let node = &*site.node;
        if let Some(reason) = &node.unavailable {
            Some(Misfit::Unavailable(reason.clone()))
        } else if let Some(Bar::Because(reason)) = bar {
            Some(Misfit::Unavailable(reason.to_string()))
        } else if !node.all_pods_listed {
            Some(Misfit::PodsUnknown)
        } else if node.unschedulable && !self.tolerates_cordon {
            Some(Misfit::Cordoned)
        } else if self.pod.node_name.as_ref().is_some_and(|name| *name != node.name) {
            Some(Misfit::NotNamed)
        } else {
            None
        }
    }
}

/// A claim that only one pod may use, when pods that may use it are not listed.
fn unlisted_use(world: &World, pod: &Pod) -> Option<Obstacle> {
    let claim = pod.claims.iter().find(|claim| claim.exclusive)?;
    if world.listing().namespaces.contains(&pod.namespace) || world.partly_listed().next().is_none() {
        return None;
    }
    Some(Obstacle::Claim { name: claim.name.clone(), problem: "may be in use by a pod that is not known".to_owned() })
}

/// The first taint that keeps the pod away (upstream `tainttoleration` `FindMatchingUntoleratedTaint`).
pub(super) fn untolerated<'a>(pod: &Pod, node: &'a Node) -> Option<&'a Taint> {
    let keeps_away = |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule;
    let tolerated = |taint: &&Taint| pod.tolerations.iter().any(|toleration| toleration.matches(taint));
    node.taints.iter().filter(keeps_away).find(|taint| !tolerated(taint))
}

/// Upstream `nodeports` `fitsPorts` and `noderesources` `fitsRequest`.
fn room(pod: &Pod, site: &Site) -> Option<Misfit> {
    let taken = |port: &&super::HostPort| site.ports.iter().any(|taken| taken.conflicts(port));
    if let Some(port) = pod.ports.iter().find(taken) {
        return Some(Misfit::HostPort(port.clone()));
    }
    if site.pods.saturating_add(1) > site.node.max_pods {
        return Some(Misfit::TooManyPods);
    }
    let short = pod.requests.shortfall(&site.node.allocatable, &site.used)?;
    Some(Misfit::Lacks { resource: short.resource, wants: short.wants, free: short.free })
}
