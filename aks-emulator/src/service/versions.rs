//! The Kubernetes versions that the service supports, what leads to what, and how a request names one. Never knows a
//! pool or a cluster.

use super::syntax::{is_older, minor};

/// Supported versions with their patches, oldest first. Which the service has changes from month to month; these are
/// like those of early 2026.
const SUPPORTED: [&str; 16] = [
    "1.31.11", "1.31.12", "1.31.13", "1.32.6", "1.32.7", "1.32.9", "1.32.10", "1.33.3", "1.33.4", "1.33.5", "1.33.6",
    "1.34.0", "1.34.1", "1.34.2", "1.35.0", "1.35.1",
];
/// The version that a cluster gets that asks for none.
const DEFAULT: &str = "1.33.5";

/// The supported versions, `major.minor.patch`, in ascending order.
pub(crate) fn supported() -> &'static [&'static str] {
    &SUPPORTED
}

/// Whether a version, or a minor without its patch, is the one that the service takes if none is asked for.
pub(crate) fn is_default(version: &str) -> bool {
    version == DEFAULT || version.split('.').count() == 2 && minor(version) == minor(DEFAULT)
}

/// The version that runs when `requested` is asked for. One without a patch becomes the control plane's if it is of
/// the same minor, or else the newest of its minor; `None` if that minor is not supported.
pub(crate) fn resolve(requested: &str, control_plane: &str) -> Option<String> {
    if requested.split('.').count() >= 3 {
        return Some(requested.to_owned());
    }
    let wanted = minor(requested)?;
    if minor(control_plane) == Some(wanted) {
        return Some(control_plane.to_owned());
    }
    SUPPORTED.iter().rev().find(|version| minor(version) == Some(wanted)).map(|version| (*version).to_owned())
}

/// Whether nodes may get a version: a supported one, or whatever the control plane has.
pub(crate) fn is_supported(version: &str, control_plane: &str) -> bool {
    version == control_plane || SUPPORTED.contains(&version)
}

/// Whether an upgrade goes forward and not past the next minor.
pub(crate) fn is_next(from: &str, to: &str) -> bool {
    match (minor(from), minor(to)) {
        (Some(from_minor), Some(to_minor)) => {
            is_older(from, to) && from_minor.0 == to_minor.0 && to_minor.1 <= from_minor.1 + 1
        }
        _ => false,
    }
}

/// What a control plane of this version can be upgraded to: newer patches, and those of the next minor.
pub(crate) fn control_plane_upgrades(current: &str) -> Vec<&'static str> {
    SUPPORTED.into_iter().filter(|version| is_next(current, version)).collect()
}

/// What a pool that runs `from` may be upgraded to, oldest first: supported versions up to the control plane's, and that
/// one, supported or not.
pub(crate) fn upgrades<'a>(from: &str, control_plane: &'a str, skip_minors: bool) -> Vec<&'a str> {
    let mut offered: Vec<&str> = SUPPORTED.into_iter().filter(|version| is_older(version, control_plane)).collect();
    offered.push(control_plane);
    offered.retain(|version| is_older(from, version) && (skip_minors || is_next(from, version)));
    offered
}

/// What a new pool may run beside a control plane of this version: supported versions that are not newer, at most
/// three minors behind.
pub(crate) fn for_new_pools(control_plane: &str) -> Vec<&'static str> {
    let near = |version: &&str| match (minor(version), minor(control_plane)) {
        (Some(of), Some(plane)) => of.0 == plane.0 && of.1 + 3 >= plane.1,
        _ => false,
    };
    SUPPORTED.into_iter().filter(|version| !is_older(control_plane, version)).filter(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ascends_and_has_the_default() {
        assert!(SUPPORTED.windows(2).all(|pair| is_older(pair[0], pair[1])));
        assert!(supported().contains(&DEFAULT) && is_default(DEFAULT) && is_default("1.33") && !is_default("1.34"));
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
        assert_eq!(upgrades("1.25.6", "1.25.7", false), ["1.25.7"]);
        assert_eq!(upgrades("1.33.4", "1.33.4", false), [""; 0]);
        assert_eq!(upgrades("1.31.13", "1.33.3", false).last().unwrap(), &"1.32.10");
        assert_eq!(upgrades("1.31.13", "1.33.3", true).last().unwrap(), &"1.33.3");
        assert!(!is_next("1.33.5", "1.32.9") && !is_next("1.33.5", "1.33.5") && !is_next("1.31.11", "1.33.5"));
    }

    #[test]
    fn control_planes_go_one_minor_up_and_new_pools_stay_near_theirs() {
        assert_eq!(control_plane_upgrades("1.33.4"), ["1.33.5", "1.33.6", "1.34.0", "1.34.1", "1.34.2"]);
        assert_eq!(control_plane_upgrades("1.35.1"), Vec::<&str>::new());
        assert_eq!(for_new_pools("1.34.0").first(), Some(&"1.31.11"));
        assert_eq!(for_new_pools("1.34.0").last(), Some(&"1.34.0"));
        assert_eq!(for_new_pools("1.35.0").first(), Some(&"1.32.6"));
    }
}
