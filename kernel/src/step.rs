//! Steps: single-purpose changes of one pool, each a single write. Never carries out anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::drain::{Aim, Drain};
use crate::keys::Keys;
use crate::snapshot::{AgentPool, Autoscaling, Mode, Power, ProvisioningState};
use crate::taint::Taint;
use crate::template::Template;
use crate::upgrade::UpgradeSettings;
use crate::version::Version;

/// One change of one pool on behalf of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The policy that asks for it.
    pub policy: String,
    /// The pool.
    pub pool: String,
    /// What changes.
    pub change: Change,
}

/// What a step changes. `from` is what was observed when the step was planned, `to` is what is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The pool's mode.
    Mode {
        /// Observed.
        from: Mode,
        /// Wanted.
        to: Mode,
    },
    /// The number of nodes.
    Count {
        /// Observed.
        from: u32,
        /// Wanted.
        to: u32,
    },
    /// All taints.
    Taints {
        /// Observed.
        from: Vec<Taint>,
        /// Wanted, AKS's own included.
        to: Vec<Taint>,
    },
    /// All labels.
    Labels {
        /// Observed.
        from: BTreeMap<String, String>,
        /// Wanted, foreign ones included.
        to: BTreeMap<String, String>,
    },
    /// Nothing: the pool is written as it is, so that AKS tries again what has failed.
    Repair {
        /// ARM's code of the failure; empty if it gives none.
        code: String,
    },
    /// The pool itself, which does not exist.
    Create(Box<NewPool>),
    /// The pool goes, with all of its nodes.
    Delete,
    /// Chosen nodes are emptied, one change at a time.
    Drain(Drain),
    /// All tags, which are Azure's and not on the nodes.
    Tags {
        /// Observed.
        from: BTreeMap<String, String>,
        /// Wanted, foreign ones included.
        to: BTreeMap<String, String>,
    },
    /// The Kubernetes version of all nodes, which AKS replaces one after the other.
    Version {
        /// Observed; `None` if ARM does not tell it.
        from: Option<Version>,
        /// Wanted.
        to: Version,
    },
    /// The image of all nodes, which AKS brings to its latest one after the other.
    NodeImage {
        /// Observed.
        from: String,
    },
    /// How upgrades go through the pool: only the settings that differ.
    UpgradeSettings {
        /// Observed.
        from: UpgradeSettings,
        /// Wanted.
        to: UpgradeSettings,
    },
    /// The cluster autoscaler of the pool; the number of nodes stays as it is.
    Autoscaling {
        /// Observed; `None` if it is off.
        from: Option<Autoscaling>,
        /// Wanted; `None` to turn it off.
        to: Option<Autoscaling>,
    },
    /// All machines of the pool are stopped; AKS keeps its count for when it is started.
    Stop,
    /// The machines of a stopped pool are started, as many as there were.
    Start,
}

/// A pool that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// Its mode.
    pub mode: Mode,
    /// How many nodes it begins with.
    pub count: u32,
    /// The autoscaler's bounds, if it is to be on.
    pub autoscaling: Option<Autoscaling>,
    /// Its taints, if the policy manages them.
    pub taints: Option<Vec<Taint>>,
    /// Its labels, if the policy manages them.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its tags, if the policy manages them.
    pub tags: Option<BTreeMap<String, String>>,
    /// Its Kubernetes version; the control plane's without one.
    pub version: Option<Version>,
    /// How upgrades go through it; AKS's own settings where there is none.
    pub upgrade: UpgradeSettings,
    /// What it is made from.
    pub template: Arc<Template>,
}

impl NewPool {
    /// A pool of which nothing else is asked.
    #[must_use]
    pub const fn new(mode: Mode, count: u32, template: Arc<Template>) -> Self {
        let upgrade = UpgradeSettings {
            max_surge: None,
            max_unavailable: None,
            drain_timeout_minutes: None,
            node_soak_minutes: None,
            undrainable_nodes: None,
        };
        Self {
            mode,
            count,
            autoscaling: None,
            taints: None,
            labels: None,
            tags: None,
            version: None,
            upgrade,
            template,
        }
    }
}

