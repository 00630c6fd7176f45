//! Why a pod finds no place, in words. Never longer than a person reads, whatever the number of nodes.

use std::collections::BTreeMap;
use std::fmt;

use super::pod::{Obstacle, Pod};
use super::ports::HostPort;
use super::resources::{Amount, show};
use crate::names::{capped, counted, shorten};
use crate::taint::Taint;

/// How many kinds of reasons a message shows.
const SHOWN: usize = 4;

/// Why one node does not take a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// The caller wants nothing placed there: why, in words after "is" ("not Ready").
    Unavailable(String),
    /// Not all pods that run there are known.
    PodsUnknown,
    /// It is cordoned.
    Cordoned,
    /// The pod names another node.
    NotNamed,
    /// A taint that the pod does not tolerate.
    Taint(Taint),
    /// Node selector or required node affinity do not match.
    NotSelected,
    /// A port of the host is taken.
    HostPort(HostPort),
    /// It runs as many pods as it may.
    TooManyPods,
    /// It has too little of a resource.
    Lacks {
        /// The resource.
        resource: String,
        /// What the pod asks for.
        wants: Amount,
        /// What is left.
        free: Amount,
    },
    /// Another pod uses a claim that only one may use.
    ClaimInUse(String),
    /// The driver can attach no more volumes.
    AttachLimit {
        /// The driver.
        driver: String,
        /// Its limit on this node.
        limit: u32,
    },
    /// It does not have the driver of a volume.
    DriverMissing(String),
    /// Its drivers for volumes are unknown.
    DriversUnknown,
    /// The volume of this claim can't be reached from there.
    VolumeElsewhere(String),
    /// A spread constraint on this key: it would hold too many.
    Spread(String),
    /// A spread constraint on this key, which the node lacks.
    SpreadLabelMissing(String),
    /// A spread constraint on this key: not all pods that count are known.
    SpreadUnknown(String),
    /// No pod that it must be near to, by this key.
    Affinity(String),
    /// A pod that it must not be near to, by this key.
    AntiAffinity(String),
    /// There may be pods that it must not be near to, by this key: not all are known.
    AntiAffinityUnknown(String),
    /// A pod with an anti-affinity against it, named.
    Repelled(String),
}

/// A pod that finds no place, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaceable {
    /// The pod, `namespace/name`.
    pub pod: String,
    /// What keeps it from every node; the nodes are not looked at then.
    pub obstacles: Vec<Obstacle>,
    /// Why not, node by node: each with the number of nodes, most first. Shortages of one resource count together.
    pub misfits: Vec<(Misfit, usize)>,
}

impl Unplaceable {
    pub(super) fn blocked(pod: &Pod, mut obstacles: Vec<Obstacle>) -> Self {
        obstacles.sort();
        obstacles.dedup();
        Self { pod: pod.full_name(), obstacles, misfits: Vec::new() }
    }

    pub(super) fn nowhere(pod: &Pod, misfits: impl IntoIterator<Item = Misfit>) -> Self {
        let mut grouped: BTreeMap<Misfit, (Misfit, usize)> = BTreeMap::new();
        for misfit in misfits {
            let group = grouped.entry(misfit.group()).or_insert_with(|| (misfit.clone(), 0));
            group.1 += 1;
            group.0 = group.0.clone().roomier(misfit);
        }
        let mut misfits: Vec<(Misfit, usize)> = grouped.into_values().collect();
        misfits.sort_by(|(a, more), (b, fewer)| fewer.cmp(more).then_with(|| a.cmp(b)));
        Self { pod: pod.full_name(), obstacles: Vec::new(), misfits }
    }

    /// Why, without the pod's name: "0 of 3 nodes: 2 lack cpu (wants 500m, free 120m), 1 has the taint x:NoSchedule".
    #[must_use]
    pub fn why(&self) -> String {
        if !self.obstacles.is_empty() {
            return capped(self.obstacles.iter().map(|obstacle| shorten(&obstacle.to_string(), 160)), SHOWN, "; ");
        }
        let nodes: usize = self.misfits.iter().map(|(_, nodes)| *nodes).sum();
        if nodes == 0 {
            return "there is no node".to_owned();
        }
        let shown = self.misfits.iter().take(SHOWN).map(|(misfit, nodes)| format!("{nodes} {}", misfit.say(*nodes)));
        let rest: usize = self.misfits.iter().skip(SHOWN).map(|(_, nodes)| *nodes).sum();
        let rest = (rest > 0).then(|| format!("{rest} for other reasons"));
        let reasons: Vec<String> = shown.chain(rest).collect();
        format!("0 of {}: {}", counted(nodes, "node"), reasons.join(", "))
    }
}

