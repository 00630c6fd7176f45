//! `WrongCluster`: ARM's cluster must be proven to be the one this operator runs in. Never takes a name as proof.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::known::Known;
use crate::step::Step;

/// Refuses everything until the service account issuer is the same on both sides (where ARM reports one) and some
/// node's provider id carries ARM's subscription and node resource group, with none that contradicts.
pub(super) fn check(facts: &Facts<'_>, _: &Step) -> Option<Broken> {
    let (standing, finding) = issuer(facts).or_else(|| nodes(facts))?;
    Some(Broken {
        rule: Rule::WrongCluster,
        standing,
        finding,
        remedy: "check --cluster-resource-id: it must name the AKS cluster that the operator runs in".to_owned(),
        pods: Vec::new(),
    })
}

/// What speaks against the issuer.
fn issuer(facts: &Facts<'_>) -> Option<(Standing, String)> {
    let arm = facts.cluster.issuer_url.as_deref().filter(|url| !url.is_empty())?;
    match facts.issuer {
        Known::Unknown { reason } => {
            Some((Standing::Passing, format!("this cluster's service account issuer is not known: {reason}")))
        }
        Known::Seen { value, .. } if value.trim_end_matches('/') == arm.trim_end_matches('/') => None,
        Known::Seen { value, .. } => Some((
            Standing::Lasting,
            format!("this cluster's service account issuer is {value}, ARM's cluster {} has {arm}", facts.cluster.id),
        )),
    }
}

/// What speaks against the nodes' provider ids.
fn nodes(facts: &Facts<'_>) -> Option<(Standing, String)> {
    let Some(group) = facts.cluster.node_resource_group.as_deref().filter(|group| !group.is_empty()) else {
        return Some((Standing::Passing, "ARM reports no node resource group".to_owned()));
    };
    let wanted =
        format!("azure:///subscriptions/{}/resourcegroups/{group}/", facts.cluster.subscription).to_ascii_lowercase();
    let mut proven = false;
    for node in facts.nodes {
        let id = node.provider_id.as_deref().unwrap_or_default().to_ascii_lowercase();
        if !id.starts_with("azure://") {
            continue;
        }
        if !id.starts_with(&wanted) {
            let finding = format!(
                "node {} has the provider id {}, which is not in the resource group {group} of ARM's cluster {}",
                node.name,
                node.provider_id.as_deref().unwrap_or_default(),
                facts.cluster.id
            );
            return Some((Standing::Lasting, finding));
        }
        proven = true;
    }
    if proven {
        return None;
    }
    Some((Standing::Passing, format!("no node has a provider id in the resource group {group} of ARM's cluster")))
}
