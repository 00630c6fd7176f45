//! What the name of a VM size tells: `Standard_D4pds_v5` is family `D`, 4 cores, features `pds`. Never guesses about a
//! name of another form.
//!
//! Source: Azure's naming conventions for VM sizes; `p` is an ARM processor.

/// Cores and features, if the name is of the known form.
fn parts(size: &str) -> Option<(&str, u32, &str)> {
    let name = size.split_once('_').map_or(size, |(_, name)| name);
    let name = name.split('_').next()?;
    let from = name.find(|c: char| c.is_ascii_digit())?;
    let (family, rest) = name.split_at_checked(from)?;
    let to = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (cores, features) = rest.split_at_checked(to)?;
    Some((family, cores.parse().ok()?, features))
}

/// Whether machines of this size have an ARM64 processor.
#[must_use]
pub(crate) fn is_arm64(size: &str) -> bool {
    parts(size).is_some_and(|(_, _, features)| features.contains('p'))
}

/// Whether machines of this size have less than the 2 cores and 4 GB that AKS asks of a system pool's.
///
/// With two cores only the first A2 (3.5 GB) and the burstable sizes with a `t` (1 GB) have less than 4 GB.
#[must_use]
pub fn is_too_small_for_system(size: &str) -> bool {
    let is_first_a2 = size.eq_ignore_ascii_case("Standard_A2") || size.eq_ignore_ascii_case("Basic_A2");
    parts(size).is_some_and(|(family, cores, features)| {
        let tiny = family.eq_ignore_ascii_case("B") && cores == 2 && features.contains('t');
        cores < 2 || tiny || is_first_a2
    })
}

/// Whether machines of this size have a graphics processor: the families NC, ND, NG and NV.
#[must_use]
pub(crate) fn has_gpu(size: &str) -> bool {
    let families = ["NC", "ND", "NG", "NV"];
    parts(size).is_some_and(|(of, _, _)| families.iter().any(|family| of.eq_ignore_ascii_case(family)))
}

/// Whether machines of this size have processors that are slowed down when they have worked for long: the family B.
#[must_use]
pub(crate) fn is_burstable(size: &str) -> bool {
    parts(size).is_some_and(|(family, _, _)| family.eq_ignore_ascii_case("B"))
}

/// The most gigabytes that an ephemeral disk can have on machines of this size, where AKS's documents tell: it lies in the
/// cache of the machine, and sizes with a cache but hardly a disk of their own have no more room than that.
///
/// Source: "Node pools with Ephemeral OS disks" of AKS's manual (`Standard_DS2_v2` has 86 GB, `Standard_DS3_v2` 172 GB), and
/// the tables of the families `DSv2` and `Dsv3` in Azure's documents.
#[must_use]
pub(crate) fn cache_gigabytes(size: &str) -> Option<i64> {
    const CACHES: [(&str, i64); 10] = [
        ("Standard_DS1_v2", 43),
        ("Standard_DS2_v2", 86),
        ("Standard_DS3_v2", 172),
        ("Standard_DS4_v2", 344),
        ("Standard_DS5_v2", 688),
        ("Standard_D2s_v3", 50),
        ("Standard_D4s_v3", 100),
        ("Standard_D8s_v3", 200),
        ("Standard_D16s_v3", 400),
        ("Standard_D32s_v3", 800),
    ];
    CACHES.iter().find(|(name, _)| name.eq_ignore_ascii_case(size)).map(|(_, gigabytes)| *gigabytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_where_they_are_known() {
        assert_eq!(cache_gigabytes("standard_ds2_v2"), Some(86));
        assert_eq!(cache_gigabytes("Standard_D4ds_v5"), None);
    }

    #[test]
    fn processors_are_told_by_the_name() {
        for size in ["Standard_D4ps_v5", "Standard_D2plds_v5", "Standard_E4ps_v5", "standard_b2pls_v2"] {
            assert!(is_arm64(size), "{size}");
        }
        for size in ["Standard_D4ds_v5", "Standard_NP10s", "Standard_DS2_v2", "Standard_NC40ads_H100_v5", "", "x"] {
            assert!(!is_arm64(size), "{size}");
        }
    }

    #[test]
    fn burstable_machines_are_told_by_the_family() {
        assert!(is_burstable("Standard_B2ms") && is_burstable("standard_b2pls_v2"));
        assert!(["Standard_D4ds_v5", "Standard_HB120rs_v2", "B", ""].iter().all(|size| !is_burstable(size)));
    }

    #[test]
    fn graphics_processors_are_told_by_the_family() {
        for size in ["Standard_NC40ads_H100_v5", "Standard_ND96asr_v4", "standard_nv36ads_a10_v5", "Standard_NC6s_v3"] {
            assert!(has_gpu(size), "{size}");
        }
        for size in ["Standard_NP10s", "Standard_D4ds_v5", "Standard_N4", "", "x"] {
            assert!(!has_gpu(size), "{size}");
        }
    }

    #[test]
    fn small_machines_are_told_by_the_name() {
        for size in
            ["Standard_B1s", "Standard_DS1_v2", "Standard_A1_v2", "Standard_A2", "Standard_B2pts_v2", "Standard_F1"]
        {
            assert!(is_too_small_for_system(size), "{size}");
        }
        for size in
            ["Standard_B2ms", "Standard_B2pls_v2", "Standard_D2s_v3", "Standard_A2_v2", "Standard_D16_v3", "odd"]
        {
            assert!(!is_too_small_for_system(size), "{size}");
        }
    }
}
