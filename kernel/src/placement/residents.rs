//! Which pods run on which nodes, by namespace and labels: pods of one workload have the same, so that a selector looks at them
//! once. Never knows what the nodes are or what is used on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use super::labels::Labels;
use super::pod::Pod;

/// A pod on a node.
#[derive(Debug, Clone)]
pub(super) struct Resident {
    pub(super) pod: Arc<Pod>,
    /// The number of its node's site.
    pub(super) site: usize,
}

/// The pods of one namespace by their labels.
type Alike = BTreeMap<Labels, Vec<Resident>>;

/// All listed pods. A copy shares them with what it is a copy of, and keeps aside what comes and goes afterwards: there may
/// be tens of thousands, of which a search moves some hundred.
#[derive(Debug, Clone, Default)]
pub(super) struct Residents {
    shared: Arc<BTreeMap<String, Alike>>,
    /// Those of the shared ones that are gone, by site.
    gone: HashMap<usize, Vec<Arc<Pod>>>,
    /// Those that are not shared.
    added: Vec<Resident>,
}

impl Residents {
    pub(super) fn add(&mut self, resident: Resident) {
        match Arc::get_mut(&mut self.shared).filter(|_| self.gone.is_empty()) {
            Some(own) => {
                let alike = own.entry(resident.pod.namespace.clone()).or_default();
                match alike.get_mut(&resident.pod.labels) {
                    Some(residents) => residents.push(resident),
                    None => drop(alike.insert(resident.pod.labels.clone(), vec![resident])),
                }
            }
            None => self.added.push(resident),
        }
    }

    /// Takes those away of these namespaces that go, and tells which.
    pub(super) fn remove(&mut self, namespaces: &BTreeSet<&str>, goes: impl Fn(&Resident) -> bool) -> Vec<Resident> {
        let of_namespaces = namespaces.iter().filter_map(|namespace| self.shared.get(*namespace));
        let listed = of_namespaces.flat_map(BTreeMap::values).flatten();
        let mut taken: Vec<Resident> =
            listed.filter(|resident| goes(resident) && !self.is_gone(resident)).cloned().collect();
        for resident in &taken {
            self.gone.entry(resident.site).or_default().push(Arc::clone(&resident.pod));
        }
        taken.extend(self.added.extract_if(.., |resident| goes(resident)));
        taken
    }

    fn is_gone(&self, resident: &Resident) -> bool {
        let gone = self.gone.get(&resident.site);
        gone.is_some_and(|gone| gone.iter().any(|pod| Arc::ptr_eq(pod, &resident.pod)))
    }

    /// The pods of a namespace whose labels pass.
    pub(super) fn with(
        &self,
        namespace: &str,
        pass: impl Fn(&Labels) -> bool + Copy,
    ) -> impl Iterator<Item = &Resident> {
        let alike = self.shared.get(namespace).into_iter().flatten().filter(move |(labels, _)| pass(labels));
        let shared = alike.flat_map(|(_, residents)| residents).filter(|resident| !self.is_gone(resident));
        let is_meant = move |resident: &&Resident| resident.pod.namespace == namespace && pass(&resident.pod.labels);
        shared.chain(self.added.iter().filter(is_meant))
    }

    /// The namespaces in which pods are listed, each once.
    pub(super) fn namespaces(&self) -> BTreeSet<&str> {
        let added = self.added.iter().map(|resident| resident.pod.namespace.as_str());
        self.shared.keys().map(String::as_str).chain(added).collect()
    }
}