impl fmt::Display for Unplaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} finds no place: {}", self.pod, self.why())
    }
}

impl Misfit {
    /// What counts together with it.
    fn group(&self) -> Self {
        match self {
            Self::Lacks { resource, wants, .. } => Self::Lacks { resource: resource.clone(), wants: *wants, free: 0 },
            Self::AttachLimit { driver, .. } => Self::AttachLimit { driver: driver.clone(), limit: 0 },
            Self::Repelled(_) => Self::Repelled(String::new()),
            other => other.clone(),
        }
    }

    /// Of two of one group the one that tells more: most is free, or the first by name.
    fn roomier(self, other: Self) -> Self {
        // What differs within a group is compared last.
        if matches!(self, Self::Repelled(_)) { self.min(other) } else { self.max(other) }
    }

    /// What is the matter with that many nodes: "lacks cpu …" with one, "lack cpu …" with more.
    fn say(&self, nodes: usize) -> String {
        let one = nodes == 1;
        let (lacks, has, is, runs) = if one { ("lacks", "has", "is", "runs") } else { ("lack", "have", "are", "run") };
        let name = |text: &str| shorten(text, 120);
        match self {
            Self::Unavailable(reason) => format!("{is} {}", name(reason)),
            Self::PodsUnknown => format!("{runs} pods that are not known"),
            Self::Cordoned => format!("{is} cordoned"),
            Self::NotNamed => format!("{is} not the node that it names"),
            Self::Taint(taint) => format!("{has} the taint {}", name(&taint.to_string())),
            Self::NotSelected => format!("{is} not selected by its node selector or affinity"),
            Self::HostPort(port) => format!("{has} the host port {port} taken"),
            Self::TooManyPods => format!("{runs} as many pods as allowed"),
            Self::Lacks { resource, wants, free } => {
                let at_most = if one { "" } else { "at most " };
                let (wants, free) = (show(resource, *wants), show(resource, *free));
                format!("{lacks} {} (wants {wants}, free {at_most}{free})", name(resource))
            }
            Self::ClaimInUse(claim) => format!("can't take the claim {}, which another pod uses alone", name(claim)),
            Self::AttachLimit { driver, limit } => {
                format!("can't attach more than {limit} volumes of {}", name(driver))
            }
            Self::DriverMissing(driver) => format!("{lacks} the volume driver {}", name(driver)),
            Self::DriversUnknown => format!("{has} volume drivers that are not known"),
            Self::VolumeElsewhere(claim) => format!("can't reach the volume of the claim {}", name(claim)),
            Self::Spread(key) => format!("would hold too many of its kind by its topology spread over {}", name(key)),
            Self::SpreadLabelMissing(key) => format!("{lacks} the label {} of its topology spread", name(key)),
            Self::SpreadUnknown(key) => {
                format!("{has} an unknown number of its kind for its topology spread over {}", name(key))
            }
            Self::Affinity(key) => format!("{has} no pod that it must run with, by {}", name(key)),
            Self::AntiAffinity(key) => format!("{has} a pod that it must not run with, by {}", name(key)),
            Self::AntiAffinityUnknown(key) => format!("may have a pod that it must not run with, by {}", name(key)),
            Self::Repelled(pod) => format!("{has} a pod that must not run with it ({})", name(pod)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_misfits_that_count_together_the_one_that_tells_more_is_shown() {
        let lacks = |free| Misfit::Lacks { resource: "cpu".into(), wants: 500, free };
        let full = |limit| Misfit::AttachLimit { driver: "disk".into(), limit };
        let repelled = |by: &str| Misfit::Repelled(by.into());
        for (shown, other) in [(lacks(120), lacks(80)), (full(8), full(4)), (repelled("apps/a"), repelled("apps/b"))] {
            for order in [[&shown, &other], [&other, &shown]] {
                let pod = crate::placement::testing::pod("p");
                let unplaceable = Unplaceable::nowhere(&pod, order.map(Clone::clone));
                assert_eq!(unplaceable.misfits, [(shown.clone(), 2)]);
            }
        }
    }
}
