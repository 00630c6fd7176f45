//! The operator: drives AKS node pools to what `NodePoolPolicy` objects ask for, and refuses what would take the
//! cluster down. This crate touches the world; what to do and whether it is safe is decided by `nodepool-kernel`.

pub mod act;
pub mod api;
pub mod arm;
mod causes;
mod clock;
mod denied;
pub mod health;
pub mod leadership;
pub mod listen;
pub mod metrics;
mod nested;
pub mod observe;
pub mod report;
pub mod run;
