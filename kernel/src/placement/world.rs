//! Nodes and the pods on them, kept so that one question costs time in proportion to nodes and pods. Never holds a pod
//! that is on no node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::labels::Labels;
use super::node::Node;
use super::pod::Pod;
use super::ports::HostPort;
use super::residents::{Resident, Residents};
use super::resources::{Amount, Resources};
use super::volumes::Volume;
use crate::taint::Taint;

/// Which pods are listed in the world even where they run on nodes whose pods are not all listed
/// ([`Node::all_pods_listed`]). Without such a node it means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Namespaces of which every pod is listed.
    pub namespaces: BTreeSet<String>,
    /// Whether every pod with a required anti-affinity is listed.
    pub repelling: bool,
}

/// Nodes and what runs on them.
#[derive(Debug, Clone)]
pub struct World {
    /// By number; nothing where the node has been taken away. A copy of the world shares those that do not change.
    sites: Vec<Option<Arc<Site>>>,
    /// By number: why the node is no place, if it is none.
    bars: Vec<Option<Bar>>,
    /// The number of a node's site, also of one that has been taken away.
    index: Arc<BTreeMap<Arc<str>, usize>>,
    /// Those of nodes that have been taken away count for nothing.
    residents: Residents,
    repelling: Vec<Resident>,
    claims_in_use: BTreeMap<(String, String), usize>,
    namespaces: Option<Arc<BTreeMap<String, Labels>>>,
    listing: Listing,
}

/// A node and what is used on it.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) node: Arc<Node>,
    pub(super) used: Resources,
    pub(super) pods: Amount,
    pub(super) ports: Vec<HostPort>,
    /// Volumes that pods on it use, with the number of uses.
    pub(super) volumes: BTreeMap<Volume, usize>,
    pub(super) untraced_volumes: u64,
    /// Namespace and name of each claim that a pod on it uses, once for each use.
    claims: Vec<(String, String)>,
}

/// Why a node is no place for the pods that are asked about, although it stays and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bar {
    /// In words after "is".
    Because(Arc<str>),
    /// It is not worth a word.
    OutOfQuestion,
}

impl World {
    /// A world of nodes without pods.
    ///
    /// `namespaces` are the labels of all namespaces of the cluster, or `None` when they are unknown. Of two nodes with
    /// one name the first counts.
    #[must_use]
    pub fn new(nodes: Vec<Node>, namespaces: Option<BTreeMap<String, Labels>>, listing: Listing) -> Self {
        let mut nodes = nodes;
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        let index = nodes.iter().enumerate().map(|(index, node)| (Arc::from(node.name.as_str()), index)).collect();
        Self {
            bars: vec![None; nodes.len()],
            sites: nodes.into_iter().map(|node| Some(Arc::new(Site::empty(node)))).collect(),
            index: Arc::new(index),
            residents: Residents::default(),
            repelling: Vec::new(),
            claims_in_use: BTreeMap::new(),
            namespaces: namespaces.map(Arc::new),
            listing,
        }
    }

    /// Lets a pod run on the node of that name. A pod on a node that is not in the world counts for nothing, as it does
    /// for the scheduler.
    pub fn add(&mut self, node: &str, pod: impl Into<Arc<Pod>>) {
        if let Some(&number) = self.index.get(node) {
            self.add_at(number, pod.into());
        }
    }

    /// The same for the node of that number.
    pub(super) fn add_at(&mut self, number: usize, pod: Arc<Pod>) {
        let Some(site) = self.site_mut(number) else { return };
        site.take(&pod);
        for claim in &pod.claims {
            *self.claims_in_use.entry((pod.namespace.clone(), claim.name.clone())).or_default() += 1;
        }
        let resident = Resident { pod, site: number };
        if !resident.pod.anti_affinity.is_empty() {
            self.repelling.push(resident.clone());
        }
        self.residents.add(resident);
    }

    /// Takes the pods of these namespaces and names away from these nodes, and tells how many there were.
    pub fn remove(&mut self, gone: &BTreeSet<(&str, &str)>, nodes: &BTreeSet<&str>) -> usize {
        // Tens of thousands of residents are looked through, few of which are on these nodes.
        let mut concerned = vec![false; self.sites.len()];
        for number in nodes.iter().filter_map(|node| self.index.get(*node)) {
            if let (Some(is_concerned), Some(Some(_))) = (concerned.get_mut(*number), self.sites.get(*number)) {
                *is_concerned = true;
            }
        }
        if gone.is_empty() || !concerned.contains(&true) {
            return 0;
        }
        let goes = |resident: &Resident| {
            let is_on = concerned.get(resident.site) == Some(&true);
            is_on && gone.contains(&(resident.pod.namespace.as_str(), resident.pod.name.as_str()))
        };
        let namespaces = gone.iter().map(|(namespace, _)| *namespace).collect();
        let taken = self.residents.remove(&namespaces, goes);
        self.repelling.retain(|resident| !goes(resident));
        for Resident { pod, site } in &taken {
            for claim in &pod.claims {
                release(&mut self.claims_in_use, &(pod.namespace.clone(), claim.name.clone()));
            }
            if let Some(site) = self.site_mut(*site) {
                site.give_back(pod);
            }
        }
        taken.len()
    }

    /// The world without these nodes and what runs on them.
    #[must_use]
    pub fn without(&self, gone: &BTreeSet<&str>) -> Self {
        let mut world = self.clone();
        for number in gone.iter().filter_map(|node| self.index.get(*node)) {
            let site = world.sites.get_mut(*number).and_then(Option::take);
            for claim in site.iter().flat_map(|site| &site.claims) {
                release(&mut world.claims_in_use, claim);
            }
        }
        world
    }

