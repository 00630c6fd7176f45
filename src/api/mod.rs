//! The API as people see it: `NodePoolPolicy`, its schema and its status. Never talks to anything.

mod crd;
mod deletion;
mod intent;
mod mark;
mod policy;
mod requested;
mod status;
mod template;
mod upgrade;

pub use crd::{crd_yaml, stored_as};
pub use deletion::{ALLOW_WORKLOAD_LOSS, FINALIZER, is_held, is_to_be_held};
pub use intent::{intent, time};
pub use mark::{DRAIN_ANNOTATION, drain_annotation, drain_mark};
pub use policy::{
    Autoscaling, DeletionPolicy, Disruption, Enforcement, Mode, NodePoolPolicy, NodePoolPolicySpec, SystemPods, Taint,
    TaintEffect,
};
pub use requested::{REQUESTED_AT, is_look_due, requested_at};
pub use status::{
    Attempt, Condition, ConditionStatus, DriftedField, HistoryEntry, NodePoolPolicyStatus, ObservedPool, Operation,
    PlannedSteps, RefusedStep, condition, outcome,
};
pub use template::PoolTemplate;
