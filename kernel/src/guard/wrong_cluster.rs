//! `WrongCluster`: ARM's cluster must be proven to be the one this operator runs in. Never takes a name as proof.

use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::known::Known;
use crate::names::{WHY_UNKNOWN, shorten};
use crate::snapshot::Node;
use crate::step::Step;

/// Refuses everything until the service account issuer is the same on both sides (where ARM reports one) and some
/// node's provider id carries ARM's subscription and node resource group, with none that contradicts.
pub(super) fn check(facts: &Facts<'_>, _: &Step) -> Option<Broken> {
    facts.identity.get_or_init(|| doubt(facts)).clone()
}

/// Whether ARM's cluster is proven to be this one.
pub(crate) fn is_proven(facts: &Facts<'_>) -> bool {
    facts.identity.get_or_init(|| doubt(facts)).is_none()
}

/// By what ARM's cluster is proven to be this one, in words.
pub(crate) fn proof(facts: &Facts<'_>) -> Result<String, Broken> {
    if let Some(doubt) = facts.identity.get_or_init(|| doubt(facts)) {
        return Err(doubt.clone());
    }
    let group = shorten(facts.cluster.node_resource_group.as_deref().unwrap_or_default(), 240);
    let nodes = format!("the provider ids of nodes, which are in the resource group {group}");
    Ok(match facts.cluster.issuer_url.as_deref().filter(|url| !url.is_empty()) {
        Some(issuer) => format!("the service account issuer {}, and {nodes}", shorten(issuer, 240)),
        None => nodes,
    })
}

fn doubt(facts: &Facts<'_>) -> Option<Broken> {
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
        Known::Unknown { reason } => Some((
            Standing::Passing,
            format!("this cluster's service account issuer is not known: {}", shorten(reason, WHY_UNKNOWN)),
        )),
        Known::Seen { value, .. } if value.trim_end_matches('/') == arm.trim_end_matches('/') => None,
        Known::Seen { value, .. } => Some((
            Standing::Lasting,
            format!(
                "this cluster's service account issuer is {}, ARM's cluster {} has {}",
                shorten(value, 240),
                shorten(&facts.cluster.id, 240),
                shorten(arm, 240)
            ),
        )),
    }
}

/// What speaks against the nodes' provider ids.
fn nodes(facts: &Facts<'_>) -> Option<(Standing, String)> {
    let Some(group) = facts.cluster.node_resource_group.as_deref().filter(|group| !group.is_empty()) else {
        return Some((Standing::Passing, "ARM reports no node resource group".to_owned()));
    };
    let wanted = format!("azure:///subscriptions/{}/resourceGroups/{group}/", facts.cluster.subscription);
    let (proofs, contradictions): (Vec<&Node>, Vec<&Node>) = facts
        .nodes
        .iter()
        .filter(|node| !node.is_foreign() && node.provider_id.as_deref().is_some_and(|id| !id.is_empty()))
        .partition(|node| starts_with(node.provider_id.as_deref().unwrap_or_default(), &wanted));
    if let Some(node) = contradictions.iter().min_by_key(|node| &node.name) {
        let finding = format!(
            "node {} has the provider id {}, which is not in the resource group {group} of ARM's cluster {}",
            node.name,
            shorten(node.provider_id.as_deref().unwrap_or_default(), 240),
            shorten(&facts.cluster.id, 240)
        );
        return Some((Standing::Lasting, finding));
    }
    if proofs.is_empty() {
        return Some((
            Standing::Passing,
            format!("no node has a provider id in the resource group {group} of ARM's cluster"),
        ));
    }
    None
}

