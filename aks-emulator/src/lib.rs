//! A local AKS: the ARM `agentPools` API as it was recorded from the service, and the nodes behind it.
//!
//! [`Emulator::start`] serves one managed cluster on a loopback port. Its [`NodeSide`] says what becomes of the
//! machines: [`KubernetesNodes`] keeps real Node objects on a real API server, [`NoNodes`] only remembers them.
//! The crate never talks to Azure.

mod capacity;
mod clock;
mod emulator;
mod error;
mod faults;
mod http;
mod journal;
mod node_faults;
mod nodes;
mod rules;
mod service;
mod settings;
mod spec;

pub use capacity::Failure;
pub use emulator::{Emulator, Operations};
pub use error::Error;
pub use faults::{Action, Canned, Fault, ForeignRequest};
pub use journal::{Exchange, Journal};
pub use node_faults::{NodeFault, NodeTrouble};
pub use nodes::{
    Applied, ClusterSide, Deallocation, Instance, KubernetesNodes, NewInstance, NoNodes, NodeError, NodePool, NodeSide,
};
pub use rules::{Hold, Matcher};
pub use service::{Cluster, Pool, StaleClusters};
pub use settings::{Settings, Switches};
pub use spec::{ClusterSpec, PoolSpec};
