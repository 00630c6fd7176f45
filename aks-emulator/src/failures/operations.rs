//! Operations that fail in the background for reasons of Azure's: no quota, no capacity, nodes that do not come.
//! Never ends an operation.

use serde::Deserialize;
use serde_json::Value;

use crate::nodes::{machine_family, machine_size, names};
use crate::service::operation::{Operation, OperationError};
use crate::service::{Cluster, Pool};

const ALLOCATION_FAILED: &str = "Allocation failed. If you are trying to add a new VM to a Virtual Machine Scale Set \
    with a single placement group or update/resize an existing VM in a Virtual Machine Scale Set with a single placement \
    group, please note that such allocation is scoped to a single cluster, and it is possible that the cluster is out of \
    capacity. Please read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance.";

/// A failure by name: code and text as clients of Microsoft's and users know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OperationFailure {
    /// The quota of the VM family is spent.
    QuotaExceeded,
    /// The VM size is not to be had in the region now.
    SkuNotAvailable,
    /// The region has no capacity for the scale set.
    AllocationFailed,
    /// A zone has no capacity for the VM size.
    ZonalAllocationFailed,
    /// Constraints leave no capacity.
    OverconstrainedAllocationRequest,
    /// Constraints leave no capacity in a zone.
    OverconstrainedZonalAllocationRequest,
    /// No node became Ready in time.
    NodesNotReady,
    /// A node was not drained in time.
    PodDrainFailure,
    /// Another writer came first while the pool was saved.
    OriginalEtagNotExpect,
    /// A newer operation took this one's place.
    OperationPreempted,
}

/// Why an operation is made to fail.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    Given { code: String, message: String },
    Known(OperationFailure),
}

impl Cause {
    /// The error with which the operation ends.
    pub(crate) fn error(&self, cluster: Option<&Cluster>, operation: &Operation) -> OperationError {
        match self {
            Self::Given { code, message } => OperationError::new(code, message.clone()),
            Self::Known(failure) => failure.error(&Facts::of(cluster, operation)),
        }
    }
}

/// What texts name.
struct Facts {
    location: String,
    pool: String,
    size: String,
    zone: String,
    count: u64,
    node: String,
}

impl Facts {
    fn of(cluster: Option<&Cluster>, operation: &Operation) -> Self {
        let name = operation.subject();
        let pool = cluster.and_then(|cluster| cluster.pool(name));
        let zones = pool.and_then(|pool| pool.get("availabilityZones")).and_then(Value::as_array);
        let zone = zones.and_then(|zones| zones.first()).and_then(Value::as_str).unwrap_or("1");
        Self {
            location: operation.location.clone(),
            pool: name.to_owned(),
            size: pool.map_or("", |pool| pool.text("vmSize")).to_owned(),
            zone: zone.to_owned(),
            count: pool.and_then(|pool: &Pool| pool.get("count")).and_then(Value::as_u64).unwrap_or_default(),
            node: names::node(&names::scale_set(&operation.cluster, name), 0),
        }
    }
}

impl OperationFailure {
    fn error(self, facts: &Facts) -> OperationError {
        if let Some(text) = self.of_compute(facts) {
            let code = format!("{self:?}");
            let inner = if self == Self::QuotaExceeded { "OperationNotAllowed" } else { &code };
            return OperationError::caused(&code, inner, &text);
        }
        let Facts { pool, count, node, .. } = facts;
        let message = match self {
            Self::NodesNotReady => format!("Not all nodes reached Ready state. Expected: {count}, Actual: 0"),
            Self::PodDrainFailure => {
                format!(
                    "Node '{node}' failed to be drained with error: 'Drain did not complete pods [pod] within 10m0s'"
                )
            }
            Self::OriginalEtagNotExpect => {
                format!("Failed to save agent pool {pool}. Original etag not expected")
            }
            // The rest is compute's, but for this.
            _ => format!("This operation has been preempted by another operation with ID {}", Operation::new_id()),
        };
        OperationError::new(&format!("{self:?}"), message)
    }

    /// What the compute provider says, if the failure is its own.
    fn of_compute(self, facts: &Facts) -> Option<String> {
        let Facts { location, size, zone, .. } = facts;
        Some(match self {
            Self::QuotaExceeded => quota(facts),
            Self::SkuNotAvailable => format!(
                "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is \
                 currently not available in location '{location}'. Please try another size or deploy to a different \
                 location or different zone. See https://aka.ms/azureskunotavailable for details."
            ),
            Self::AllocationFailed => ALLOCATION_FAILED.to_owned(),
            Self::ZonalAllocationFailed => format!(
                "Allocation failed. We do not have sufficient capacity for the requested VM size {size} in zone \
                 {zone}. Read more about improving likelihood of allocation success at \
                 http://aka.ms/allocation-guidance"
            ),
            Self::OverconstrainedAllocationRequest => overconstrained("Differencing (Ephemeral) Disks"),
            Self::OverconstrainedZonalAllocationRequest => overconstrained("Availability Zone"),
            Self::NodesNotReady | Self::PodDrainFailure | Self::OriginalEtagNotExpect | Self::OperationPreempted => {
                return None;
            }
        })
    }
}

fn quota(facts: &Facts) -> String {
    let Facts { location, size, count, .. } = facts;
    let required = machine_size(size).map_or(1, |(cpus, _)| cpus * count.max(&1));
    let family = machine_family(size);
    format!(
        "Operation could not be completed as it results in exceeding approved {family} Family Cores quota. Additional \
         details - Deployment Model: Resource Manager, Location: {location}, Current Limit: 0, Current Usage: 0, \
         Additional Required: {required}, (Minimum) New Limit Required: {required}."
    )
}

fn overconstrained(constraint: &str) -> String {
    format!(
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too \
         restrictive. Please remove some constraints and try again. Constraints applied are:\n  - {constraint}\n  - \
         Networking Constraints (such as Accelerated Networking or IPv6)\n  - VM Size\n"
    )
}