/// Whether the text begins so, whatever the case: Azure does not keep to one.
fn starts_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{broken, edit, governed, pool, rules, scale};
    use crate::{Mode, Snapshot};

    fn found(edit_snapshot: impl Fn(&mut Snapshot)) -> Option<(Standing, String)> {
        let mut snapshot = governed(vec![pool("apps", Mode::User, 2)], "apps");
        edit_snapshot(&mut snapshot);
        let broken = broken(&snapshot, &scale("apps", 2, 3), Rule::WrongCluster)?;
        assert!(broken.remedy.contains("--cluster-resource-id"));
        Some((broken.standing, broken.finding))
    }

    fn provider_ids(snapshot: &mut Snapshot, ids: &[Option<&str>]) {
        for (node, id) in edit(&mut snapshot.nodes).iter_mut().zip(ids) {
            node.provider_id = id.map(str::to_owned);
        }
    }

    const OURS: &str = "azure:///subscriptions/SUB/resourceGroups/mc_RG/providers/x";
    const SIBLING: &str = "azure:///subscriptions/sub/resourceGroups/MC_rg2/providers/x";
    const OTHER_SUBSCRIPTION: &str = "azure:///subscriptions/sub2/resourceGroups/MC_rg/providers/x";

    #[test]
    fn the_issuer_must_be_the_same_where_arm_reports_one() {
        assert_eq!(found(|_| ()), None);
        assert_eq!(found(|s| edit(&mut s.issuer).truncate("https://issuer.example".len())), None);
        assert_eq!(found(|s| edit(&mut s.cluster).issuer_url = None), None);
        assert_eq!(found(|s| edit(&mut s.cluster).issuer_url = Some(String::new())), None);
        let unknown = found(|s| s.issuer = Known::unknown("no answer")).unwrap();
        assert_eq!(unknown.0, Standing::Passing);
        assert!(unknown.1.ends_with("no answer"));
        let neither = |s: &mut Snapshot| {
            s.issuer = Known::unknown("no answer");
            edit(&mut s.cluster).issuer_url = None;
        };
        assert_eq!(found(neither), None);
        let (standing, finding) = found(|s| *edit(&mut s.issuer) = "https://another.example/".into()).unwrap();
        assert_eq!(standing, Standing::Lasting);
        assert!(finding.contains("https://another.example/") && finding.contains("https://issuer.example/"));
    }

    #[test]
    fn some_node_must_prove_the_cluster_and_none_contradict() {
        for (ids, verdict) in [
            ([Some(OURS), Some(OURS)], None),
            ([Some(OURS), None], None),
            ([Some(OURS), Some("")], None),
            ([Some(OURS), Some("aws:///x")], None),
            ([None, Some("kwok://n")], Some(Standing::Passing)),
            ([Some(OURS), Some(SIBLING)], Some(Standing::Lasting)),
            ([Some(OURS), Some(OTHER_SUBSCRIPTION)], Some(Standing::Lasting)),
            ([Some(OURS), Some("azure:///")], Some(Standing::Lasting)),
        ] {
            let found = found(|s| provider_ids(s, &ids));
            assert_eq!(found.map(|(standing, _)| standing), verdict, "{ids:?}");
        }
        let (_, finding) = found(|s| provider_ids(s, &[Some(SIBLING), Some(SIBLING)])).unwrap();
        assert!(
            finding.starts_with("node aks-apps-12345678-vmss000000 has the provider id") && finding.contains(SIBLING)
        );
    }

    #[test]
    fn without_nodes_or_their_resource_group_nothing_is_proven() {
        assert_eq!(found(|s| edit(&mut s.nodes).clear()).unwrap().0, Standing::Passing);
        for group in [None, Some(String::new())] {
            let (standing, finding) = found(|s| edit(&mut s.cluster).node_resource_group.clone_from(&group)).unwrap();
            assert_eq!((standing, finding.as_str()), (Standing::Passing, "ARM reports no node resource group"));
        }
    }

    #[test]
    fn the_proven_cluster_passes() {
        let snapshot = governed(vec![pool("apps", Mode::User, 2)], "apps");
        assert_eq!(rules(&snapshot, &scale("apps", 2, 3)), []);
    }
}
