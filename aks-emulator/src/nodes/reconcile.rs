//! What a node's labels and taints become when its pool is written onto it. Never touches what was not the pool's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;

use super::{Applied, NodePool, object};
use crate::service::syntax;

/// A taint of the pool as Kubernetes has it, or `None` if it is malformed.
pub(super) fn taint(text: &str) -> Option<Taint> {
    let (key, value, effect) = syntax::taint(text)?;
    Some(Taint {
        key: key.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        effect: effect.to_owned(),
        time_added: None,
    })
}

/// The labels to change on a node: a value to set, `None` to remove.
pub(super) fn label_changes(
    current: &BTreeMap<String, String>,
    pool: &NodePool,
    applied: &Applied,
) -> BTreeMap<String, Option<String>> {
    let mut wanted = pool.labels.clone();
    wanted.extend(object::mutable_labels(pool));
    let gone = applied
        .labels
        .iter()
        .filter(|key| !wanted.contains_key(*key) && current.contains_key(*key))
        .map(|key| (key.clone(), None));
    let set = wanted
        .iter()
        .filter(|(key, value)| current.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(set).collect()
}

/// The taints that a node has afterwards, or `None` if they are as they should be.
pub(super) fn taints_after(current: &[Taint], pool: &NodePool, applied: &Applied) -> Option<Vec<Taint>> {
    let wanted: Vec<Taint> = pool.taints.iter().filter_map(|text| taint(text)).collect();
    let were: Vec<Taint> = applied.taints.iter().filter_map(|text| taint(text)).collect();
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    let mut after: Vec<Taint> =
        current.iter().filter(|old| !were.iter().chain(&wanted).any(|own| same(old, own))).cloned().collect();
    for taint in wanted {
        // One that is there already keeps the time since which it evicts.
        let kept = current.iter().find(|old| same(old, &taint) && old.value == taint.value);
        after.push(kept.cloned().unwrap_or(taint));
    }
    let unchanged = after.len() == current.len() && current.iter().all(|taint| after.contains(taint));
    (!unchanged).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::object::tests::pool;

    fn taints(list: &[&str]) -> Vec<Taint> {
        list.iter().map(|text| taint(text).unwrap()).collect()
    }

    fn applied(labels: &[&str], taints: &[&str]) -> Applied {
        Applied {
            labels: labels.iter().map(|key| (*key).to_owned()).collect(),
            taints: taints.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn taints_of_the_pool_come_and_go_and_foreign_ones_stay() {
        let foreign = "node.kubernetes.io/not-ready:NoSchedule";
        for (current, own, were, expected) in [
            (&[foreign][..], &["a=1:NoSchedule"][..], &[][..], Some(&[foreign, "a=1:NoSchedule"][..])),
            (&[foreign, "a=1:NoSchedule"], &[], &["a=1:NoSchedule"], Some(&[foreign])),
            (&["a=1:NoSchedule"], &["a=2:NoSchedule"], &["a=1:NoSchedule"], Some(&["a=2:NoSchedule"])),
            (&["by-hand=1:NoSchedule"], &[], &["a=1:NoSchedule"], None),
            (&["a=1:NoSchedule", foreign], &["a=1:NoSchedule"], &["a=1:NoSchedule"], None),
            (&["a=1:NoExecute"], &["a=1:NoSchedule"], &["a=1:NoExecute"], Some(&["a=1:NoSchedule"])),
        ] {
            let mut pool = pool();
            pool.taints = own.iter().map(|text| (*text).to_owned()).collect();
            let after = taints_after(&taints(current), &pool, &applied(&[], were));
            assert_eq!(after, expected.map(taints), "{current:?} -> {own:?}");
        }
    }

    #[test]
    fn labels_of_the_pool_come_and_go_and_foreign_ones_stay() {
        let mut pool = pool();
        pool.labels = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        let mut current = object::labels(&pool, "node", None);
        current.insert("tier".to_owned(), "old".to_owned());
        current.insert("gone".to_owned(), "1".to_owned());
        current.insert("by-hand".to_owned(), "1".to_owned());
        let changes = label_changes(&current, &pool, &applied(&["tier", "gone"], &[]));
        assert_eq!(changes, BTreeMap::from([("gone".to_owned(), None), ("tier".to_owned(), Some("web".to_owned()))]));
    }

    #[test]
    fn the_mode_is_a_label_that_follows() {
        let mut pool = pool();
        pool.labels.clear();
        let current = object::labels(&pool, "node", None);
        pool.mode = "System".to_owned();
        assert_eq!(
            label_changes(&current, &pool, &Applied::default()),
            BTreeMap::from([("kubernetes.azure.com/mode".to_owned(), Some("system".to_owned()))])
        );
    }
}
