//! `RestrictedSystemTaint`: system pools take only taints that add-ons live with. Never judges user pools.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::capped_list;
use crate::snapshot::{Mode, Owner};
use crate::step::{Change, Step};
use crate::taint::Taint;

/// Refuses taints other than `CriticalAddonsOnly` or with the effect `PreferNoSchedule` on a system pool, and the
/// promotion of a pool that carries such taints (AKS error `SystemPoolHasRestrictedTaint`). A taint that AKS put on
/// the pool itself may stay on a system pool, but a pool with one (spot, for example) can't become a system pool.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let (restricted, doing): (Vec<&Taint>, _) = match (&step.change, facts.pool(step)) {
        (Change::Taints { to, .. }, Some(pool)) if pool.mode == Mode::System => {
            let kept = |taint: &Taint| taint.belongs_to_aks() && pool.taints.contains(taint);
            let restricted = to.iter().filter(|taint| taint.repels_system_pods() && !kept(taint));
            (restricted.collect(), "system pool would carry")
        }
        (Change::Create(new), _) if new.mode == Mode::System => {
            let all = new.taints.iter().flatten();
            (all.filter(|taint| taint.repels_system_pods()).collect(), "new system pool would carry")
        }
        (Change::Mode { .. }, Some(pool)) if step.change.promotes() => {
            (pool.taints.iter().filter(|taint| taint.repels_system_pods()).collect(), "new system pool carries")
        }
        _ => return None,
    };
    if restricted.is_empty() {
        return None;
    }
    let keeps_away = |taint: &&Taint, pod: &crate::Pod| !pod.tolerations.iter().any(|t| t.matches(taint));
    let mut pods: Vec<String> = facts
        .pods_on(&step.pool)
        .iter()
        .filter(|(pod, _)| pod.owner != Owner::DaemonSet && restricted.iter().any(|taint| keeps_away(taint, pod)))
        .map(|(pod, _)| pod.full_name())
        .collect();
    pods.sort_unstable();
    let list = capped_list(restricted.iter().map(ToString::to_string));
    let homeless = if pods.is_empty() {
        String::new()
    } else {
        format!("; {} could not be scheduled there again", capped_list(&pods))
    };
    Some(Broken {
        rule: Rule::RestrictedSystemTaint,
        standing: Standing::Lasting,
        finding: format!("the {doing} {list}, which AKS does not accept on system pools{homeless}"),
        remedy: "use CriticalAddonsOnly=true:NoSchedule or the effect PreferNoSchedule on system pools, and put \
                 applications on a user pool"
            .to_owned(),
        pods,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{broken, demote, governed, pool, pool_mut, promote, put_taints, rules, run, taint};
    use crate::{Snapshot, testing::edit};

    const SPOT: &str = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule";

    fn cluster(mode: Mode, taints: &[&str]) -> Snapshot {
        let mut snapshot = governed(vec![pool("it", mode, 3)], "it");
        pool_mut(&mut snapshot, "it").taints = taints.iter().map(|text| taint(text)).collect();
        snapshot
    }

    #[test]
    fn a_system_pool_takes_only_taints_that_add_ons_live_with() {
        for (mode, text, passes) in [
            (Mode::System, "CriticalAddonsOnly=true:NoSchedule", true),
            (Mode::System, "CriticalAddonsOnly=true:NoExecute", true),
            (Mode::System, "team=a:PreferNoSchedule", true),
            (Mode::System, "team=a:NoSchedule", false),
            (Mode::System, "team=a:NoExecute", false),
            (Mode::System, SPOT, false),
            (Mode::User, "team=a:NoSchedule", true),
            (Mode::User, "team=a:NoExecute", true),
        ] {
            let found = broken(&cluster(mode.clone(), &[]), &put_taints("it", &[text]), Rule::RestrictedSystemTaint);
            assert_eq!(found.is_none(), passes, "{mode} {text}");
            if let Some(found) = found {
                assert_eq!(found.standing, Standing::Lasting);
                let start = format!("the system pool would carry {text}, which AKS does not accept");
                assert!(found.finding.starts_with(&start), "{}", found.finding);
            }
        }
    }

    #[test]
    fn what_aks_put_on_a_system_pool_itself_may_stay() {
        let mut step = put_taints("it", &[SPOT, "a=b:PreferNoSchedule"]);
        step.change = match step.change {
            Change::Taints { to, .. } => Change::Taints { from: vec![taint(SPOT)], to },
            other => other,
        };
        assert_eq!(rules(&cluster(Mode::System, &[SPOT]), &step), []);
    }

    #[test]
    fn a_pool_is_not_promoted_with_taints_that_keep_add_ons_away() {
        for (text, passes) in [
            ("CriticalAddonsOnly=true:NoSchedule", true),
            ("team=a:PreferNoSchedule", true),
            ("team=a:NoSchedule", false),
            (SPOT, false),
        ] {
            let found = broken(&cluster(Mode::User, &[text]), &promote("it"), Rule::RestrictedSystemTaint);
            assert_eq!(found.is_none(), passes, "{text}");
            assert!(found.is_none_or(|found| found.finding.contains("new system pool carries")));
        }
    }

    #[test]
    fn a_pool_that_stops_being_a_system_pool_may_carry_any_taint() {
        let found = broken(&cluster(Mode::System, &[SPOT]), &demote("it"), Rule::RestrictedSystemTaint);
        assert_eq!(found, None);
    }

    #[test]
    fn the_pods_that_could_not_return_are_named() {
        let mut snapshot = cluster(Mode::System, &[]);
        run(&mut snapshot, "coredns-1", "it");
        let mut daemon = run(&mut snapshot, "proxy", "it");
        daemon.owner = Owner::DaemonSet;
        let mut tolerant = run(&mut snapshot, "agent", "it");
        for toleration in std::sync::Arc::make_mut(&mut tolerant.tolerations) {
            toleration.key = None;
        }
        let pods = edit(&mut snapshot.pods);
        let first = pods.iter().next().unwrap().clone();
        *pods = vec![first, daemon, tolerant].into();
        let found = broken(&snapshot, &put_taints("it", &["team=a:NoSchedule"]), Rule::RestrictedSystemTaint).unwrap();
        assert_eq!(found.pods, ["kube-system/coredns-1"]);
        assert!(found.finding.ends_with("; kube-system/coredns-1 could not be scheduled there again"));
        let nobody = broken(&cluster(Mode::System, &[]), &put_taints("it", &["a=b:NoSchedule"]), found.rule).unwrap();
        assert!(nobody.pods.is_empty() && nobody.finding.ends_with("on system pools"), "{nobody:?}");
    }
}
