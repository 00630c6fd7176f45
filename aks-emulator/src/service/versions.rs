//! The Kubernetes versions that the service supports, and how a request names one. Never knows a pool.

use super::syntax;

/// Supported versions with their patches, oldest first.
pub(crate) fn supported() -> &'static [&'static str] {
    &[
        "1.31.11", "1.31.12", "1.31.13", "1.32.6", "1.32.7", "1.32.9", "1.32.10", "1.33.3", "1.33.4", "1.33.5",
        "1.33.6", "1.34.0", "1.34.1", "1.34.2", "1.35.0", "1.35.1",
    ]
}

/// The version that runs when `requested` is asked for. One without a patch becomes the control plane's if it is of
/// the same minor, or else the newest of its minor; `None` if that minor is not supported.
pub(crate) fn resolve(requested: &str, control_plane: &str) -> Option<String> {
    if requested.split('.').count() >= 3 {
        return Some(requested.to_owned());
    }
    let wanted = syntax::minor(requested)?;
    if syntax::minor(control_plane) == Some(wanted) {
        return Some(control_plane.to_owned());
    }
    supported().iter().rev().find(|version| syntax::minor(version) == Some(wanted)).map(|version| (*version).to_owned())
}

/// Whether nodes may get a version: a supported one, or whatever the control plane has.
pub(crate) fn is_supported(version: &str, control_plane: &str) -> bool {
    version == control_plane || supported().contains(&version)
}

/// Whether an upgrade goes forward and not past the next minor.
pub(crate) fn is_next(from: &str, to: &str) -> bool {
    match (syntax::minor(from), syntax::minor(to)) {
        (Some(from_minor), Some(to_minor)) => {
            syntax::is_older(from, to) && from_minor.0 == to_minor.0 && to_minor.1 <= from_minor.1 + 1
        }
        _ => false,
    }
}

/// What a pool that runs `from` may be upgraded to, oldest first.
pub(crate) fn upgrades(from: &str, control_plane: &str, skip_minors: bool) -> Vec<String> {
    let mut offered: Vec<&str> = supported().iter().copied().filter(|version| *version != control_plane).collect();
    offered.retain(|version| syntax::is_older(version, control_plane));
    offered.push(control_plane);
    offered.retain(|version| syntax::is_older(from, version) && (skip_minors || is_next(from, version)));
    offered.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend() {
        assert!(supported().windows(2).all(|pair| syntax::is_older(pair[0], pair[1])));
    }

    #[test]
    fn a_version_without_a_patch_is_the_control_planes_or_the_newest() {
        for (requested, expected) in [
            ("1.33", Some("1.33.5")),
            ("1.33.3", Some("1.33.3")),
            ("1.32", Some("1.32.10")),
            ("1.30", None),
            ("1", None),
        ] {
            assert_eq!(resolve(requested, "1.33.5").as_deref(), expected, "{requested}");
        }
    }

    #[test]
    fn upgrades_go_forward_up_to_the_control_plane_and_minor_by_minor() {
        assert_eq!(upgrades("1.32.9", "1.33.4", false), ["1.32.10", "1.33.3", "1.33.4"]);
        assert_eq!(upgrades("1.33.4", "1.33.4", false), [""; 0]);
        assert_eq!(upgrades("1.31.13", "1.33.3", false).last().unwrap(), "1.32.10");
        assert_eq!(upgrades("1.31.13", "1.33.3", true).last().unwrap(), "1.33.3");
        assert!(!is_next("1.33.5", "1.32.9") && !is_next("1.33.5", "1.33.5") && !is_next("1.31.11", "1.33.5"));
    }
}
