//! The Kubernetes version that a pool is to have, as a step or as nothing to be done. Never plans a downgrade, and never
//! asks whether AKS would take the version.

use std::fmt;

use crate::intent::Intent;
use crate::snapshot::{AgentPool, Cluster};
use crate::step::Change;
use crate::version::{Version, WantedVersion};

/// A pool that runs a newer version than its policy asks for, as after an upgrade by AKS itself. It is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// What runs.
    pub runs: Version,
    /// What the policy asks for.
    pub wanted: Version,
}

/// What is to be done about a pool's version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing.
    Stay,
    /// It is ahead of the policy.
    Ahead(Ahead),
    /// It is to be upgraded.
    Upgrade(Change),
    /// The control plane's version is wanted, and ARM does not tell it.
    Unknown,
}

/// What is to be done about the pool's version. What runs counts, not what was asked for: an upgrade that stopped half-way
/// is planned again.
pub(super) fn course(intent: &Intent, pool: &AgentPool, cluster: &Cluster) -> Course {
    let wanted = match (intent.version, cluster.version) {
        (None, _) => return Course::Stay,
        (Some(WantedVersion::ControlPlane), None) => return Course::Unknown,
        (Some(WantedVersion::ControlPlane), Some(version)) | (Some(WantedVersion::Exactly(version)), _) => version,
    };
    match pool.version() {
        Some(runs) if wanted.covers(runs) => Course::Stay,
        Some(runs) if wanted.is_older_than(runs) => Course::Ahead(Ahead { runs, wanted }),
        from => Course::Upgrade(Change::Version { from, to: exact(wanted, cluster.version) }),
    }
}

/// The version that a new pool is to have, as the policy asks; `None` for the control plane's.
pub(super) fn of_new(intent: &Intent, cluster: &Cluster) -> Option<Version> {
    match intent.version? {
        WantedVersion::Exactly(version) => Some(exact(version, cluster.version)),
        WantedVersion::ControlPlane => None,
    }
}

/// What is written for a version: of the control plane's minor the control plane's patch, for a pool may not be newer, and
/// the newest may be. Of an older minor AKS takes the newest patch.
fn exact(wanted: Version, control_plane: Option<Version>) -> Version {
    control_plane.filter(|version| wanted.covers(*version)).unwrap_or(wanted)
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pool runs Kubernetes {}, the policy asks for {}", self.runs, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Mode;
    use crate::testing::{edit, intent, pool, snapshot};

    fn found(wanted: &str, runs: Option<&str>, control_plane: Option<&str>) -> String {
        let mut pool = pool("apps", Mode::User, 2);
        pool.current_version = runs.map(str::to_owned);
        let mut seen = snapshot(vec![]);
        let cluster = edit(&mut seen.cluster);
        cluster.version = control_plane.and_then(Version::parse);
        let version = Version::parse(wanted).map_or(WantedVersion::ControlPlane, WantedVersion::Exactly);
        let intent = Intent { version: Some(version), ..intent("p", "apps") };
        match course(&intent, &pool, cluster) {
            Course::Stay => "stay".to_owned(),
            Course::Ahead(ahead) => ahead.to_string(),
            Course::Upgrade(change) => change.to_string(),
            Course::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn a_pool_goes_forward_only_and_stays_where_it_is_as_asked() {
        for (wanted, runs, control_plane, expected) in [
            ("1.33", Some("1.33.5"), Some("1.34.2"), "stay"),
            ("1.33.5", Some("1.33.5"), Some("1.34.2"), "stay"),
            ("ControlPlane", Some("1.34.2"), Some("1.34.2"), "stay"),
            ("1.34", Some("1.33.5"), Some("1.34.2"), "upgrade from Kubernetes 1.33.5 to 1.34.2"),
            ("1.33", Some("1.32.9"), Some("1.34.2"), "upgrade from Kubernetes 1.32.9 to 1.33"),
            ("1.34.1", Some("1.33.5"), Some("1.34.2"), "upgrade from Kubernetes 1.33.5 to 1.34.1"),
            ("1.35", Some("1.33.5"), Some("1.34.2"), "upgrade from Kubernetes 1.33.5 to 1.35"),
            ("ControlPlane", Some("1.34.1"), Some("1.34.2"), "upgrade from Kubernetes 1.34.1 to 1.34.2"),
            ("1.34", None, Some("1.34.2"), "upgrade to Kubernetes 1.34.2"),
            ("1.34", Some("1.33.5"), None, "upgrade from Kubernetes 1.33.5 to 1.34"),
            ("ControlPlane", Some("1.33.5"), None, "unknown"),
            ("1.33", Some("1.34.2"), None, "the pool runs Kubernetes 1.34.2, the policy asks for 1.33"),
            ("1.34.1", Some("1.34.2"), None, "the pool runs Kubernetes 1.34.2, the policy asks for 1.34.1"),
        ] {
            assert_eq!(found(wanted, runs, control_plane), expected, "{wanted} {runs:?} {control_plane:?}");
        }
    }

    #[test]
    fn an_upgrade_that_stopped_half_way_is_planned_again_and_a_version_that_is_not_asked_for_is_left() {
        let mut half = pool("apps", Mode::User, 2);
        half.requested_version = Some("1.34.2".into());
        let mut intent = Intent { version: Version::parse("1.34").map(WantedVersion::Exactly), ..intent("p", "apps") };
        let mut seen = snapshot(vec![]);
        let cluster = edit(&mut seen.cluster);
        assert!(matches!(course(&intent, &half, cluster), Course::Upgrade(_)));
        intent.version = None;
        assert_eq!(course(&intent, &half, cluster), Course::Stay);
    }

    #[test]
    fn a_new_pool_has_what_is_asked_for() {
        let mut seen = snapshot(vec![]);
        let cluster = edit(&mut seen.cluster);
        for (wanted, written) in [("1.34", Some("1.34.2")), ("1.33", Some("1.33")), ("ControlPlane", None)] {
            let version = Version::parse(wanted).map_or(WantedVersion::ControlPlane, WantedVersion::Exactly);
            let intent = Intent { version: Some(version), ..intent("p", "apps") };
            assert_eq!(of_new(&intent, cluster).map(|version| version.to_string()).as_deref(), written);
        }
        assert_eq!(of_new(&intent("p", "apps"), cluster), None);
    }
}
