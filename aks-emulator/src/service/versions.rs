//! The Kubernetes versions that the emulated service has, and what leads to what. Never knows a pool or a cluster.

use super::syntax::{is_older, minor};

/// Supported versions with their patches, oldest first. Which the service has changes from month to month; these are
/// like those of early 2026.
const SUPPORTED: [&str; 13] = [
    "1.31.11", "1.31.12", "1.31.13", "1.32.7", "1.32.8", "1.32.9", "1.33.3", "1.33.4", "1.33.5", "1.34.0", "1.34.1",
    "1.35.0", "1.35.1",
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

/// What a control plane of this version can be upgraded to: newer patches, and those of the next minor.
pub(crate) fn control_plane_upgrades(current: &str) -> Vec<&'static str> {
    let newer = |version: &&str| is_older(current, version);
    let near = |version: &&str| match (minor(current), minor(version)) {
        (Some(from), Some(to)) => from.0 == to.0 && to.1 <= from.1 + 1,
        _ => false,
    };
    SUPPORTED.into_iter().filter(newer).filter(near).collect()
}

/// What a pool of this version can be upgraded to: newer supported versions up to the control plane's, and that one,
/// supported or not.
pub(crate) fn pool_upgrades<'a>(current: &str, control_plane: &'a str) -> Vec<&'a str> {
    let mut upgrades: Vec<&str> = SUPPORTED
        .into_iter()
        .filter(|version| is_older(current, version) && is_older(version, control_plane))
        .collect();
    if is_older(current, control_plane) {
        upgrades.push(control_plane);
    }
    upgrades
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
    fn upgrades_go_one_minor_up_and_pools_not_past_the_control_plane() {
        assert_eq!(control_plane_upgrades("1.33.4"), ["1.33.5", "1.34.0", "1.34.1"]);
        assert_eq!(control_plane_upgrades("1.35.1"), Vec::<&str>::new());
        assert_eq!(pool_upgrades("1.33.3", "1.33.5"), ["1.33.4", "1.33.5"]);
        assert_eq!(pool_upgrades("1.25.6", "1.25.7"), ["1.25.7"]);
        assert_eq!(pool_upgrades("1.33.5", "1.33.5"), Vec::<&str>::new());
        assert_eq!(for_new_pools("1.34.0").first(), Some(&"1.31.11"));
        assert_eq!(for_new_pools("1.34.0").last(), Some(&"1.34.0"));
        assert_eq!(for_new_pools("1.35.0").first(), Some(&"1.32.7"));
    }
}
