//! Development only: a real Kubernetes control plane, the AKS emulator and the operator, started together; never part
//! of what is released.
//!
//! Every executable that uses it calls [`supervise::run_if_asked`] before anything else.

pub mod assets;
pub mod audit;
pub mod azure;
pub mod bed;
pub mod cluster;
mod container;
pub mod control_plane;
pub mod door;
pub mod helm;
pub mod image;
pub mod manifests;
pub mod operator;
pub mod pod;
pub mod probe;
pub mod supervise;
pub mod wait;

pub use audit::Audit;
pub use bed::{KubeSystem, Lane, Lanes, Testbed};
pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use door::{Door, Match};
pub use helm::Helm;
pub use image::Image;
pub use operator::{OPERATOR_USER, Operator, OperatorOptions};
pub use probe::probe;
pub use wait::wait_for;
