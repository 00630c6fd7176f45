//! Rules by name, and what a refusal says. Never decides whether a rule is broken.

use std::fmt;

use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::step::{Change, Step};

/// A safety rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// ARM's cluster is not proven to be this one.
    WrongCluster,
    /// Something that the decision rests on is unknown or too old.
    StaleObservation,
    /// Another, older policy governs the pool.
    ConflictingPolicy,
    /// Somebody has paused all writes.
    Paused,
    /// The policy is suspended.
    Suspended,
    /// The policy only observes.
    ObserveOnly,
    /// The pool or the cluster is busy.
    OperationInProgress,
    /// AKS does not take the version, or the write would go on with an upgrade that has stopped half-way.
    VersionSkew,
    /// AKS does not make the change to a pool that exists, but only to another one.
    ImmutableField,
    /// AKS or its add-ons do not accept the taints on a system pool.
    RestrictedSystemTaint,
    /// AKS does not stop system pools.
    SystemPoolMustRun,
    /// No healthy system pool would remain.
    LastHealthySystemPool,
    /// Fewer usable system nodes than the floor would remain.
    SystemCapacityFloor,
    /// Protected pods would be evicted, or nothing would protect them afterwards.
    SystemPodsWouldBeEvicted,
    /// Protected pods would have no other place, or one that waits would lose the place that it could have.
    SystemPodsUnplaceable,
    /// More protected pods would be taken down together than their disruption budgets allow.
    DisruptionBudgetBlocks,
    /// The cluster's add-ons do not run as wished.
    KubeSystemUnhealthy,
    /// Pods on a user pool that is to go have nowhere else to go, or data on its disks.
    WorkloadsDependOnPool,
    /// More pools than may be would be deleted, stopped or emptied within a window of time.
    BulkChangeFuse,
}

impl Rule {
    /// Every rule, in the order in which they are checked.
    pub const ALL: [Self; 19] = [
        Self::WrongCluster,
        Self::StaleObservation,
        Self::ConflictingPolicy,
        Self::Paused,
        Self::Suspended,
        Self::ObserveOnly,
        Self::OperationInProgress,
        Self::VersionSkew,
        Self::ImmutableField,
        Self::RestrictedSystemTaint,
        Self::SystemPoolMustRun,
        Self::LastHealthySystemPool,
        Self::SystemCapacityFloor,
        Self::SystemPodsWouldBeEvicted,
        Self::SystemPodsUnplaceable,
        Self::DisruptionBudgetBlocks,
        Self::KubeSystemUnhealthy,
        Self::WorkloadsDependOnPool,
        Self::BulkChangeFuse,
    ];

    /// The name that status, events and documentation use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongCluster => "WrongCluster",
            Self::StaleObservation => "StaleObservation",
            Self::ConflictingPolicy => "ConflictingPolicy",
            Self::Paused => "Paused",
            Self::Suspended => "Suspended",
            Self::ObserveOnly => "ObserveOnly",
            Self::OperationInProgress => "OperationInProgress",
            Self::ImmutableField => "ImmutableField",
            Self::RestrictedSystemTaint => "RestrictedSystemTaint",
            Self::SystemPoolMustRun => "SystemPoolMustRun",
            Self::LastHealthySystemPool => "LastHealthySystemPool",
            Self::SystemCapacityFloor => "SystemCapacityFloor",
            Self::SystemPodsWouldBeEvicted => "SystemPodsWouldBeEvicted",
            Self::SystemPodsUnplaceable => "SystemPodsUnplaceable",
            Self::DisruptionBudgetBlocks => "DisruptionBudgetBlocks",
            Self::KubeSystemUnhealthy => "KubeSystemUnhealthy",
            Self::WorkloadsDependOnPool => "WorkloadsDependOnPool",
            Self::BulkChangeFuse => "BulkChangeFuse",
            Self::VersionSkew => "VersionSkew",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a refusal can end without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Somebody says not to write, in the policy or for all of them: nothing is wrong.
    Held,
    /// It depends on something in progress and may pass by itself.
    Passing,
    /// Somebody has to change the policy or the cluster.
    Lasting,
}

/// One rule that a step breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// Whether it may pass by itself.
    pub standing: Standing,
    /// What was found: pools, nodes, pods and numbers.
    pub finding: String,
    /// What a person can do about it.
    pub remedy: String,
    /// The protected pods concerned, `namespace/name`, sorted: the first hundred, and all of them where their places have to be
    /// read ([`Refusal::lacks_places_of`]).
    pub pods: Vec<String>,
}

