//! Versions and settings of upgrades in a snapshot, likely and not: what policies ask for, what is told of pools for their
//! sake, and changes that fit or not. Never judges.

use std::collections::BTreeMap;

use arbitrary::Result;
use nodepool_kernel::{
    AgentPool, Change, ImageRequest, Known, Occupancy, Snapshot, Upgradable, UpgradeSettings, Version, WantedVersion,
};

use crate::strange::{AMOUNTS, Input, few, known, maybe, number};

fn version(input: Input<'_, '_>) -> Result<Version> {
    let minor = if input.ratio(1, 8)? { number(input)? } else { input.int_in_range(32..=35)? };
    let patch = if input.ratio(1, 2)? { Some(input.int_in_range(0..=6)?) } else { None };
    Ok(Version { major: if input.ratio(1, 20)? { 2 } else { 1 }, minor, patch })
}

/// What the control plane runs, if it is told.
pub fn control_plane(input: Input<'_, '_>) -> Result<Option<Version>> {
    if input.ratio(1, 10)? {
        return Ok(None);
    }
    Ok(if input.ratio(1, 4)? { Some(version(input)?) } else { Version::parse("1.34.2") })
}

/// What a policy asks for, mostly nothing.
pub fn wanted(input: Input<'_, '_>) -> Result<Option<WantedVersion>> {
    if input.ratio(2, 3)? {
        return Ok(None);
    }
    Ok(Some(if input.ratio(1, 3)? { WantedVersion::ControlPlane } else { WantedVersion::Exactly(version(input)?) }))
}

/// The image of a pool, mostly one of two.
pub fn image(input: Input<'_, '_>) -> Result<Option<String>> {
    maybe(input, &["", "old", "old", "new"])
}

/// That somebody asks for the latest image, mostly not.
pub fn image_request(input: Input<'_, '_>) -> Result<Option<ImageRequest>> {
    if input.ratio(3, 4)? {
        return Ok(None);
    }
    Ok(Some(ImageRequest { from: image(input)?, taken: input.ratio(1, 4)? }))
}

/// Some settings or none.
pub fn settings(input: Input<'_, '_>) -> Result<UpgradeSettings> {
    if input.ratio(3, 4)? {
        return Ok(UpgradeSettings::default());
    }
    Ok(UpgradeSettings {
        max_surge: maybe(input, &AMOUNTS)?,
        max_unavailable: maybe(input, &AMOUNTS)?,
        drain_timeout_minutes: if input.ratio(1, 2)? { Some(number(input)?) } else { None },
        ..UpgradeSettings::default()
    })
}

/// An upgrade, or a change of its settings that mostly fits.
pub fn change(input: Input<'_, '_>, pool: &AgentPool, kind: u8) -> Result<Change> {
    if kind == 15 && input.ratio(1, 3)? {
        return Ok(Change::NodeImage { from: pool.node_image.clone().unwrap_or_default() });
    }
    if kind == 15 {
        let from = if input.ratio(1, 10)? { Some(version(input)?) } else { pool.version() };
        return Ok(Change::Version { from, to: version(input)? });
    }
    let (from, to) = settings(input)?.toward(pool).unwrap_or_default();
    Ok(Change::UpgradeSettings { from, to })
}

/// What is told of the pools, mostly all that an upgrade needs.
pub fn upgradable(input: Input<'_, '_>, seen: &Snapshot) -> Result<BTreeMap<String, Known<Upgradable>>> {
    let mut all = BTreeMap::new();
    for pool in seen.cluster.value().iter().flat_map(|cluster| &cluster.pools) {
        if input.ratio(1, 10)? {
            continue;
        }
        let of_pool = seen.nodes.value().into_iter().flatten().filter(|node| node.pool.as_ref() == Some(&pool.name));
        let nodes = of_pool.map(|node| node.name.clone()).collect();
        let budgets = if input.ratio(1, 4)? { few(input)? } else { vec![] };
        let occupancy = Occupancy { nodes, pods: vec![], budgets };
        let offered = vec![version(input)?, Version { major: 1, minor: 34, patch: Some(2) }];
        let told = Upgradable { offered, latest_image: image(input)?, occupancy };
        all.insert(pool.name.clone(), known(input, seen.now, told)?);
    }
    Ok(all)
}
