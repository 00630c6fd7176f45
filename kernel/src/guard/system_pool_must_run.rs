//! `SystemPoolMustRun`: AKS stops user pools only. Never judges what would become of their pods.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::snapshot::Mode;
use crate::step::Step;

/// Refuses to stop a system pool (AKS: "You can't stop system pools.").
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let is_system = |pool: &str| facts.observed.pool(pool).is_some_and(|pool| pool.mode == Mode::System);
    if !step.change.stops() || !is_system(&step.pool) {
        return None;
    }
    Some(Broken {
        rule: Rule::SystemPoolMustRun,
        standing: Standing::Lasting,
        finding: format!("pool {} is a system pool, which AKS does not stop", step.pool),
        remedy: "set spec.powerState to Running, or make it a user pool first (spec.mode: User)".to_owned(),
        pods: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Power;
    use crate::testing::{broken, demote, governed, pool, pool_mut, rules, start, stop};

    #[test]
    fn a_system_pool_is_not_stopped_whatever_else_there_is() {
        let mut snapshot = governed(vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3)], "two");
        assert_eq!(rules(&snapshot, &stop("two")), [Rule::SystemPoolMustRun]);
        let broken = broken(&snapshot, &stop("two"), Rule::SystemPoolMustRun).unwrap();
        assert_eq!(broken.standing, Standing::Lasting);
        assert_eq!(broken.finding, "pool two is a system pool, which AKS does not stop");
        assert_eq!(rules(&snapshot, &demote("two")), []);
        pool_mut(&mut snapshot, "two").power = Power::NotRunning("Stopped".into());
        assert_eq!(rules(&snapshot, &start("two")), []);
        pool_mut(&mut snapshot, "two").power = Power::Running;
        pool_mut(&mut snapshot, "two").mode = Mode::User;
        snapshot.dependents = [("two".to_owned(), crate::Known::seen(snapshot.now, vec![]))].into();
        assert_eq!(rules(&snapshot, &stop("two")), []);
    }
}
