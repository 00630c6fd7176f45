//! Protected pods as the kernel needs them. Never holds what no rule reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::placement::Labels;
use crate::taint::{Taint, Toleration};
use crate::time::Time;

/// A protected pod: one in a protected namespace that is neither finished nor a static mirror pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `spec.nodeName`; `None` while it is pending.
    pub node: Option<Arc<str>>,
    /// Who controls the pod.
    pub owner: Owner,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.tolerations`. Pods of one workload have the same, so that they can share them, as the next two.
    pub tolerations: Arc<Vec<Toleration>>,
    /// Keys of node labels that its node selector or required node affinity reads.
    pub selects: Arc<BTreeSet<String>>,
    /// `metadata.labels`.
    pub labels: Arc<Labels>,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether its Ready condition is `True`.
    pub ready: bool,
    /// Whom it belongs to, shared by all of its pods; `None` if nothing controls it.
    pub controller: Option<Arc<Controller>>,
    /// `metadata.creationTimestamp`.
    pub created: Time,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted; its containers have not all been started.
    Pending,
    /// Started.
    Running,
    /// All its containers have ended for good (`Succeeded` or `Failed`).
    Finished,
    /// A phase that is not known, or none.
    Unknown,
}

/// The owner for whose sake pods exist: the controller of a pod, or the Deployment of a ReplicaSet that controls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// The kind, for example `Deployment`.
    pub kind: String,
    /// The name; the namespace is the pod's.
    pub name: String,
}

/// Who controls a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A DaemonSet: the pod goes with its node and needs no other place.
    DaemonSet,
    /// Anything else, or nothing.
    Other,
}

impl Pod {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        [&*self.namespace, "/", &*self.name].concat()
    }

    /// Whether the pod would keep running for good on a node that carries `taint`.
    ///
    /// The first toleration that matches decides, as for the taint manager (upstream `GetMatchingTolerations` in
    /// `pkg/apis/core/v1/helper/helpers.go`).
    #[must_use]
    pub fn stays_under(&self, taint: &Taint) -> bool {
        let first = self.tolerations.iter().find(|toleration| toleration.matches(taint));
        first.is_some_and(|toleration| toleration.stays_under(taint))
    }
}