    /// Changes the labels and taints of a node; it stays where it is under its name.
    pub fn edit(&mut self, node: &str, change: impl FnOnce(&mut Labels, &mut Vec<Taint>)) {
        let number = self.index.get(node).copied();
        if let Some(site) = number.and_then(|number| self.site_mut(number)) {
            let node = Arc::make_mut(&mut site.node);
            change(&mut node.labels, &mut node.taints);
        }
    }

    /// Lets nothing be placed on a node, although it stays and counts for spreading and affinity: why, in words after
    /// "is" ("not Ready"). The first reason holds.
    pub fn bar(&mut self, node: &str, reason: impl Into<Arc<str>>) {
        if let Some(number) = self.index.get(node) {
            self.bar_number(*number, reason);
        }
    }

    /// As [`Self::bar`], for the node of that number.
    pub fn bar_number(&mut self, number: usize, reason: impl Into<Arc<str>>) {
        if let Some(bar) = self.bars.get_mut(number) {
            bar.get_or_insert_with(|| Bar::Because(reason.into()));
        }
    }

    /// As [`Self::bar_number`], for a node that nobody would look at, so that no reason names it.
    pub fn leave_out(&mut self, number: usize) {
        if let Some(bar) = self.bars.get_mut(number) {
            *bar = Some(Bar::OutOfQuestion);
        }
    }

    fn site_mut(&mut self, number: usize) -> Option<&mut Site> {
        self.sites.get_mut(number)?.as_mut().map(Arc::make_mut)
    }

    /// The nodes by name, each with its number, which it keeps in every copy of the world.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.sites().map(|(number, site)| (number, &*site.node))
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.sites().map(|(_, site)| &*site.node)
    }

    /// The nodes with what is used on them, by name, each with its number.
    pub(super) fn sites(&self) -> impl Iterator<Item = (usize, &Site)> {
        self.sites.iter().enumerate().filter_map(|(number, site)| Some((number, site.as_deref()?)))
    }

    /// One more than the highest number of a node.
    pub(super) fn numbers(&self) -> usize {
        self.sites.len()
    }

    /// Why the node of that number is no place, if it is none.
    pub(super) fn bar_at(&self, number: usize) -> Option<&Bar> {
        self.bars.get(number)?.as_ref()
    }

    /// What a pod runs on; nothing if that has been taken away.
    pub(super) fn site_of(&self, resident: &Resident) -> Option<&Site> {
        self.site(resident.site)
    }

    /// The name of the node of that number; empty if it has been taken away.
    pub(super) fn name(&self, number: usize) -> &str {
        self.site(number).map_or("", |site| &site.node.name)
    }

    /// The node of that number; nothing if it has been taken away.
    pub(super) fn site(&self, number: usize) -> Option<&Site> {
        self.sites.get(number)?.as_deref()
    }

    /// The listed pods.
    pub(super) const fn residents(&self) -> &Residents {
        &self.residents
    }

    /// The listed pods with a required anti-affinity.
    pub(super) fn repelling(&self) -> &[Resident] {
        &self.repelling
    }

    pub(super) fn namespaces(&self) -> Option<&BTreeMap<String, Labels>> {
        self.namespaces.as_deref()
    }

    pub(super) const fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Whether a listed pod uses the claim.
    pub(super) fn uses(&self, namespace: &str, claim: &str) -> bool {
        self.claims_in_use.contains_key(&(namespace.to_owned(), claim.to_owned()))
    }

    /// The nodes on which pods may run that are not listed.
    pub(super) fn partly_listed(&self) -> impl Iterator<Item = &Node> {
        self.nodes().filter(|node| !node.all_pods_listed)
    }
}

impl Site {
    fn empty(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            used: Resources::default(),
            pods: 0,
            ports: Vec::new(),
            volumes: BTreeMap::new(),
            untraced_volumes: 0,
            claims: Vec::new(),
        }
    }

    fn take(&mut self, pod: &Pod) {
        self.used.add(&pod.requests);
        self.pods = self.pods.saturating_add(1);
        self.ports.extend(pod.ports.iter().cloned());
        for volume in pod.claims.iter().filter_map(|claim| claim.volume.as_ref()) {
            *self.volumes.entry(volume.clone()).or_default() += 1;
        }
        self.untraced_volumes = self.untraced_volumes.saturating_add(u64::from(pod.untraced_volumes));
        self.claims.extend(pod.claims.iter().map(|claim| (pod.namespace.clone(), claim.name.clone())));
    }

    fn give_back(&mut self, pod: &Pod) {
        self.used.subtract(&pod.requests);
        self.pods = self.pods.saturating_sub(1);
        for port in &pod.ports {
            if let Some(position) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(position);
            }
        }
        for volume in pod.claims.iter().filter_map(|claim| claim.volume.as_ref()) {
            release(&mut self.volumes, volume);
        }
        self.untraced_volumes = self.untraced_volumes.saturating_sub(u64::from(pod.untraced_volumes));
        for claim in &pod.claims {
            let is_it = |(namespace, name): &(String, String)| *namespace == pod.namespace && *name == claim.name;
            if let Some(position) = self.claims.iter().position(is_it) {
                self.claims.swap_remove(position);
            }
        }
    }
}

/// Counts one use less, and forgets what is no longer used.
fn release<K: Ord>(uses: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = uses.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            uses.remove(key);
        }
    }
}
