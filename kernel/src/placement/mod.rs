//! Whether pods find a place, by the kube-scheduler's own filter rules, and if not, why not. Pure: it never scores, never
//! preempts, and never takes what it does not know for a fit.
//!
//! A [`World`] holds nodes and what runs on them. [`World::feasible`] names the nodes that the scheduler's filters would
//! leave for one pod; [`place`] asks this for many pods, one after the other, each added to the world before the next.
//!
//! The rules are those of Kubernetes 1.35, `pkg/scheduler/framework/plugins`; each file names the functions that it
//! follows. Preemption is left out, so that a pod never counts as placed at another's expense.

mod filter;
mod labels;
mod node;
mod node_affinity;
mod place;
mod pod;
mod pod_affinity;
mod ports;
mod reason;
mod residents;
mod resources;
mod spread;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod volumes;
mod world;

pub use labels::{Labels, Requirement, Selector, Test};
pub use node::Node;
pub use node_affinity::{NameTest, NodeTerm};
pub use place::{place, place_after, placeable};
pub use pod::{Obstacle, Pod};
pub use pod_affinity::{Namespaces, PodTerm};
pub use ports::HostPort;
pub use reason::{Misfit, Unplaceable};
pub use resources::{Amount, Resources};
pub use spread::Spread;
pub use volumes::{Claim, Drivers, Volume, zone_labels};
pub use world::{Listing, World};
