//! Where pods could run: all nodes, all pods and what their places depend on, read when a step needs it. Never keeps whole
//! objects, and never half of a list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1 as core;
use kube::{Api, ResourceExt};
use nodepool_kernel::placement::{Labels, Listing, Node, Obstacle, Pod, World};
use nodepool_kernel::{Known, Places};
use tokio::time::Instant;

use super::Observer;
use super::part::Part;
use super::scheduling::{self, Storage, resident, respawned};
use crate::clock::now;
use crate::denied::in_words;

/// A share of the time that may go into reading places again and again, as long as a step is refused: one part in so many.
const SHARE: u32 = 20;

/// Places as they were read, for a while.
pub(super) struct Kept {
    of: BTreeSet<String>,
    places: Known<Arc<Places>>,
    until: Instant,
    /// Whether they have been used again since they were read.
    used_again: bool,
}

impl Observer {
    /// Where these pods could run (`namespace/name`). What was read is used again for `at_least` that long; longer in
    /// clusters that take long to read.
    pub async fn places(&self, pods: &BTreeSet<String>, at_least: Duration) -> Known<Arc<Places>> {
        let kept = |kept: &&mut Kept| kept.until > Instant::now() && kept.of.is_superset(pods);
        if let Some(kept) = self.kept().as_mut().filter(kept) {
            kept.used_again = true;
            return kept.places.clone();
        }
        let began = Instant::now();
        let places = self.places_now(pods).await;
        let until = Instant::now() + at_least.max(began.elapsed().saturating_mul(SHARE));
        *self.kept() = Some(Kept { of: pods.clone(), places: places.clone(), until, used_again: false });
        places
    }

    /// Where these pods could run, read now.
    pub async fn places_now(&self, pods: &BTreeSet<String>) -> Known<Arc<Places>> {
        let at = now();
        match self.read_places(pods).await {
            Ok(places) => Known::seen(at, Arc::new(places)),
            Err(error) => Known::unknown(in_words(&error)),
        }
    }

    /// Forgets what was read of places: no step needs it.
    pub fn forget_places(&self) {
        *self.kept() = None;
    }

    /// When places are read again, if a decision rests on what was read before.
    pub fn places_due(&self) -> Option<Instant> {
        self.kept().as_ref().filter(|kept| kept.used_again).map(|kept| kept.until)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        self.kept_places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_places(&self, wanted: &BTreeSet<String>) -> kube::Result<Places> {
        let mut storage = Storage::default();
        let mut read = self.read_with(wanted, &storage).await?;
        let has_volumes = |pod: &core::Pod| {
            resident(pod, &storage).is_some_and(|(_, pod)| !pod.claims.is_empty() || pod.untraced_volumes > 0)
        };
        if read.wanted.iter().any(has_volumes) {
            storage = self.storage().await?.0;
            read = self.read_with(wanted, &storage).await?;
        }
        let mut pods = BTreeMap::new();
        let mut workloads = BTreeMap::new();
        for pod in &read.wanted {
            let owner = Owner::of(pod);
            if !workloads.contains_key(&owner) {
                workloads.insert(owner.clone(), self.workload(&owner).await?);
            }
            if let (Some(workload), Some(pod)) = (workloads.get(&owner), resident(pod, &storage).map(|_| pod)) {
                pods.insert(full_name(pod), workload.starts(pod, &storage));
            }
        }
        Ok(Places { world: read.world, pods })
    }

    /// All nodes, and all pods on them.
    async fn read_with(&self, wanted: &BTreeSet<String>, storage: &Storage) -> kube::Result<Read> {
        let node = |node: Part<core::Node>| Some(scheduling::node(&node.whole(), storage, true));
        let nodes = self.parts(node).await?;
        let labels = |namespace: core::Namespace| Some((namespace.name_any(), namespace.labels().clone()));
        let namespaces = self.listed(labels).await?;
        let mut crowd = Crowd::new(nodes, namespaces.into_iter().collect());
        let whole = self.parts(|pod| crowd.take(pod.whole(), wanted, storage)).await?;
        Ok(Read { wanted: whole, world: crowd.world })
    }

    async fn workload(&self, owner: &Owner) -> kube::Result<Workload> {
        let client = self.client.clone();
        Ok(match owner {
            Owner::Nobody => Workload::Nobody,
            Owner::ReplicaSet { namespace, name } => {
                let found = Api::<ReplicaSet>::namespaced(client, namespace).get_opt(name).await?;
                let template = found.and_then(|found| found.spec).and_then(|spec| spec.template);
                template.map_or_else(|| Workload::gone("ReplicaSet", name), |it| Workload::Template(Box::new(it)))
            }
            Owner::StatefulSet { namespace, name } => {
                match Api::<StatefulSet>::namespaced(client, namespace).get_opt(name).await? {
                    Some(found) => Workload::Revisions(found.status.map(|status| {
                        (status.current_revision.unwrap_or_default(), status.update_revision.unwrap_or_default())
                    })),
                    None => Workload::gone("StatefulSet", name),
                }
            }
            Owner::DaemonSet => Workload::Same,
            Owner::Other { kind, name } => Workload::NotModelled(format!("how its {kind} {name} starts it again")),
        })
    }
}

/// What was read in one go.
struct Read {
    /// The pods that places are asked for.
    wanted: Vec<core::Pod>,
    world: World,
}

/// A world that is being filled. There may be tens of thousands of pods: of those that are not asked for only what counts
/// for others is kept, once for all that are alike.
struct Crowd {
    world: World,
    alike: BTreeMap<(String, Labels), Vec<Arc<Pod>>>,
}

impl Crowd {
    fn new(nodes: Vec<Node>, namespaces: BTreeMap<String, Labels>) -> Self {
        Self { world: World::new(nodes, Some(namespaces), Listing::default()), alike: BTreeMap::new() }
    }

