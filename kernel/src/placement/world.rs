//! Nodes and the pods on them, kept so that one question costs time in proportion to nodes and pods. Never holds a pod
//! that is on no node.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::labels::Labels;
use super::node::Node;
use super::pod::Pod;
use super::ports::HostPort;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    sites: Vec<Site>,
    /// Where in `sites` a node is. A copy of the world has the same sites.
    index: Arc<BTreeMap<Arc<str>, usize>>,
    /// By namespace and labels: pods of one workload have the same, so that a selector looks at them once. A copy of the
    /// world shares the namespaces in which nothing changes.
    residents: BTreeMap<String, Arc<BTreeMap<Labels, Vec<Resident>>>>,
    repelling: Vec<Resident>,
    claims_in_use: BTreeMap<(String, String), usize>,
    namespaces: Option<Arc<BTreeMap<String, Labels>>>,
    listing: Listing,
}

/// A node and what is used on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) node: Arc<Node>,
    pub(super) barred: Option<Bar>,
    pub(super) used: Resources,
    pub(super) pods: Amount,
    pub(super) ports: Vec<HostPort>,
    /// Volumes that pods on it use, with the number of uses.
    pub(super) volumes: BTreeMap<Volume, usize>,
    pub(super) untraced_volumes: u64,
}

/// Why a node is no place for the pods that are asked about, although it stays and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bar {
    /// In words after "is".
    Because(Arc<str>),
    /// It is not worth a word.
    OutOfQuestion,
}

