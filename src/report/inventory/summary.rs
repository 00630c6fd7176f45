//! The numbers of the inventory and its conditions, by the kstatus rules. Never makes a finding a failure of the object.

use nodepool_kernel::{Health, Mode, capped_list, winner};

use super::super::conditions::{Draft, draft};
use super::super::status::shortened;
use super::{Survey, small, system};
use crate::api::{ConditionStatus, Finding, FindingSeverity, Summary, SystemHealth, condition};

/// The numbers that `kubectl get npi` shows; none while Azure has not been read.
pub(super) fn numbers(about: &Survey<'_>, health: Option<&Health>, findings: &[Finding]) -> Option<Summary> {
    let cluster = about.snapshot.cluster.value()?;
    let system = || cluster.pools.iter().filter(|pool| pool.mode == Mode::System);
    let nodes = system().fold(0_u32, |sum, pool| sum.saturating_add(pool.count));
    let shown = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let intents = about.snapshot.intents.value();
    Some(Summary {
        pools: small(cluster.pools.len()),
        system_pools: format!("{}/{}", shown(health.map(|health| health.healthy_pools)), system().count()),
        usable_nodes: format!("{}/{nodes}", shown(health.map(|health| health.usable_nodes))),
        without_policy: intents
            .map(|intents| small(cluster.pools.iter().filter(|pool| winner(intents, &pool.name).is_none()).count())),
        findings: small(findings.iter().filter(|finding| finding.severity == FindingSeverity::Warning).count()),
    })
}

/// The drafts of all conditions. `unknown` is the first of what could not be seen.
pub(super) fn conditions(
    about: &Survey<'_>,
    health: Result<&Health, &String>,
    system: Option<&SystemHealth>,
    unknown: Option<&String>,
) -> Vec<Draft> {
    let (ready, reconciling, stalled, reason, message) = match health.map(|health| (&health.identity, health)) {
        Ok((Err(doubt), _)) => {
            let message = format!("{}. To do: {}", doubt.finding, doubt.remedy);
            (false, !doubt.lasts, doubt.lasts, "WrongCluster", message)
        }
        Err(unknown) => (false, true, false, "NotObserved", unknown.clone()),
        Ok((Ok(_), _)) => match unknown {
            Some(unknown) => (true, false, false, "PartlyObserved", format!("not everything is seen: {unknown}")),
            None => (true, false, false, "Observed", "the cluster is proven and seen".to_owned()),
        },
    };
    let message = shortened(&message);
    let told = |holds: bool| if holds { message.clone() } else { String::new() };
    vec![
        draft(condition::READY, ready, reason, message.clone()),
        draft(condition::RECONCILING, reconciling, reason, told(reconciling)),
        draft(condition::STALLED, stalled, reason, told(stalled)),
        healthy(system),
        paused(about),
    ]
}

/// Whether the system pools and the add-ons are as the rules want them.
fn healthy(system: Option<&SystemHealth>) -> Draft {
    let type_ = condition::SYSTEM_HEALTHY;
    let Some(system) = system else {
        let message = "what it rests on is not all known, see status.unknown";
        return Draft { status: ConditionStatus::Unknown, ..draft(type_, false, "NotObserved", message) };
    };
    let SystemHealth { healthy_pools, usable_nodes, floor, .. } = system;
    let unwell = system::unwell(&system.add_ons);
    let complaints = || match capped_list(&system.complaints) {
        complaints if complaints.is_empty() => String::new(),
        complaints => format!(": {complaints}"),
    };
    if *healthy_pools == 0 {
        return draft(
            type_,
            false,
            "NoHealthySystemPool",
            shortened(&format!("no healthy system pool{}", complaints())),
        );
    }
    if usable_nodes < floor {
        let nodes =
            if *usable_nodes == 1 { "1 system node is".to_owned() } else { format!("{usable_nodes} system nodes are") };
        let message = format!("{nodes} usable, fewer than the {floor} that must remain{}", complaints());
        return draft(type_, false, "BelowFloor", shortened(&message));
    }
    if !unwell.is_empty() {
        return draft(type_, false, "AddOnsNotReady", shortened(&capped_list(&unwell)));
    }
    draft(type_, true, "Healthy", shortened(&capped_list(&system.complaints)))
}

fn paused(about: &Survey<'_>) -> Draft {
    let type_ = condition::PAUSED;
    match about.snapshot.paused.value() {
        Some(true) => draft(type_, true, "Paused", "spec.paused is true: nothing is written to Azure, nodes or pods"),
        Some(false) => draft(type_, false, "NotPaused", ""),
        None => {
            let message = "it is not known whether all writes are paused, so that nothing is written";
            Draft { status: ConditionStatus::Unknown, ..draft(type_, false, "NotObserved", message) }
        }
    }
}
