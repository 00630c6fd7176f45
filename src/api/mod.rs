//! The API as people see it: `NodePoolPolicy`, its schema and its status. Never talks to anything.

mod crd;
mod intent;
mod policy;
mod status;
mod template;

pub use crd::{crd_yaml, stored_as};
pub use intent::{intent, time};
pub use policy::{Enforcement, Mode, NodePoolPolicy, NodePoolPolicySpec, Taint, TaintEffect};
pub use status::{
    Attempt, Condition, ConditionStatus, DriftedField, HistoryEntry, NodePoolPolicyStatus, ObservedPool, Operation,
    PlannedSteps, RefusedStep, condition, outcome,
};
pub use template::PoolTemplate;