/// A pod on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) pod: Arc<Pod>,
    /// Index into the world's sites.
    pub(super) site: usize,
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
            sites: nodes.into_iter().map(Site::empty).collect(),
            index: Arc::new(index),
            residents: BTreeMap::new(),
            repelling: Vec::new(),
            claims_in_use: BTreeMap::new(),
            namespaces: namespaces.map(Arc::new),
            listing,
        }
    }

    /// Lets a pod run on the node of that name. A pod on a node that is not in the world counts for nothing, as it does
    /// for the scheduler.
    pub fn add(&mut self, node: &str, pod: impl Into<Arc<Pod>>) {
        let pod = pod.into();
        let Some(&site) = self.index.get(node) else { return };
        if let Some(site) = self.sites.get_mut(site) {
            site.take(&pod);
        }
        for claim in &pod.claims {
            *self.claims_in_use.entry((pod.namespace.clone(), claim.name.clone())).or_default() += 1;
        }
        let resident = Resident { pod, site };
        if !resident.pod.anti_affinity.is_empty() {
            self.repelling.push(resident.clone());
        }
        let namespace = Arc::make_mut(self.residents.entry(resident.pod.namespace.clone()).or_default());
        match namespace.get_mut(&resident.pod.labels) {
            Some(alike) => alike.push(resident),
            None => drop(namespace.insert(resident.pod.labels.clone(), vec![resident])),
        }
    }

    /// Takes the pod of that namespace and name away, and tells whether it was there.
    pub fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(Resident { pod, site }) = self.take_resident(namespace, name) else { return false };
        self.repelling.retain(|other| !(other.pod.namespace == namespace && other.pod.name == name));
        for claim in &pod.claims {
            release(&mut self.claims_in_use, &(pod.namespace.clone(), claim.name.clone()));
        }
        if let Some(site) = self.sites.get_mut(site) {
            site.give_back(&pod);
        }
        true
    }

    /// Takes the pods of these namespaces and names away.
    pub fn remove_all(&mut self, gone: &BTreeSet<(&str, &str)>) {
        if gone.is_empty() {
            return;
        }
        // Tens of thousands of residents are looked up, of which few have such a name.
        let names: HashSet<&str> = gone.iter().map(|(_, name)| *name).collect();
        let may_go = |name: &str| gone.len() < 8 || names.contains(name);
        let stays = |resident: &Resident| {
            let (namespace, name) = (resident.pod.namespace.as_str(), resident.pod.name.as_str());
            !may_go(name) || !gone.contains(&(namespace, name))
        };
        let mut taken = Vec::new();
        let namespaces: BTreeSet<&str> = gone.iter().map(|(namespace, _)| *namespace).collect();
        let concerned = self.residents.iter_mut().filter(|(namespace, _)| namespaces.contains(namespace.as_str()));
        for alike in concerned.flat_map(|(_, by_labels)| Arc::make_mut(by_labels).values_mut()) {
            taken.extend(alike.extract_if(.., |resident| !stays(resident)));
        }
        self.repelling.retain(stays);
        for Resident { pod, site } in taken {
            for claim in &pod.claims {
                release(&mut self.claims_in_use, &(pod.namespace.clone(), claim.name.clone()));
            }
            if let Some(site) = self.sites.get_mut(site) {
                site.give_back(&pod);
            }
        }
    }

    /// The world without these nodes and what runs on them.
    #[must_use]
    pub fn without(&self, gone: &BTreeSet<&str>) -> Self {
        let mut sites = Vec::with_capacity(self.sites.len());
        // Where each site is now; tens of thousands of residents ask.
        let mut numbers = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            let stays = !gone.contains(site.node.name.as_str());
            numbers.push(stays.then_some(sites.len()));
            sites.extend(stays.then(|| site.clone()));
        }
        let number = |site: usize| numbers.get(site).copied().flatten();
        let index = self.index.iter().filter_map(|(name, site)| Some((Arc::clone(name), number(*site)?)));
        let index = Arc::new(index.collect());
        let moved = |resident: &Resident| {
            let site = number(resident.site)?;
            Some(Resident { pod: Arc::clone(&resident.pod), site })
        };
        let mut residents = BTreeMap::new();
        let mut claims_in_use = self.claims_in_use.clone();
        for (namespace, by_labels) in &self.residents {
            let mut of_namespace = BTreeMap::new();
            for (labels, alike) in by_labels.iter() {
                let mut left = Vec::with_capacity(alike.len());
                for resident in alike {
                    if let Some(resident) = moved(resident) {
                        left.push(resident);
                        continue;
                    }
                    let pod = &resident.pod;
                    for claim in &pod.claims {
                        release(&mut claims_in_use, &(pod.namespace.clone(), claim.name.clone()));
                    }
                }
                of_namespace.insert(labels.clone(), left);
            }
            residents.insert(namespace.clone(), Arc::new(of_namespace));
        }
        let repelling = self.repelling.iter().filter_map(moved).collect();
        let (namespaces, listing) = (self.namespaces.clone(), self.listing.clone());
        Self { sites, index, residents, repelling, claims_in_use, namespaces, listing }
    }

    /// Changes the labels and taints of a node; it stays where it is under its name.
    pub fn edit(&mut self, node: &str, change: impl FnOnce(&mut Labels, &mut Vec<Taint>)) {
        if let Some(site) = self.site_mut(node) {
            let node = Arc::make_mut(&mut site.node);
            change(&mut node.labels, &mut node.taints);
        }
    }

    /// Lets nothing be placed on a node, although it stays and counts for spreading and affinity: why, in words after
    /// "is" ("not Ready"). The first reason holds.
    pub fn bar(&mut self, node: &str, reason: impl Into<Arc<str>>) {
        if let Some(site) = self.site_mut(node) {
            site.barred.get_or_insert_with(|| Bar::Because(reason.into()));
        }
    }

    /// As [`Self::bar`], for a node that nobody would look at, so that no reason names it.
    pub fn leave_out(&mut self, node: &str) {
        if let Some(site) = self.site_mut(node) {
            site.barred = Some(Bar::OutOfQuestion);
        }
    }

    fn site_mut(&mut self, node: &str) -> Option<&mut Site> {
        let site = *self.index.get(node)?;
        self.sites.get_mut(site)
    }

    fn take_resident(&mut self, namespace: &str, name: &str) -> Option<Resident> {
        Arc::make_mut(self.residents.get_mut(namespace)?).values_mut().find_map(|alike| {
            let position = alike.iter().position(|resident| resident.pod.name == name)?;
            Some(alike.swap_remove(position))
        })
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.sites.iter().map(|site| &*site.node)
    }

    pub(super) fn sites(&self) -> &[Site] {
        &self.sites
    }

    pub(super) fn site(&self, resident: &Resident) -> Option<&Site> {
        self.sites.get(resident.site)
    }

    /// The listed pods of a namespace whose labels pass.
    pub(super) fn residents_with(
        &self,
        namespace: &str,
        pass: impl Fn(&Labels) -> bool,
    ) -> impl Iterator<Item = &Resident> {
        let alike = self.residents.get(namespace).into_iter().flat_map(|by_labels| by_labels.iter());
        alike.filter(move |(labels, _)| pass(labels)).flat_map(|(_, residents)| residents)
    }

    /// The namespaces in which pods are listed.
    pub(super) fn inhabited(&self) -> impl Iterator<Item = &str> {
        self.residents.keys().map(String::as_str)
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
            barred: None,
            used: Resources::default(),
            pods: 0,
            ports: Vec::new(),
            volumes: BTreeMap::new(),
            untraced_volumes: 0,
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
