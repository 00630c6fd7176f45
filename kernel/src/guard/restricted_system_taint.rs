//! `RestrictedSystemTaint`: system pools take only taints that add-ons live with. Never judges user pools.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::capped_list;
use crate::snapshot::{Mode, Owner};
use crate::step::{Change, Step};
use crate::taint::Taint;

/// Refuses taints other than `CriticalAddonsOnly` or with the effect `PreferNoSchedule` on a system pool, and the
/// promotion of a pool that carries such taints (AKS error `SystemPoolHasRestrictedTaint`).
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.pool(step)?;
    let (taints, doing) = match &step.change {
        Change::Taints { to, .. } if pool.mode == Mode::System => (to, "system pool would carry"),
        Change::Mode { .. } if step.change.promotes() => (&pool.taints, "new system pool carries"),
        _ => return None,
    };
    let restricted: Vec<&Taint> = taints.iter().filter(|taint| !taint.allowed_on_system_pool()).collect();
    if restricted.is_empty() {
        return None;
    }
    let keeps_away = |taint: &&Taint, pod: &crate::Pod| !pod.tolerations.iter().any(|t| t.matches(taint));
    let mut pods: Vec<String> = facts
        .pods_on(&step.pool)
        .into_iter()
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
