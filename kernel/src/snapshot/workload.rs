//! Deployments of protected namespaces as the kernel needs them. Never holds what no rule reads.

use crate::time::Time;

/// A Deployment of a protected namespace: an add-on, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.replicas`.
    pub wished: u32,
    /// `status.readyReplicas`, or 0 while the status is behind the generation.
    pub ready: u32,
    /// `status.updatedReplicas`, or 0 while the status is behind the generation.
    pub updated: u32,
    /// Since when it has been seen running as wished, without a break; `None` while it is not.
    pub well_since: Option<Time>,
}

impl Workload {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it runs as wished: all of its pods are Ready and of the present template.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.ready >= self.wished && self.updated >= self.wished
    }
}
