//! `OperationInProgress`: a busy pool or cluster waits, whoever keeps it busy. Never interrupts an operation.

use super::rule::{Broken, Rule, Standing};
use super::upgrade;
use crate::facts::Facts;
use crate::snapshot::Power;
use crate::step::Step;

/// Refuses for now a step on a pool that is busy, or on any pool while the cluster is; and the upgrade of a system pool while
/// another one is upgraded.
///
/// ARM answers 409 `OperationNotAllowed` to such a write.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let cluster = &facts.cluster;
    let pool = facts.pool(step);
    let finding = if let Some(operation) = cluster.state.operation() {
        format!("the cluster is {operation}")
    } else if let Power::NotRunning(state) = &cluster.power {
        format!("the cluster is {state}")
    } else if let Some(operation) = pool.and_then(|pool| pool.state.operation()) {
        format!("pool {} is {operation}", step.pool)
    } else if facts.is_in_flight(&step.pool) {
        format!("a change of pool {} was just sent and has not been observed yet", step.pool)
    } else {
        upgrade::another_runs(facts, step)?
    };
    Some(Broken {
        rule: Rule::OperationInProgress,
        standing: Standing::Passing,
        finding,
        remedy: "wait until it has ended; the operator goes on by itself".to_owned(),
        pods: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::ProvisioningState;
    use crate::testing::{broken, edit, governed, in_flight, pool, pool_mut, rules, scale};
    use crate::{Mode, Snapshot};

    fn two_pools() -> Snapshot {
        governed(vec![pool("apps", Mode::User, 1), pool("other", Mode::User, 1)], "apps")
    }

    fn found(edit_snapshot: impl Fn(&mut Snapshot)) -> Option<String> {
        let mut snapshot = two_pools();
        edit_snapshot(&mut snapshot);
        let broken = broken(&snapshot, &scale("apps", 1, 2), Rule::OperationInProgress)?;
        assert_eq!(broken.standing, Standing::Passing);
        Some(broken.finding)
    }

    #[test]
    fn a_busy_pool_or_cluster_waits() {
        let busy = |name: &str| ProvisioningState::Busy(name.to_owned());
        assert_eq!(found(|_| ()), None);
        assert_eq!(rules(&two_pools(), &scale("apps", 1, 2)), []);
        assert_eq!(found(|s| pool_mut(s, "apps").state = ProvisioningState::Failed), None);
        assert_eq!(found(|s| pool_mut(s, "other").state = busy("Deleting")), None);
        assert_eq!(found(|s| s.in_flight = in_flight([scale("other", 1, 2)])), None);
        assert_eq!(found(|s| pool_mut(s, "apps").state = busy("Upgrading")).unwrap(), "pool apps is Upgrading");
        assert_eq!(found(|s| edit(&mut s.cluster).state = busy("Updating")).unwrap(), "the cluster is Updating");
        let stopped = found(|s| edit(&mut s.cluster).power = Power::NotRunning("Stopped".into()));
        assert_eq!(stopped.unwrap(), "the cluster is Stopped");
        let sent = found(|s| s.in_flight = in_flight([scale("apps", 1, 2)])).unwrap();
        assert_eq!(sent, "a change of pool apps was just sent and has not been observed yet");
    }
}
