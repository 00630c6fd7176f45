//! How AKS takes a change of a property of a pool that exists, by api-version, as data. Never asks for a change.
//!
//! Source: the reference of the agentPools API, the answers `PropertyChangeNotAllowed` and what the Terraform provider
//! replaces a pool for.

use std::fmt;

/// How AKS takes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// On the nodes that are there.
    InPlace,
    /// Node by node: each is drained and made anew.
    Rolling,
    /// Not at all: another pool has to take the place of this one.
    Replace,
    /// Never: it says which pool it is.
    Forbidden,
}

use Mutability::{Forbidden, InPlace, Replace, Rolling};

/// The first api-version that lets the machines' size be changed, by rolling the pool, where the subscription has the feature.
const RESIZING: &str = "2026-01-02-preview";

/// Property, the api-version from which on the row holds (empty: every one), and how a change is taken. Of several rows the last
/// that holds counts.
const TABLE: [(&str, &str, Mutability); 38] = [
    ("availabilityZones", "", Replace),
    ("capacityReservationGroupID", "", Replace),
    ("count", "", InPlace),
    ("enableAutoScaling", "", InPlace),
    ("enableEncryptionAtHost", "", Replace),
    ("enableFIPS", "", Rolling),
    ("enableNodePublicIP", "", Replace),
    ("enableUltraSSD", "", Replace),
    ("gpuInstanceProfile", "", Replace),
    ("hostGroupID", "", Replace),
    ("kubeletConfig", "", Replace),
    ("kubeletDiskType", "", Replace),
    ("linuxOSConfig", "", Replace),
    ("maxCount", "", InPlace),
    ("maxPods", "", Replace),
    ("minCount", "", InPlace),
    ("mode", "", InPlace),
    ("name", "", Forbidden),
    ("nodeLabels", "", InPlace),
    ("nodePublicIPPrefixID", "", Replace),
    ("nodeTaints", "", InPlace),
    ("orchestratorVersion", "", Rolling),
    ("osDiskSizeGB", "", Replace),
    ("osDiskType", "", Replace),
    ("osSKU", "", Rolling),
    ("osType", "", Replace),
    ("podSubnetID", "", Replace),
    ("powerState", "", InPlace),
    ("proximityPlacementGroupID", "", Replace),
    ("scaleDownMode", "", InPlace),
    ("scaleSetEvictionPolicy", "", Replace),
    ("scaleSetPriority", "", Replace),
    ("spotMaxPrice", "", Replace),
    ("tags", "", InPlace),
    ("upgradeSettings", "", InPlace),
    ("vmSize", "", Replace),
    ("vmSize", RESIZING, Rolling),
    ("vnetSubnetID", "", Replace),
];

impl Mutability {
    /// How AKS takes a change of the property of that name in ARM; `None` if that is not known.
    ///
    /// Api-versions are compared as texts: they begin with a date, and a preview comes after the date it carries.
    #[must_use]
    pub fn of(property: &str, api_version: &str) -> Option<Self> {
        let holds = |(of, since, _): &&(&str, &str, Self)| *of == property && *since <= api_version;
        TABLE.iter().rfind(holds).map(|(.., mutability)| *mutability)
    }
}

impl fmt::Display for Mutability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InPlace => "InPlace",
            Self::Rolling => "Rolling",
            Self::Replace => "Replace",
            Self::Forbidden => "Forbidden",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::TEMPLATE_FIELDS;

    #[test]
    fn the_last_row_that_holds_counts() {
        for (property, api_version, mutability) in [
            ("vmSize", "2025-10-01", Some(Replace)),
            ("vmSize", "2026-01-01", Some(Replace)),
            ("vmSize", "2026-01-02-preview", Some(Rolling)),
            ("vmSize", "2026-04-01", Some(Rolling)),
            ("enableFIPS", "2025-10-01", Some(Rolling)),
            ("nodeLabels", "2025-10-01", Some(InPlace)),
            ("name", "2025-10-01", Some(Forbidden)),
            ("eTag", "2025-10-01", None),
        ] {
            assert_eq!(Mutability::of(property, api_version), mutability, "{property} {api_version}");
        }
    }

    #[test]
    fn every_property_of_the_template_has_a_row_and_rows_are_sorted() {
        for field in &TEMPLATE_FIELDS {
            assert!(Mutability::of(field.top_property(), "2025-10-01").is_some(), "{}", field.property);
        }
        let key = |(property, since, _): &(&str, &'static str, Mutability)| (property.to_ascii_lowercase(), *since);
        assert!(TABLE.is_sorted_by(|a, b| key(a) < key(b)));
    }
}