/// What kind of change a step makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Mode.
    Mode,
    /// Count.
    Count,
    /// Taints.
    Taints,
    /// Labels.
    Labels,
    /// Another try of what has failed.
    Repair,
    /// The pool itself.
    Create,
    /// The pool goes.
    Delete,
    /// Nodes that were cordoned are opened again.
    Uncordon,
    /// Tags.
    Tags,
    /// The autoscaler.
    Autoscaling,
    /// Whether the machines run.
    Power,
    /// How upgrades go.
    Upgrade,
    /// The Kubernetes version.
    Version,
    /// The image of the nodes.
    NodeImage,
}

impl Change {
    /// The kind of change.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self {
            Self::Mode { .. } => Purpose::Mode,
            Self::Count { .. } => Purpose::Count,
            Self::Taints { .. } => Purpose::Taints,
            Self::Labels { .. } => Purpose::Labels,
            Self::Repair { .. } => Purpose::Repair,
            Self::Create(_) => Purpose::Create,
            Self::Delete => Purpose::Delete,
            Self::Drain(drain) => match drain {
                Drain::Cordon { aim: Aim::Demotion, .. } | Drain::Evict { aim: Aim::Demotion, .. } => Purpose::Mode,
                Drain::Cordon { aim: Aim::Deletion, .. } | Drain::Evict { aim: Aim::Deletion, .. } => Purpose::Delete,
                Drain::Uncordon { .. } => Purpose::Uncordon,
                _ => Purpose::Count,
            },
            Self::Tags { .. } => Purpose::Tags,
            Self::Autoscaling { .. } => Purpose::Autoscaling,
            Self::Stop | Self::Start => Purpose::Power,
            Self::UpgradeSettings { .. } => Purpose::Upgrade,
            Self::Version { .. } => Purpose::Version,
            Self::NodeImage { .. } => Purpose::NodeImage,
        }
    }

    /// Whether the pool is as the change would have it. A pool that is there has not been deleted.
    #[must_use]
    pub fn is_made(&self, pool: &AgentPool) -> bool {
        match self {
            Self::Mode { to, .. } => pool.mode == *to,
            Self::Count { to, .. } => pool.count == *to,
            Self::Taints { to, .. } => to.iter().collect::<BTreeSet<_>>() == pool.taints.iter().collect(),
            Self::Labels { to, .. } => pool.labels == *to,
            Self::Repair { .. } => pool.state == ProvisioningState::Succeeded,
            Self::Delete => false,
            Self::Drain(Drain::RemoveMachines { .. }) => self.counts().is_some_and(|(_, to)| pool.count == to),
            // A pool that is there is created; what is made in Kubernetes is made at once.
            Self::Create(_) | Self::Drain(_) => true,
            Self::Tags { to, .. } => Keys::AnyCase.are_equal(to, &pool.tags),
            Self::Autoscaling { to, .. } => pool.autoscaling == *to,
            Self::Stop => pool.power != Power::Running,
            Self::Start => pool.power == Power::Running,
            Self::UpgradeSettings { to, .. } => to.toward(pool).is_none(),
            Self::Version { to, .. } => pool.version().is_some_and(|version| to.covers(version)),
            Self::NodeImage { from } => pool.node_image.as_ref().is_some_and(|image| image != from),
        }
    }

    /// Whether the change replaces the nodes of the pool one after the other.
    #[must_use]
    pub const fn upgrades(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::NodeImage { .. })
    }

    /// Whether the change makes a system pool, of another pool or a new one.
    #[must_use]
    pub fn promotes(&self) -> bool {
        match self {
            Self::Mode { to, .. } => *to == Mode::System,
            Self::Create(new) => new.mode == Mode::System,
            _ => false,
        }
    }

    /// Whether the change makes a pool that is not there.
    #[must_use]
    pub const fn creates(&self) -> bool {
        matches!(self, Self::Create(_))
    }

    /// Whether the change takes a system pool away from the add-ons.
    #[must_use]
    pub fn demotes(&self) -> bool {
        matches!(self, Self::Mode { from: Mode::System, to } if *to != Mode::System)
    }

    /// Whether the change adds nodes.
    #[must_use]
    pub fn scales_up(&self) -> bool {
        matches!(self, Self::Count { from, to } if to > from)
    }

    /// Whether the change adds nodes, or a system pool, that others may wait for.
    #[must_use]
    pub fn adds(&self) -> bool {
        self.creates() || self.promotes() || self.scales_up() || self.starts()
    }

    /// Whether the change removes nodes.
    #[must_use]
    pub fn scales_down(&self) -> bool {
        matches!(self, Self::Count { from, to } if to < from)
    }

    /// Whether the change takes nodes away, or takes a pool away from the add-ons.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.demotes() || self.scales_down() || self.deletes() || self.stops() || self.aim().is_some()
    }

    /// The number of machines that ARM counts before and after, if the write to ARM changes it.
    #[must_use]
    pub fn counts(&self) -> Option<(u32, u32)> {
        match self {
            Self::Count { from, to } => Some((*from, *to)),
            Self::Drain(Drain::RemoveMachines { .. }) => match self.aim() {
                Some(Aim::Scale { from, to }) => Some((from, to)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What a drain is for, if the change is part of one that goes on.
    #[must_use]
    pub fn aim(&self) -> Option<Aim> {
        if let Self::Drain(drain) = self { drain.aim() } else { None }
    }

    /// The change that a drain for this aim comes to in the end.
    #[must_use]
    pub const fn for_aim(aim: Aim) -> Self {
        match aim {
            Aim::Scale { from, to } => Self::Count { from, to },
            Aim::Demotion => Self::Mode { from: Mode::System, to: Mode::User },
            Aim::Deletion => Self::Delete,
        }
    }

    /// Whether the mode of the pool changes, now or in the end.
    #[must_use]
    pub fn changes_mode(&self) -> bool {
        matches!(self, Self::Mode { .. }) || self.aim() == Some(Aim::Demotion)
    }

    /// Whether nodes are opened again that this operator cordoned.
    #[must_use]
    pub const fn ends_drain(&self) -> bool {
        matches!(self, Self::Drain(drain) if drain.ends())
    }

    /// Whether the change is made by a PUT of the pool.
    #[must_use]
    pub const fn is_put(&self) -> bool {
        !matches!(self, Self::Drain(_) | Self::Delete | Self::NodeImage { .. })
    }

    /// Whether the pool goes.
    #[must_use]
    pub const fn deletes(&self) -> bool {
        matches!(self, Self::Delete)
    }

    /// Whether the pool goes, now or in the end.
    #[must_use]
    pub fn leads_to_deletion(&self) -> bool {
        self.deletes() || self.aim() == Some(Aim::Deletion)
    }

    /// Whether all machines of the pool are stopped.
    #[must_use]
    pub const fn stops(&self) -> bool {
        matches!(self, Self::Stop)
    }

    /// Whether the machines of a stopped pool are started.
    #[must_use]
    pub const fn starts(&self) -> bool {
        matches!(self, Self::Start)
    }

    /// Whether the change takes all nodes of the pool away, now or in the end.
    #[must_use]
    pub fn empties(&self) -> bool {
        let to_none = matches!(self, Self::Count { from, to: 0 } if *from > 0);
        self.leads_to_deletion()
            || self.stops()
            || to_none
            || matches!(self.aim(), Some(Aim::Scale { from, to: 0 }) if from > 0)
    }

    /// How few nodes the change lets the autoscaler leave of those that nothing could take before, if it does.
    #[must_use]
    pub fn least_left(&self, pool: &AgentPool) -> Option<u32> {
        let Self::Autoscaling { to: Some(to), .. } = self else { return None };
        // AKS is not known to remove nodes beyond a new maximum; it is not known to leave them alone either.
        let least = to.min.min(to.max).min(pool.count);
        let beyond = to.max < pool.count && pool.autoscaling.is_none_or(|from| to.max < from.max);
        (least < pool.guaranteed_count() || beyond).then_some(least)
    }

    /// The taints of the pool after the change. Every write carries them whole, so that one which has not reached the nodes
    /// comes with any.
    #[must_use]
    pub fn taints_after<'a>(&'a self, pool: &'a AgentPool) -> &'a [Taint] {
        if let Self::Taints { to, .. } = self { to } else { &pool.taints }
    }

    /// Keys of labels that the change adds, removes or gives another value.
    #[must_use]
    pub fn changed_labels(&self) -> Vec<&str> {
        let Self::Labels { from, to } = self else { return Vec::new() };
        let changed = |key: &&String| from.get(*key) != to.get(*key);
        let removed = from.keys().filter(|key| !to.contains_key(*key));
        to.keys().filter(changed).chain(removed).map(String::as_str).collect()
    }
}

mod words;

#[cfg(test)]
mod tests;