/// A step that may not be made, with every rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The step.
    pub step: Step,
    /// The broken rules, at least one.
    pub broken: Vec<Broken>,
}

impl Refusal {
    /// The gravest standing of all broken rules, policy-made holds aside if there is any other.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.broken.iter().map(|broken| broken.standing).max().unwrap_or(Standing::Lasting)
    }

    /// Whether a rule other than the policy's own hold is broken for good.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.standing() == Standing::Lasting
    }

    /// The protected pods of which must be known where they could run before the step can be judged (`namespace/name`);
    /// none if the snapshot says it of all of them.
    #[must_use]
    pub fn lacks_places_of(&self, snapshot: &Snapshot, settings: &Settings) -> &[String] {
        let of_places = |broken: &&Broken| broken.rule == Rule::SystemPodsUnplaceable;
        let Some(broken) = self.broken.iter().find(of_places) else { return &[] };
        let places = snapshot.places.fresh(snapshot.now, settings.stale_after);
        let known = places.is_ok_and(|places| broken.pods.iter().all(|pod| places.pods.contains_key(pod)));
        if known { &[] } else { &broken.pods }
    }

    /// Whether nothing stands against the step, an upgrade, but what is known of its pool only when it is read for it: what
    /// AKS offers, and what runs on its nodes.
    #[must_use]
    pub fn asks_for_upgrades(&self, snapshot: &Snapshot) -> bool {
        let may_be = match &self.step.change {
            Change::Version { to, .. } => {
                let control_plane = snapshot.cluster.value().and_then(|cluster| cluster.version);
                control_plane.is_some_and(|version| !version.is_older_than(*to))
            }
            Change::NodeImage { .. } => true,
            _ => false,
        };
        let of_upgrades = |broken: &Broken| matches!(broken.rule, Rule::VersionSkew | Rule::DisruptionBudgetBlocks);
        may_be && self.broken.iter().all(of_upgrades)
    }

    /// The broken rule to name first: the gravest, in the order in which the rules are checked.
    #[must_use]
    pub fn leading(&self) -> Option<&Broken> {
        let standing = self.standing();
        self.broken.iter().find(|broken| broken.standing == standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scale;

    fn refusal(rules: &[(Rule, Standing)]) -> Refusal {
        let of = |(rule, standing): &(Rule, Standing)| {
            let (finding, remedy) = (String::new(), String::new());
            Broken { rule: *rule, standing: *standing, finding, remedy, pods: vec![] }
        };
        Refusal { step: scale("apps", 1, 2), broken: rules.iter().map(of).collect() }
    }

    #[test]
    fn the_gravest_standing_leads() {
        use Standing::{Held, Lasting, Passing};
        let (held, passing, lasting) =
            ((Rule::Suspended, Held), (Rule::OperationInProgress, Passing), (Rule::SystemCapacityFloor, Lasting));
        for (rules, standing, leading) in [
            (vec![held], Held, Rule::Suspended),
            (vec![held, passing], Passing, Rule::OperationInProgress),
            (vec![held, passing, lasting], Lasting, Rule::SystemCapacityFloor),
            (vec![lasting, (Rule::WrongCluster, Lasting)], Lasting, Rule::SystemCapacityFloor),
        ] {
            let refusal = refusal(&rules);
            assert_eq!((refusal.standing(), refusal.is_lasting()), (standing, standing == Lasting));
            assert_eq!(refusal.leading().map(|broken| broken.rule), Some(leading));
        }
        assert!(refusal(&[]).is_lasting() && refusal(&[]).leading().is_none());
    }

    #[test]
    fn places_are_asked_for_the_pods_that_need_one() {
        let mut refused = refusal(&[
            (Rule::SystemPodsWouldBeEvicted, Standing::Lasting),
            (Rule::SystemPodsUnplaceable, Standing::Passing),
        ]);
        for (broken, pod) in refused.broken.iter_mut().zip(["a", "b"]) {
            broken.pods = vec![pod.to_owned()];
        }
        let lacks = |refusal: &Refusal| {
            let mut unread = crate::testing::snapshot(vec![]);
            unread.places = crate::Known::unknown("it has not been read yet");
            refusal.lacks_places_of(&unread, &Settings::default()).to_vec()
        };
        assert_eq!(lacks(&refused), ["b"]);
        refused.broken.pop();
        assert_eq!(lacks(&refused), [""; 0]);
    }

    #[test]
    fn rules_print_their_names() {
        assert_eq!(Rule::LastHealthySystemPool.to_string(), "LastHealthySystemPool");
    }
}
