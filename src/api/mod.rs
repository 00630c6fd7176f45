//! The API as people see it: `NodePoolPolicy`, its schema and its status. Never talks to anything.

mod crd;
mod deletion;
mod intent;
mod policy;
mod status;
mod template;

pub use crd::{crd_yaml, stored_as};
pub use deletion::{ALLOW_WORKLOAD_LOSS, FINALIZER, is_held, is_to_be_held};
pub use intent::{intent, time};
pub use policy::{
    Autoscaling, DeletionPolicy, Enforcement, Mode, NodePoolPolicy, NodePoolPolicySpec, Taint, TaintEffect,
};
pub use status::{
    Attempt, Condition, ConditionStatus, DriftedField, HistoryEntry, NodePoolPolicyStatus, ObservedPool, Operation,
    PlannedSteps, RefusedStep, condition, outcome,
};
pub use template::PoolTemplate;
