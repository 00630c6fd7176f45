//! What AKS offers a pool to be upgraded to, from its answer to `upgradeProfiles/default`. Never chooses a version.

use nodepool_kernel::Version;
use serde_json::Value;

/// What AKS offers a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// The versions, in ascending order; previews are none.
    pub versions: Vec<Version>,
    /// The latest node image, if the service tells.
    pub latest_image: Option<String>,
}

/// What the document offers. A pool for which there is nothing newer has no list of versions.
///
/// # Errors
/// Names the part that is missing or can't be understood.
pub(super) fn offered(document: &Value) -> Result<Offer, String> {
    let properties = document.get("properties").and_then(Value::as_object).ok_or("properties is missing")?;
    let upgrades = match properties.get("upgrades") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(upgrades)) => upgrades,
        Some(_) => return Err("properties.upgrades is not a list".to_owned()),
    };
    let is_preview = |upgrade: &&Value| upgrade.get("isPreview") == Some(&Value::Bool(true));
    let version = |upgrade: &Value| Version::parse(upgrade.get("kubernetesVersion")?.as_str()?);
    let offered: Option<Vec<Version>> = upgrades.iter().filter(|upgrade| !is_preview(upgrade)).map(version).collect();
    let mut versions = offered.ok_or("an entry of properties.upgrades has no version that can be understood")?;
    versions.sort_unstable();
    let latest = properties.get("latestNodeImageVersion").and_then(Value::as_str).filter(|image| !image.is_empty());
    Ok(Offer { versions, latest_image: latest.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_offered_is_sorted_and_without_previews() {
        let entry = |version: &str| json!({"kubernetesVersion": version});
        let preview = json!({"kubernetesVersion": "1.36.0", "isPreview": true});
        for (properties, expected) in [
            (json!({"kubernetesVersion": "1.33.5"}), Ok(vec![])),
            (json!({"upgrades": null}), Ok(vec![])),
            (json!({"upgrades": [entry("1.34.10"), preview, entry("1.34.2")]}), Ok(vec!["1.34.2", "1.34.10"])),
            (json!({"upgrades": {}}), Err("properties.upgrades is not a list")),
            (json!({"upgrades": [{}]}), Err("an entry of properties.upgrades has no version that can be understood")),
            (json!(null), Err("properties is missing")),
        ] {
            let found = offered(&json!({ "properties": properties }));
            let found = found.map(|offer| offer.versions.iter().map(ToString::to_string).collect::<Vec<_>>());
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(found, expected, "{properties}");
        }
    }

    #[test]
    fn the_latest_image_is_told_or_not() {
        for (told, expected) in [(json!("AKSUbuntu-1"), Some("AKSUbuntu-1")), (json!(""), None), (json!(null), None)] {
            let found = offered(&json!({"properties": {"latestNodeImageVersion": told}})).unwrap();
            assert_eq!(found.latest_image.as_deref(), expected, "{told}");
        }
    }
}
