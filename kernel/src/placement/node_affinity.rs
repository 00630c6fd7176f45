//! Node selectors and required node affinity. Never reads preferred terms.

use super::labels::{Labels, Requirement};
use super::node::Node;
use super::pod::Pod;

/// One term of a required node affinity: matches when everything in it does.
///
/// A term that is empty or can't be understood matches no node (upstream `nodeaffinity.LazyErrorNodeSelector`), so it is
/// left out of the terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeTerm {
    /// `matchExpressions`.
    pub labels: Vec<Requirement>,
    /// `matchFields` on `metadata.name`: the name that the node must have or must not have.
    pub names: Vec<NameTest>,
}

/// A requirement on a node's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameTest {
    /// It is this.
    Is(String),
    /// It is another.
    IsNot(String),
}

impl NodeTerm {
    /// Whether a node of that name and with those labels matches.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let named = |test: &NameTest| match test {
            NameTest::Is(wanted) => wanted == name,
            NameTest::IsNot(unwanted) => unwanted != name,
        };
        self.labels.iter().all(|requirement| requirement.matches(labels)) && self.names.iter().all(named)
    }
}

impl Pod {
    /// Whether its node selector and required node affinity match the node (upstream `RequiredNodeAffinity.Match`).
    pub(super) fn selects(&self, node: &Node) -> bool {
        let selected = self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        let affine = self
            .node_affinity
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)));
        selected && affine
    }
}

#[cfg(test)]
mod tests {
    use super::super::Test;
    use super::super::testing::{node, pod};
    use super::*;

    fn requires(key: &str, test: Test) -> NodeTerm {
        NodeTerm { labels: vec![Requirement { key: key.into(), test }], names: vec![] }
    }

    #[test]
    fn one_term_must_match_and_all_that_is_in_it() {
        let node = node("a", &[("zone", "1"), ("disk", "ssd")]);
        let zone = |value: &str| requires("zone", Test::In(vec![value.into()]));
        let named = |term: NodeTerm, test: NameTest| NodeTerm { names: vec![test], ..term };
        for (terms, selects) in [
            (vec![], false),
            (vec![zone("2")], false),
            (vec![zone("2"), zone("1")], true),
            (vec![named(zone("1"), NameTest::Is("a".into()))], true),
            (vec![named(zone("1"), NameTest::Is("b".into()))], false),
            (vec![named(zone("1"), NameTest::IsNot("a".into()))], false),
            (vec![named(NodeTerm::default(), NameTest::IsNot("b".into()))], true),
        ] {
            let pod = super::super::Pod { node_affinity: Some(terms.clone()), ..pod("p") };
            assert_eq!(pod.selects(&node), selects, "{terms:?}");
        }
    }

    #[test]
    fn the_node_selector_must_hold_besides() {
        let node = node("a", &[("zone", "1")]);
        let mut pod = super::super::Pod { node_affinity: Some(vec![requires("zone", Test::Exists)]), ..pod("p") };
        assert!(pod.selects(&node));
        pod.node_selector = [("disk".to_owned(), "ssd".to_owned())].into();
        assert!(!pod.selects(&node));
    }
}
