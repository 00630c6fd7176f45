//! A local AKS: the ARM `agentPools` API as it was recorded from the service, and the nodes behind it.
//!
//! [`Emulator::start`] serves one managed cluster on a loopback port. Its [`NodeSide`] says what becomes of the
//! machines: [`KubernetesNodes`] keeps real Node objects on a real API server, [`NoNodes`] only remembers them.
//! The crate never talks to Azure.

mod chaos;
mod clock;
mod description;
mod directory;
mod emulator;
mod error;
mod failures;
mod faults;
mod http;
mod journal;
mod keys;
mod manual;
mod node_faults;
mod nodes;
mod rules;
mod service;
mod settings;
mod spec;
mod tls;

pub use chaos::Chaos;
pub use directory::{Authentication, Denial, FederatedCredential, Identity, Permissions, Role};
pub use emulator::{Emulator, Operations};
pub use error::Error;
pub use failures::{OperationFailure, RequestFailure};
pub use faults::{Action, Canned, Fault, ForeignRequest};
pub use journal::{Exchange, Journal};
pub use keys::KeyError;
pub use manual::ManualClock;
pub use node_faults::{NodeFault, NodeTrouble};
pub use nodes::{
    Applied, ClusterSide, Deallocation, Instance, IssuerKeys, KubernetesNodes, Mark, NewInstance, NoNodes, NodeError,
    NodePool, NodeSide,
};
pub use rules::{Hold, Matcher};
pub use service::{Cluster, Pool, StaleClusters};
pub use settings::{Settings, Switches};
pub use spec::{ClusterSpec, PoolSpec};
pub use tls::Tls;
