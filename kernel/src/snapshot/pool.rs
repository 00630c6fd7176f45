//! Agent pools as the kernel needs them: a typed view of what ARM reports. Never holds the document that is written back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::taint::Taint;
use crate::template::Template;
use crate::upgrade::amount;
use crate::version::Version;

/// An agent pool as ARM reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPool {
    /// The name.
    pub name: String,
    /// `mode`.
    pub mode: Mode,
    /// `type`, or why the pool can't be managed.
    pub kind: PoolKind,
    /// `osType`.
    pub os: Os,
    /// `powerState.code`.
    pub power: Power,
    /// `provisioningState`.
    pub state: ProvisioningState,
    /// `count`; ARM reports 0 for a stopped pool.
    pub count: u32,
    /// The autoscaler's bounds while `enableAutoScaling` is true.
    pub autoscaling: Option<Autoscaling>,
    /// `nodeTaints`.
    pub taints: Vec<Taint>,
    /// `nodeLabels`.
    pub labels: BTreeMap<String, String>,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// `orchestratorVersion`: what was asked for, `1.33` or `1.33.5`.
    pub requested_version: Option<String>,
    /// `currentOrchestratorVersion`: what runs.
    pub current_version: Option<String>,
    /// `nodeImageVersion`: the image of the nodes, for example `AKSUbuntu-2204gen2containerd-202601.07.0`.
    pub node_image: Option<String>,
    /// `upgradeSettings.maxSurge`, a number or a percentage.
    pub max_surge: Option<String>,
    /// `upgradeSettings.maxUnavailable`, a number or a percentage.
    pub max_unavailable: Option<String>,
    /// `upgradeSettings.drainTimeoutInMinutes`; AKS takes 30 where nothing is set.
    pub drain_timeout_minutes: u32,
    /// `upgradeSettings.nodeSoakDurationInMinutes`.
    pub node_soak_minutes: u32,
    /// `upgradeSettings.undrainableNodeBehavior`: `Schedule` or `Cordon`.
    pub undrainable_nodes: Option<String>,
    /// `status.provisioningError`.
    pub failure: Option<PoolFailure>,
    /// What the pool was made from, as ARM shows it.
    pub settings: Arc<Template>,
}

/// The error that ARM keeps of a pool's last failed operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFailure {
    /// The code, for example `PodDrainFailure`.
    pub code: String,
    /// The message.
    pub message: String,
}

/// A pool's mode; ARM's list is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Hosts the cluster's own add-ons.
    System,
    /// Hosts applications.
    User,
    /// A mode that this operator does not manage, for example `Gateway` or `ManagedSystem`.
    Other(String),
}

/// What a pool is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolKind {
    /// A virtual machine scale set: the kind that is managed.
    ScaleSet,
    /// Another kind, for example `VirtualMachines`.
    Other(String),
    /// A pool whose document could not be understood, and which field is to blame.
    Unreadable(String),
}

/// A pool's operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
    /// Anything else.
    Other(String),
}

/// Whether the machines run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// Running.
    Running,
    /// Stopped, or a state that is not known to be running.
    NotRunning(String),
}

/// The autoscaler's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autoscaling {
    /// `minCount`.
    pub min: u32,
    /// `maxCount`.
    pub max: u32,
}

/// ARM's `provisioningState`; the list is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisioningState {
    /// The last operation succeeded.
    Succeeded,
    /// The last operation failed.
    Failed,
    /// The last operation was aborted.
    Canceled,
    /// An operation runs: `Creating`, `Updating`, `Scaling`, `Upgrading`, `Deleting`, ... or an unknown state.
    Busy(String),
}

impl ProvisioningState {
    /// The state of that name. Whatever is not terminal counts as busy, the unknown too.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Canceled,
            _ => Self::Busy(text.to_owned()),
        }
    }

    /// The running operation's name, while one runs.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        match self {
            Self::Busy(name) => Some(name),
            _ => None,
        }
    }
}

impl Power {
    /// Whether the machines are known to be stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::NotRunning(state) if state.eq_ignore_ascii_case("Stopped"))
    }
}

impl Mode {
    /// The mode of that name, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "system" => Self::System,
            "user" => Self::User,
            _ => Self::Other(text.to_owned()),
        }
    }
}

impl AgentPool {
    /// Whether a later PUT would resume or start an upgrade: the requested version does not match what runs,
    /// component by component (`1.33` matches `1.33.5`; what is unknown does not match).
    /// Source: AKS "Any subsequent PUT operation resumes the stopped upgrade".
    #[must_use]
    pub fn version_differs(&self) -> bool {
        match (&self.requested_version, &self.current_version) {
            (Some(requested), Some(current)) => {
                let mut current = current.trim_start_matches('v').split('.');
                requested.is_empty()
                    || !requested.trim_start_matches('v').split('.').all(|part| current.next() == Some(part))
            }
            _ => true,
        }
    }

