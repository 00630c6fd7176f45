//! The safety kernel: what to change on the node pools of a cluster, and which of these changes may be made.
//!
//! Pure and total. It reads no clock, performs no IO, never panics, and refuses what it cannot see. Time, facts and
//! settings are passed in as values; steps and refusals come out as values.
//!
//! The way through is [`plan`] (what the policies ask for, as ordered steps), [`decide`] (which step may go now, which
//! waits) and [`guard`] (the verdict on one step). Only [`guard`] can make an [`Approved`] step.

mod bulk;
mod capacity;
mod deadline;
mod decide;
mod dependents;
mod displacement;
pub mod disruption;
mod drain;
mod facts;
mod guard;
mod health;
mod image;
mod impact;
mod intent;
mod keys;
mod known;
mod mutability;
mod names;
pub mod placement;
mod plan;
mod settings;
mod snapshot;
mod step;
mod taint;
mod template;
#[cfg(test)]
mod testing;
mod time;
mod upgrade;
mod version;
mod vm_size;

pub use bulk::{BulkChange, BulkKind};
pub use deadline::deadline;
pub use decide::{GivenUp, Verdict, decide, given_up};
pub use dependents::{Census, Site, Tenancy, Tenant};
pub use drain::{Aim, Drain};
pub use guard::{ALWAYS_REQUIRED, Approved, BreakGlass, Broken, LEAST_PODS, Refusal, Rule, Standing, guard};
pub use health::{Doubt, Health, SystemPool, health};
pub use image::ImageRequest;
pub use impact::{Risk, usual_time};
pub use intent::{Attempt, Cause, Deletion, Enforcement, Intent, PowerWish, SystemPods, winner};
pub use keys::Keys;
pub use known::Known;
pub use mutability::Mutability;
pub use names::capped_list;
pub use plan::{Ahead, Drift, Plan, PolicyPlan, Problem, Release, plan};
pub use settings::Settings;
pub use snapshot::{
    AgentPool, Autoscaling, Budget, BudgetStatus, Cluster, Controller, Dependent, DrainMark, InFlight, Mode, Node,
    Occupancy, Occupant, Os, Owner, Phase, Places, Pod, PoolFailure, PoolKind, Power, ProvisioningState, Readiness,
    Rows, Snapshot, Tie, UnhealthyPods, Upgradable, Workload,
};
pub use step::{Change, NewPool, Purpose, Step};
pub use taint::{MODE_LABEL, Taint, TaintEffect, TaintError, Toleration, TolerationOperator};
pub use template::{FieldKind, FieldValue, TEMPLATE_FIELDS, Template, TemplateDrift, TemplateField};
pub use time::{Span, Time};
pub use upgrade::UpgradeSettings;
pub use version::{Version, WantedVersion};
pub use vm_size::is_too_small_for_system;
