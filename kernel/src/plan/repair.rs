//! The bounded repair of a pool whose last operation failed: it is written as it is, and AKS tries again. Never goes on
//! with an upgrade, and never touches a pool whose operation was canceled.

use crate::facts::is_half_upgraded;
use crate::intent::{Cause, Intent};
use crate::settings::Settings;
use crate::snapshot::{AgentPool, Node, ProvisioningState, Snapshot};
use crate::step::{Change, Step};

/// The repair of a failed pool that is otherwise as asked. There is none before the failure has been recorded with the
/// policy, after as many tries as the settings allow, and while it is not known that no upgrade would go on.
pub(super) fn of(intent: &Intent, pool: &AgentPool, snapshot: &Snapshot, settings: &Settings) -> Option<Step> {
    let attempt = intent.failed_attempt().filter(|attempt| attempt.cause != Cause::Canceled)?;
    if pool.state != ProvisioningState::Failed || attempt.failures > settings.repairs || !intent.may_write() {
        return None;
    }
    let on_pool = |node: &&Node| node.pool.as_deref() == Some(pool.name.as_str());
    let nodes: Vec<&Node> = snapshot.nodes.value()?.iter().filter(on_pool).collect();
    if is_half_upgraded(pool, &nodes) {
        return None;
    }
    let code = pool.failure.as_ref().map(|failure| failure.code.clone()).unwrap_or_default();
    Some(Step { policy: intent.policy.clone(), pool: pool.name.clone(), change: Change::Repair { code } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Attempt;
    use crate::snapshot::{Mode, PoolFailure};
    use crate::testing::{NOW, edit, governed, nodes_mut, pool, pool_mut};
    use crate::{Known, plan};

    fn failed(cause: Cause, failures: u32) -> Snapshot {
        let mut snapshot = governed(vec![pool("apps", Mode::User, 2)], "apps");
        let pool = pool_mut(&mut snapshot, "apps");
        pool.state = ProvisioningState::Failed;
        pool.failure = Some(PoolFailure { code: "QuotaExceeded".into(), message: "m".into() });
        let (code, message, remedy) = (String::new(), String::new(), String::new());
        let attempt = Attempt { cause, failures, generation: 1, next: Some(NOW), code, message, remedy };
        edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt);
        snapshot
    }

    fn planned(snapshot: &Snapshot) -> Vec<String> {
        let plan = plan(snapshot, &Settings::default());
        plan.policies.iter().flat_map(|policy| &policy.steps).map(|step| step.change.to_string()).collect()
    }

    #[test]
    fn a_failed_pool_is_written_again_a_bounded_number_of_times() {
        let repair = ["try again what has failed (QuotaExceeded)"];
        assert_eq!(planned(&failed(Cause::Failed, 1)), repair);
        assert_eq!(planned(&failed(Cause::Refused, 3)), repair);
        assert_eq!(planned(&failed(Cause::Failed, 4)), [""; 0]);
        let settings = Settings { repairs: 0, ..Settings::default() };
        assert!(plan(&failed(Cause::Failed, 1), &settings).policies.iter().all(|policy| policy.steps.is_empty()));
    }

    #[test]
    fn nothing_is_repaired_that_did_not_fail_or_would_go_on_with_an_upgrade() {
        let without = |change: &dyn Fn(&mut Snapshot)| {
            let mut snapshot = failed(Cause::Failed, 1);
            change(&mut snapshot);
            planned(&snapshot)
        };
        let of_pool = |change: &dyn Fn(&mut AgentPool)| without(&|snapshot| change(pool_mut(snapshot, "apps")));
        let intent = |change: &dyn Fn(&mut Intent)| {
            without(&|snapshot| change(edit(&mut snapshot.intents).first_mut().unwrap()))
        };
        let none = [""; 0];
        assert_eq!(of_pool(&|pool| pool.state = ProvisioningState::Succeeded), none);
        assert_eq!(of_pool(&|pool| pool.state = ProvisioningState::Canceled), none);
        assert_eq!(of_pool(&|pool| pool.requested_version = Some("1.34".into())), none);
        assert_eq!(of_pool(&|pool| pool.failure.as_mut().unwrap().code = "UpgradeFailed".into()), none);
        assert_eq!(intent(&|intent| intent.attempt.as_mut().unwrap().cause = Cause::Canceled), none);
        assert_eq!(intent(&|intent| intent.attempt = None), none);
        assert_eq!(intent(&|intent| intent.generation = 2), none);
        assert_eq!(intent(&|intent| intent.suspended = true), none);
        assert_eq!(intent(&|intent| intent.enforcement = crate::Enforcement::Observe), none);
        assert_eq!(without(&|snapshot| snapshot.nodes = Known::unknown("gone")), none);
        let mixed = |snapshot: &mut Snapshot| {
            nodes_mut(snapshot, "apps").take(1).for_each(|node| node.image_version = Some("other".into()));
        };
        assert_eq!(without(&mixed), none);
        assert_eq!(intent(&|intent| intent.count = Some(3)), ["scale from 2 to 3 nodes"]);
    }
}
