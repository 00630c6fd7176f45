//! The cluster in numbers: pools, operations and what the system pools can carry. Never tells what is not seen.

use std::collections::BTreeSet;
use std::fmt;

use nodepool_kernel::placement::Amount;
use nodepool_kernel::{Health, Mode, Snapshot, winner};

use super::sheet::{Sheet, number};
use crate::api::{NodePoolPolicyStatus, Operation};
use crate::report::{Capacity, SystemRoom};

/// What is counted of the operation that a policy's status tells.
pub(super) enum Work {
    /// An operation that this operator began on the pool of this name.
    OnPool(String),
    /// Nodes are emptied.
    Drain,
}

impl Work {
    pub(super) fn of(status: &NodePoolPolicyStatus) -> Option<Self> {
        let operation = status.operation.as_ref()?;
        if operation.is_drain() {
            return Some(Self::Drain);
        }
        let pool = status.pool.as_ref().filter(|_| operation.started_by == Operation::THIS_POLICY)?;
        Some(Self::OnPool(pool.name.clone()))
    }
}

/// The pools as ARM was last seen, counted.
#[derive(Debug)]
pub(super) struct Pools {
    system: usize,
    user: usize,
    /// `None` while the policies are not known.
    without_policy: Option<usize>,
    operations: usize,
    operations_of_others: usize,
    drains: usize,
}

impl Pools {
    /// The pools; `None` while ARM has not been seen.
    pub(super) fn of(snapshot: &Snapshot, work: &[Work]) -> Option<Self> {
        let cluster = snapshot.cluster.value()?;
        let on_pools = work.iter().filter_map(|work| if let Work::OnPool(pool) = work { Some(pool) } else { None });
        let own: BTreeSet<&String> = on_pools.chain(snapshot.in_flight.iter().map(|write| &write.step.pool)).collect();
        let busy = cluster.pools.iter().filter(|pool| pool.state.operation().is_some());
        let others = busy.filter(|pool| !own.contains(&pool.name)).count();
        // While an operation runs on a pool the cluster may be busy for it.
        let of_cluster = own.is_empty() && others == 0 && cluster.state.operation().is_some();
        let free = |intents: &Vec<_>| cluster.pools.iter().filter(|pool| winner(intents, &pool.name).is_none()).count();
        let system = cluster.pools.iter().filter(|pool| pool.mode == Mode::System).count();
        Some(Self {
            system,
            user: cluster.pools.len() - system,
            without_policy: snapshot.intents.value().map(free),
            operations: own.len(),
            operations_of_others: others + usize::from(of_cluster),
            drains: work.iter().filter(|work| matches!(work, Work::Drain)).count(),
        })
    }

    pub(super) fn write(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        sheet.gauges(
            "pools",
            "Agent pools in ARM by mode",
            [([("mode", "system")], number(self.system)), ([("mode", "user")], number(self.user))],
        )?;
        sheet.gauge_if_known(
            "pools_without_policy",
            "Agent pools that no policy names",
            self.without_policy.map(number),
        )?;
        sheet.gauges(
            "operations_running",
            "Operations on pools or the cluster that run in Azure, by who started them",
            [
                ([("started_by", "operator")], number(self.operations)),
                ([("started_by", "others")], number(self.operations_of_others)),
            ],
        )?;
        sheet.gauge("drains_running", "Policies for which nodes are cordoned now", number(self.drains))
    }
}

/// What the system pools can carry, as the rules count it.
#[derive(Debug)]
pub(super) struct Carried {
    /// Healthy pools, usable nodes and guaranteed nodes, if they are known.
    counted: Option<[u32; 3]>,
    room: Option<SystemRoom>,
}

impl Carried {
    pub(super) fn of(Capacity { health, room, .. }: &Capacity) -> Self {
        let counted = |health: &Health| [health.healthy_pools, health.usable_nodes, health.guaranteed_nodes];
        Self { counted: health.as_ref().ok().map(counted), room: *room }
    }

    pub(super) fn write(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        if let Some([pools, usable, guaranteed]) = self.counted {
            for (name, help, value) in [
                ("system_pools_healthy", "System pools that can be relied upon", pools),
                ("system_nodes_usable", "System nodes that add-ons can run on, at worst", usable),
                ("system_nodes_guaranteed", "Sum of the fixed and minimum counts of system pools", guaranteed),
            ] {
                sheet.gauge(name, help, value.into())?;
            }
        }
        let Some(SystemRoom { offered, left }) = &self.room else { return Ok(()) };
        for (name, help, value) in [
            ("system_allocatable_cpu_cores", "Cores that the usable system nodes offer to pods", cores(offered.cpu)),
            (
                "system_allocatable_memory_bytes",
                "Memory that the usable system nodes offer to pods",
                plain(offered.memory),
            ),
            ("system_allocatable_pods", "Pods that the usable system nodes take", plain(offered.pods)),
            ("system_headroom_cpu_cores", "Cores on usable system nodes that no pod requests", cores(left.cpu)),
            ("system_headroom_memory_bytes", "Memory on usable system nodes that no pod requests", plain(left.memory)),
            ("system_headroom_pods", "Pods that the usable system nodes take beside those there are", plain(left.pods)),
        ] {
            sheet.gauge(name, help, value)?;
        }
        Ok(())
    }
}

fn cores(thousandths: Amount) -> f64 {
    plain(thousandths) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "nobody reads more than the first digits")]
const fn plain(amount: Amount) -> f64 {
    amount as f64
}
