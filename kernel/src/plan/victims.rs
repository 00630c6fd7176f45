//! Which nodes of a pool are to go. Never asks whether they may.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::intent::SystemPods;
use crate::snapshot::Node;

/// A node that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) node: &'a Node,
    /// Whether it has been cordoned for this drain already.
    pub(super) begun: bool,
    /// Whether protected pods run on it that a drain would have to evict.
    pub(super) guarded: bool,
    /// Whether pods can be placed on it now.
    pub(super) usable: bool,
}

/// The nodes that are to go, in the order of their names: those with no protected pods first, then those that are not
/// usable, then those of the zone with the most nodes, then the newest. A drain that has begun goes on with its nodes, unless
/// protected pods have to stay and have come to one of them.
pub(super) fn choose<'a>(
    mut candidates: Vec<Candidate<'a>>,
    of_pool: &[&Node],
    number: usize,
    system_pods: SystemPods,
) -> Vec<&'a Node> {
    let mut zones: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for node in of_pool {
        *zones.entry(node.zone.as_deref()).or_default() += 1;
    }
    let class = |candidate: &Candidate<'_>| match system_pods {
        SystemPods::Protect => (candidate.guarded, !candidate.begun, candidate.usable),
        SystemPods::Relocate => (!candidate.begun, candidate.guarded, candidate.usable),
    };
    let mut chosen = Vec::new();
    while chosen.len() < number {
        let crowd = |candidate: &Candidate<'a>| zones.get(&candidate.node.zone.as_deref()).copied().unwrap_or_default();
        let rank = |candidate: &Candidate<'a>| {
            (class(candidate), Reverse((crowd(candidate), candidate.node.joined, candidate.node.name.as_str())))
        };
        let Some(index) = (0..candidates.len()).min_by_key(|index| candidates.get(*index).map(&rank)) else { break };
        let node = candidates.swap_remove(index).node;
        if let Some(left) = zones.get_mut(&node.zone.as_deref()) {
            *left = left.saturating_sub(1);
        }
        chosen.push(node);
    }
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ago, node};

    /// Nodes by number, each with zone, whether begun, guarded and usable, and age in seconds.
    type Row = (u32, &'static str, bool, bool, bool, i64);

    fn chosen(rows: &[Row], number: usize, system_pods: SystemPods) -> Vec<u32> {
        let nodes: Vec<Node> = rows
            .iter()
            .map(|(index, zone, .., age)| {
                let zone = Some((*zone).to_owned()).filter(|zone| !zone.is_empty());
                Node { zone, joined: ago(*age), ..node("sys", *index) }
            })
            .collect();
        let candidate = |(node, row): (_, &Row)| Candidate { node, begun: row.2, guarded: row.3, usable: row.4 };
        let of_pool: Vec<&Node> = nodes.iter().collect();
        let mut found: Vec<Vec<u32>> = Vec::new();
        for reversed in [false, true] {
            let mut candidates: Vec<Candidate<'_>> = nodes.iter().zip(rows).map(candidate).collect();
            if reversed {
                candidates.reverse();
            }
            let names = choose(candidates, &of_pool, number, system_pods);
            assert!(names.is_sorted_by_key(|node| &node.name));
            found.push(names.iter().map(|node| node.name[node.name.len() - 6..].parse().unwrap()).collect());
        }
        assert_eq!(found[0], found[1], "the order of the nodes makes no difference");
        found.remove(0)
    }

    #[test]
    fn each_preference_decides_among_those_that_the_one_before_leaves() {
        use SystemPods::{Protect, Relocate};
        let free = [(0, "", false, true, true, 9), (1, "", false, false, true, 9), (2, "", false, true, true, 9)];
        assert_eq!(chosen(&free, 1, Relocate), [1], "no protected pods first");
        assert_eq!(chosen(&free, 2, Relocate), [1, 2], "then the highest name");
        let broken = [(0, "", false, true, true, 9), (1, "", false, true, false, 9), (2, "", false, false, true, 9)];
        assert_eq!(chosen(&broken, 1, Relocate), [2], "protected pods weigh more");
        assert_eq!(chosen(&broken, 2, Relocate), [1, 2], "then not usable");
        let zones = [
            (0, "1", false, false, true, 1),
            (1, "2", false, false, true, 8),
            (2, "2", false, false, true, 9),
            (3, "3", false, false, true, 2),
        ];
        assert_eq!(chosen(&zones, 1, Relocate), [1], "the newest of the fullest zone");
        assert_eq!(chosen(&zones, 2, Relocate), [0, 1], "then the newest where all are alike");
        assert_eq!(chosen(&zones, 9, Relocate), [0, 1, 2, 3]);
        let begun = [(0, "", true, true, true, 9), (1, "", false, false, false, 1)];
        assert_eq!(chosen(&begun, 1, Relocate), [0], "a drain goes on with its nodes");
        assert_eq!(chosen(&begun, 1, Protect), [1], "unless its pods have to stay");
        let free = [(0, "", true, false, true, 9), (1, "", false, false, false, 1)];
        assert_eq!([Protect, Relocate].map(|pods| chosen(&free, 1, pods)), [[0], [0]], "it goes on where none has to");
    }
}
