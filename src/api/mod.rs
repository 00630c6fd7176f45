//! The API as people see it: `NodePoolPolicy` and `NodePoolInventory`, their schemas and statuses. Never talks to anything.

mod break_glass;
mod bulk;
mod crd;
mod deletion;
mod fields;
mod intent;
mod inventory;
mod inventory_status;
mod mark;
mod node_config;
mod node_image;
mod policy;
mod requested;
mod status;
mod template;
mod upgrade;

pub use break_glass::{BREAK_GLASS, BreakGlassUse, Word, glass, glass_request, glass_word};
pub use bulk::{ALLOW_BULK_CHANGE, BulkChangeEntry, allows_bulk_change};
pub use crd::{Definition, crd_yaml, definitions};
pub use deletion::{ALLOW_WORKLOAD_LOSS, FINALIZER, is_held, is_to_be_held};
pub use fields::{fields_page, fields_stored_as};
pub use intent::{intent, time};
pub use inventory::{INVENTORY, NodePoolInventory, NodePoolInventorySpec};
pub use inventory_status::{
    AddOn, ClusterIdentity, Finding, FindingSeverity, Headroom, NodePoolInventoryStatus, PoolEntry, Summary,
    SystemHealth,
};
pub use mark::{DRAIN_ANNOTATION, drain_annotation, drain_mark};
pub use node_config::{KubeletConfig, LinuxOsConfig, Sysctls};
pub use node_image::{NodeImageUpgrade, UPGRADE_NODE_IMAGE, begin_image_upgrade, image_upgrade_kept};
pub use policy::{
    Autoscaling, DeletionPolicy, Disruption, Enforcement, Mode, NodePoolPolicy, NodePoolPolicySpec, PowerState,
    SystemPods, Taint, TaintEffect,
};
pub use requested::{REQUESTED_AT, is_look_due, requested_at};
pub use status::{
    Attempt, Condition, ConditionStatus, DriftedField, HistoryEntry, NodePoolPolicyStatus, ObservedPool, Operation,
    PlannedStep, PlannedSteps, RefusedStep, condition, outcome,
};
pub use template::PoolTemplate;