    /// The version that runs, if ARM tells it.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.current_version.as_deref().and_then(Version::parse)
    }

    /// Whether an upgrade runs on the pool, of its version or its image.
    #[must_use]
    pub fn is_upgrading(&self) -> bool {
        self.state.operation().is_some_and(|operation| operation.to_ascii_lowercase().starts_with("upgrading"))
    }

    /// Whether the last operation failed, or was aborted, while it took nodes away, so that the next one may go on with it.
    #[must_use]
    pub fn removal_failed(&self) -> bool {
        let blames_removal = |failure: &PoolFailure| {
            let text = format!("{} {}", failure.code, failure.message).to_ascii_lowercase();
            ["drain", "delet", "stop"].iter().any(|word| text.contains(word))
        };
        self.ended_badly() && self.failure.as_ref().is_some_and(blames_removal)
    }

    /// Whether its machines have graphics processors, by the name of their size.
    #[must_use]
    pub fn has_gpu(&self) -> bool {
        crate::vm_size::has_gpu(self.settings.text("vmSize"))
    }

    /// Why the pool's machines are a poor choice for a system pool, in words after "its machines", if they are. AKS takes
    /// them; its manuals advise against it.
    #[must_use]
    pub fn ill_suited_to_add_ons(&self) -> Option<&'static str> {
        let size = self.settings.text("vmSize");
        if self.mode != Mode::System {
            None
        } else if crate::vm_size::has_gpu(size) {
            Some("have graphics processors, which add-ons do not need")
        } else if crate::vm_size::is_burstable(size) {
            Some("are burstable, and slow add-ons down when they have worked for long")
        } else {
            None
        }
    }

    /// Whether the pool is on its way out.
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.state.operation().is_some_and(|operation| operation.eq_ignore_ascii_case("Deleting"))
    }

    /// Whether ARM blames an upgrade for the pool's last failure.
    #[must_use]
    pub fn upgrade_failed(&self) -> bool {
        let blames_upgrade = |failure: &PoolFailure| failure.code.to_ascii_lowercase().contains("upgrade");
        self.ended_badly() && self.failure.as_ref().is_some_and(blames_upgrade)
    }

    /// Whether the last operation failed or was aborted.
    #[must_use]
    pub fn ended_badly(&self) -> bool {
        matches!(self.state, ProvisioningState::Failed | ProvisioningState::Canceled)
    }

    /// The smallest number of nodes that the pool's scale guarantees: its fixed count, or the autoscaler's minimum.
    #[must_use]
    pub fn guaranteed_count(&self) -> u32 {
        self.autoscaling.map_or(self.count, |bounds| bounds.min.min(self.count))
    }

    /// How many nodes an upgrade may take away at once (`maxUnavailable`, percentages rounded up); all of them when
    /// the value cannot be understood.
    #[must_use]
    pub fn unavailable_while_rolling(&self) -> u32 {
        let Some(text) = self.max_unavailable.as_deref() else { return 0 };
        amount(text, self.count).map_or(self.count, |nodes| nodes.min(self.count))
    }
}

impl fmt::Display for Autoscaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} nodes", self.min, self.max)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::User => "User",
            Self::Other(name) => name,
        })
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("Running"),
            Self::NotRunning(state) => f.write_str(state),
        }
    }
}

impl fmt::Display for ProvisioningState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Busy(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool;

    #[test]
    fn a_requested_version_matches_component_by_component() {
        for (requested, current, differs) in [
            (Some("1.33"), Some("1.33.5"), false),
            (Some("1.33.5"), Some("1.33.5"), false),
            (Some("1.3"), Some("1.33.5"), true),
            (Some("1.34"), Some("1.33.5"), true),
            (Some("1.33.6"), Some("1.33.5"), true),
            (Some("1.33.5"), Some("1.33"), true),
            (Some(""), Some("1.33.5"), true),
            (None, Some("1.33.5"), true),
            (Some("1.33"), None, true),
        ] {
            let mut pool = pool("a", Mode::User, 1);
            pool.requested_version = requested.map(str::to_owned);
            pool.current_version = current.map(str::to_owned);
            assert_eq!(pool.version_differs(), differs, "{requested:?} and {current:?}");
        }
    }

    #[test]
    fn what_is_not_terminal_is_busy() {
        assert_eq!(ProvisioningState::parse("succeeded"), ProvisioningState::Succeeded);
        assert_eq!(ProvisioningState::parse("Canceled"), ProvisioningState::Canceled);
        assert_eq!(ProvisioningState::parse("FAILED"), ProvisioningState::Failed);
        assert_eq!(ProvisioningState::parse("Frobnicating").operation(), Some("Frobnicating"));
        assert_eq!(ProvisioningState::parse("").operation(), Some(""));
    }

    #[test]
    fn modes_parse_whatever_their_case() {
        for (text, mode) in [
            ("System", Mode::System),
            ("system", Mode::System),
            ("user", Mode::User),
            ("Gateway", Mode::Other("Gateway".into())),
        ] {
            assert_eq!(Mode::parse(text), mode);
        }
    }

    #[test]
    fn max_unavailable_is_read_at_its_worst() {
        for (text, nodes) in
            [(None, 0), (Some("0"), 0), (Some("2"), 2), (Some("9"), 5), (Some("25%"), 2), (Some("?"), 5)]
        {
            let mut pool = pool("a", Mode::System, 5);
            pool.max_unavailable = text.map(str::to_owned);
            assert_eq!(pool.unavailable_while_rolling(), nodes, "{text:?}");
        }
    }
}
