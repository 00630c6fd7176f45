//! Failures for want of quota or capacity: their codes, and their texts for a pool. Never decides when one happens.

use serde::{Deserialize, Serialize};

use crate::NodePool;
use crate::nodes::machine_size;

/// Why Azure has no machines for a pool. Codes are those of AKS; texts are Azure's own, as Karpenter's fake of the
/// machine API has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Failure {
    /// The subscription's quota of cores of the machine's family is used up.
    QuotaExceeded,
    /// The size is not to be had in the region.
    SkuNotAvailable,
    /// The cluster of machines is out of capacity.
    AllocationFailed,
    /// The zone is out of capacity.
    ZonalAllocationFailed,
    /// Nothing satisfies all constraints together.
    OverconstrainedAllocationRequest,
    /// The same within the zone.
    OverconstrainedZonalAllocationRequest,
}

impl Failure {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::QuotaExceeded => "QuotaExceeded",
            Self::SkuNotAvailable => "SkuNotAvailable",
            Self::AllocationFailed => "AllocationFailed",
            Self::ZonalAllocationFailed => "ZonalAllocationFailed",
            Self::OverconstrainedAllocationRequest => "OverconstrainedAllocationRequest",
            Self::OverconstrainedZonalAllocationRequest => "OverconstrainedZonalAllocationRequest",
        }
    }

    /// The text for a pool that has `present` machines and lacks `missing`.
    pub(crate) fn message(self, pool: &NodePool, present: usize, missing: usize) -> String {
        let (size, location) = (&pool.vm_size, &pool.location);
        let constrained = |constraints: &[&str]| {
            format!(
                "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is \
                 too restrictive. Please remove some constraints and try again. Constraints applied are:\n  - {}\n",
                constraints.join("\n  - ")
            )
        };
        match self {
            Self::QuotaExceeded => quota(pool, present, missing),
            Self::SkuNotAvailable => format!(
                "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is \
                 currently not available in location '{location}'. Please try another size or deploy to a different \
                 location or different zone. See https://aka.ms/azureskunotavailable for details."
            ),
            Self::AllocationFailed => {
                "Allocation failed. If you are trying to add a new VM to a Virtual Machine Scale \
                 Set with a single placement group or update/resize an existing VM in a Virtual Machine Scale Set with \
                 a single placement group, please note that such allocation is scoped to a single cluster, and it is \
                 possible that the cluster is out of capacity. Please read more about improving likelihood of \
                 allocation success at http://aka.ms/allocation-guidance."
                    .to_owned()
            }
            Self::ZonalAllocationFailed => format!(
                "Allocation failed. We do not have sufficient capacity for the requested VM size {size} in zone {}. \
                 Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
                pool.zones.first().map_or("1", String::as_str)
            ),
            Self::OverconstrainedAllocationRequest => constrained(&[
                "Networking Constraints (such as Accelerated Networking or IPv6)",
                "Subscription Pinning",
                "VM Size",
            ]),
            Self::OverconstrainedZonalAllocationRequest => constrained(&[
                "Availability Zone",
                "Networking Constraints (such as Accelerated Networking or IPv6)",
                "VM Size",
            ]),
        }
    }
}

fn quota(pool: &NodePool, present: usize, missing: usize) -> String {
    let cpus = machine_size(&pool.vm_size).map_or(4, |(cpus, _)| cpus);
    let cores = |machines: usize| u64::try_from(machines).unwrap_or(u64::MAX).saturating_mul(cpus);
    let (usage, required) = (cores(present), cores(missing));
    format!(
        "Operation could not be completed as it results in exceeding approved {} Family Cores quota. Additional \
         details - Deployment Model: Resource Manager, Location: {}, Current Limit: {usage}, Current Usage: {usage}, \
         Additional Required: {required}, (Minimum) New Limit Required: {}.",
        family(&pool.vm_size),
        pool.location,
        usage.saturating_add(required)
    )
}

/// The family of a size as quotas name it: `standardDDSv5` for `Standard_D4ds_v5`.
fn family(size: &str) -> String {
    let short = size.split_once('_').map_or(size, |(_, short)| short);
    let (machine, version) = short.split_once('_').unwrap_or((short, ""));
    let letters: String = machine.chars().filter(char::is_ascii_alphabetic).collect();
    format!("standard{}{version}", letters.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::example_pool as pool;

    #[test]
    fn families_are_named_as_quotas_do() {
        for (size, expected) in [
            ("Standard_D4ds_v5", "standardDDSv5"),
            ("Standard_DS2_v2", "standardDSv2"),
            ("Standard_F16s_v2", "standardFSv2"),
        ] {
            assert_eq!(family(size), expected);
        }
    }

    #[test]
    fn a_quota_counts_cores() {
        let text = Failure::QuotaExceeded.message(&pool(), 2, 3);
        assert!(text.contains("approved standardDDSv5 Family Cores quota"), "{text}");
        assert!(text.contains(
            "Current Limit: 8, Current Usage: 8, Additional Required: 12, (Minimum) New Limit Required: 20."
        ));
    }

    #[test]
    fn a_code_is_its_name() {
        for failure in [Failure::QuotaExceeded, Failure::OverconstrainedZonalAllocationRequest] {
            assert_eq!(serde_json::to_value(failure).unwrap(), failure.code());
        }
    }
}
