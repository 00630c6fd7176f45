//! How long an operation on a pool may take before somebody should look. Never ends an operation.

use crate::snapshot::AgentPool;
use crate::time::Span;

/// AKS gives up on nodes that do not become Ready after some 45 minutes; what takes longer than this hangs.
/// Source: recorded operations, of which the longest creation took 26 minutes and the longest update of labels, taints or
/// mode 78 seconds.
const QUICK: u32 = 30;
const WITH_NODES: u32 = 60;
/// What a node of an upgrade takes beside its drain and its soak: to be made, to join and to be taken away.
const NODE: u32 = 15;

/// How long an operation of that name, as `provisioningState` has it, may take on the pool.
///
/// An upgrade goes from node to node, so that its deadline grows with the pool and with the time that each drain may take.
/// What is not known is given as much as what makes nodes.
#[must_use]
pub fn deadline(operation: &str, pool: &AgentPool) -> Span {
    let minutes = match operation.to_ascii_lowercase().as_str() {
        "updating" | "stopping" | "canceling" => QUICK,
        upgrade if upgrade.starts_with("upgrading") => {
            let node = NODE.saturating_add(pool.drain_timeout_minutes).saturating_add(pool.node_soak_minutes);
            WITH_NODES.saturating_add(pool.count.saturating_mul(node))
        }
        "scaling" | "deleting" => WITH_NODES.saturating_add(pool.drain_timeout_minutes),
        _ => WITH_NODES,
    };
    Span::from_secs(u64::from(minutes).saturating_mul(60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Mode;
    use crate::testing::pool;

    #[test]
    fn each_kind_of_operation_has_its_time() {
        let mut three = pool("apps", Mode::User, 3);
        (three.drain_timeout_minutes, three.node_soak_minutes) = (45, 5);
        for (operation, minutes) in [
            ("Updating", 30),
            ("stopping", 30),
            ("Creating", 60),
            ("Starting", 60),
            ("Scaling", 105),
            ("Deleting", 105),
            ("Upgrading", 60 + 3 * (15 + 45 + 5)),
            ("UpgradingNodeImageVersion", 60 + 3 * (15 + 45 + 5)),
            ("SomethingNew", 60),
        ] {
            assert_eq!(deadline(operation, &three), Span::from_secs(minutes * 60), "{operation}");
        }
        three.count = u32::MAX;
        assert!(deadline("Upgrading", &three) > Span::from_secs(3600));
    }
}