    /// Adds the pod to the world if it is on a node; the whole of it if it is wanted.
    fn take(&mut self, pod: core::Pod, wanted: &BTreeSet<String>, storage: &Storage) -> Option<core::Pod> {
        let is_wanted = wanted.contains(&full_name(&pod));
        if let Some((Some(node), resident)) = resident(&pod, storage) {
            let named = is_wanted || !resident.anti_affinity.is_empty();
            let resident = at_rest(resident, named);
            let resident = if named { Arc::new(resident) } else { self.share(resident) };
            self.world.add(&node, resident);
        }
        is_wanted.then_some(pod)
    }

    fn share(&mut self, pod: Pod) -> Arc<Pod> {
        let alike = self.alike.entry((pod.namespace.clone(), pod.labels.clone())).or_default();
        if let Some(known) = alike.iter().find(|known| ***known == pod) {
            return Arc::clone(known);
        }
        let pod = Arc::new(pod);
        alike.push(Arc::clone(&pod));
        pod
    }
}

/// What a pod that runs means for others.
fn at_rest(pod: Pod, named: bool) -> Pod {
    let Pod { namespace, name, labels, deleting, requests, anti_affinity, ports, claims, untraced_volumes, .. } = pod;
    let name = if named { name } else { String::new() };
    Pod {
        namespace,
        name,
        labels,
        deleting,
        requests,
        anti_affinity,
        ports,
        claims,
        untraced_volumes,
        ..Pod::default()
    }
}

fn full_name(pod: &core::Pod) -> String {
    format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), pod.name_any())
}

/// Who starts a pod again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Nobody,
    ReplicaSet { namespace: String, name: String },
    StatefulSet { namespace: String, name: String },
    DaemonSet,
    Other { kind: String, name: String },
}

impl Owner {
    fn of(pod: &core::Pod) -> Self {
        let mut owners = pod.metadata.owner_references.iter().flatten();
        let Some(owner) = owners.find(|owner| owner.controller == Some(true)) else { return Self::Nobody };
        let (kind, name) = (owner.kind.clone(), owner.name.clone());
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        match (owner.api_version.as_str(), kind.as_str()) {
            ("apps/v1", "ReplicaSet") => Self::ReplicaSet { namespace, name },
            ("apps/v1", "StatefulSet") => Self::StatefulSet { namespace, name },
            ("apps/v1", "DaemonSet") => Self::DaemonSet,
            _ => Self::Other { kind, name },
        }
    }
}

/// How a pod is started again.
#[derive(Debug)]
enum Workload {
    /// From this template.
    Template(Box<core::PodTemplateSpec>),
    /// As it is, if its revision is both the current and the updated one of its `StatefulSet`.
    Revisions(Option<(String, String)>),
    /// As it is.
    Same,
    /// Not at all.
    Nobody,
    /// In a way that is not modelled, in words.
    NotModelled(String),
    /// By something that is not there, in words.
    Gone(String),
}

impl Workload {
    fn gone(kind: &str, name: &str) -> Self {
        Self::Gone(format!("its {kind} {name} does not exist"))
    }

    /// The pod in place of `pod`; one that waits for a node is placed as it is.
    fn starts(&self, pod: &core::Pod, storage: &Storage) -> Pod {
        let as_it_is = || resident(pod, storage).map(|(_, pod)| pod).unwrap_or_default();
        let with = |obstacle| {
            let mut pod = as_it_is();
            pod.obstacles.push(obstacle);
            pod
        };
        let runs = pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_ref().is_some_and(|node| !node.is_empty()));
        if !runs {
            return as_it_is();
        }
        match self {
            Self::Template(template) => respawned(pod, template, storage),
            Self::Same => as_it_is(),
            Self::Revisions(Some((current, update)))
                if current == update && pod.labels().get("controller-revision-hash") == Some(current) =>
            {
                as_it_is()
            }
            Self::Revisions(_) => with(Obstacle::NotModelled("the update of its StatefulSet".to_owned())),
            Self::Nobody => with(Obstacle::Unknown("nothing starts it again: it has no controller".to_owned())),
            Self::NotModelled(what) => with(Obstacle::NotModelled(what.clone())),
            Self::Gone(what) => with(Obstacle::Unknown(what.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
