//! Versions and settings of upgrades that policies ask for, and what is told of pools for their sake. Never a cluster.

use nodepool_kernel::{
    ImageRequest, Known, Node, Occupancy, Rows, Upgradable, UpgradeSettings, Version, WantedVersion,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::clusters::NOW;

/// A version that a policy asks for, mostly none.
pub fn wanted_version() -> impl Strategy<Value = Option<WantedVersion>> {
    let version = |text: &str| Version::parse(text).map_or(WantedVersion::ControlPlane, WantedVersion::Exactly);
    let texts = vec!["1.34", "1.34.2", "1.33", "1.32", "1.35", "ControlPlane"];
    option::weighted(0.3, select(texts).prop_map(version))
}

/// That somebody asks for the latest node image, mostly not.
pub fn image_request() -> impl Strategy<Value = Option<ImageRequest>> {
    let from = option::weighted(0.4, select(vec!["old".to_owned(), "new".to_owned()]));
    let request = (from, prop::bool::weighted(0.2)).prop_map(|(from, taken)| ImageRequest { from, taken });
    option::weighted(0.2, request)
}

/// Settings of upgrades, mostly none.
pub fn upgrade() -> impl Strategy<Value = UpgradeSettings> {
    let amounts = || option::weighted(0.2, select(vec!["0".to_owned(), "1".to_owned(), "50%".to_owned()]));
    (amounts(), amounts(), option::weighted(0.1, select(vec![30, 45]))).prop_map(|(surge, unavailable, drain)| {
        UpgradeSettings {
            max_surge: surge,
            max_unavailable: unavailable,
            drain_timeout_minutes: drain,
            ..UpgradeSettings::default()
        }
    })
}

/// What the upgrade of a pool depends on, mostly nothing that stands against it; `None` if that has not been read.
pub fn upgradable(pool: &str, nodes: &Rows<Node>, told: u8) -> Option<Known<Upgradable>> {
    let of_pool = nodes.iter().filter(|node| node.pool.as_deref() == Some(pool));
    let occupancy = Occupancy { nodes: of_pool.map(|node| node.name.clone()).collect(), ..Occupancy::default() };
    let offered = ["1.33.6", "1.34.2"].into_iter().filter_map(Version::parse).collect();
    match told {
        0 => None,
        1 => Some(Known::unknown("no answer")),
        _ => Some(Known::seen(NOW, Upgradable { offered, latest_image: Some("new".into()), occupancy })),
    }
}
