//! Which nodes of a pool may go together: AKS chooses, so that every choice must do. Never guesses what AKS prefers.

use std::collections::BTreeSet;

/// So many choices are looked at one by one.
const MOST: usize = 64;

/// Which nodes may go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choices<'a> {
    /// Exactly one of these sets.
    Each(Vec<BTreeSet<&'a str>>),
    /// Too many to look at. Then none of the nodes is a place for anything, and all of their pods need one.
    Any,
}

impl<'a> Choices<'a> {
    /// The sets of `going` of these nodes.
    pub(super) fn of(nodes: impl IntoIterator<Item = &'a str>, going: usize) -> Self {
        let nodes: Vec<&str> = nodes.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let going = going.min(nodes.len());
        // Each set that is kept can still be filled up, so that there are never more than choices.
        let mut sets = vec![BTreeSet::new()];
        for (index, node) in nodes.iter().enumerate() {
            let left = nodes.len().saturating_sub(index).saturating_sub(1);
            let mut next: Vec<BTreeSet<&str>> = Vec::new();
            for set in sets {
                if set.len() < going {
                    let mut with = set.clone();
                    with.insert(*node);
                    next.push(with);
                }
                if set.len() + left >= going {
                    next.push(set);
                }
            }
            if next.len() > MOST {
                return Self::Any;
            }
            sets = next;
        }
        Self::Each(sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(nodes: usize, going: usize) -> Option<usize> {
        let names: Vec<String> = (0..nodes).map(|node| format!("n{node:03}")).collect();
        match Choices::of(names.iter().map(String::as_str), going) {
            Choices::Each(sets) => {
                assert!(sets.iter().all(|set| set.len() == going.min(nodes)));
                assert_eq!(sets.iter().collect::<BTreeSet<_>>().len(), sets.len());
                Some(sets.len())
            }
            Choices::Any => None,
        }
    }

    #[test]
    fn every_set_of_nodes_is_a_choice() {
        let sets = Choices::of(["c", "a", "b", "a"], 2);
        assert_eq!(sets, Choices::Each(vec![["a", "b"].into(), ["a", "c"].into(), ["b", "c"].into()]));
    }

    #[test]
    fn a_few_choices_are_looked_at_and_more_are_not() {
        for (nodes, going, choices) in [
            (0, 0, Some(1)),
            (0, 1, Some(1)),
            (3, 0, Some(1)),
            (3, 3, Some(1)),
            (3, 9, Some(1)),
            (5, 2, Some(10)),
            (8, 3, Some(56)),
            (64, 1, Some(64)),
            (64, 63, Some(64)),
            (65, 1, None),
            (9, 4, None),
            (5000, 2500, None),
        ] {
            assert_eq!(number(nodes, going), choices, "{going} of {nodes}");
        }
    }
}
