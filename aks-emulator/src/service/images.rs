//! Names of node images: distribution, kind and release. Never decides when nodes get one.

use serde_json::{Map, Value, json};

use super::state::{Cluster, text};

/// Of the newest recording: the newest release unless the cluster says otherwise, and that of the pools that a cluster
/// starts with.
const RELEASE: &str = "202601.07.0";

/// The newest image for a pool with these properties.
pub(crate) fn latest(cluster: &Cluster, properties: &Map<String, Value>) -> String {
    image(properties, cluster.latest_node_image.as_deref().unwrap_or(RELEASE))
}

/// The image of a pool that a cluster starts with.
pub(crate) fn initial(properties: &Map<String, Value>) -> String {
    image(properties, RELEASE)
}

/// The name of the Ubuntu image is recorded, the others are assumed.
fn image(properties: &Map<String, Value>, release: &str) -> String {
    let fips = if properties.get("enableFIPS") == Some(&json!(true)) { "fips" } else { "" };
    let sku = text(properties, "osSKU");
    let family = if text(properties, "osType") == "Windows" {
        "AKSWindows-2022-containerd-gen2".to_owned()
    } else if is_azure_linux(sku) {
        format!("AKSAzureLinux-V3gen2{fips}")
    } else if sku == "Ubuntu2404" {
        format!("AKSUbuntu-2404gen2{fips}containerd")
    } else {
        format!("AKSUbuntu-2204gen2{fips}containerd")
    };
    format!("{family}-{release}")
}

/// Whether a pool may change from one `osSKU` to another: among Linux distributions, never from or to Windows.
pub(crate) fn may_change(from: &str, to: &str) -> bool {
    let linux = |sku: &str| sku.starts_with("Ubuntu") || is_azure_linux(sku);
    linux(from) && linux(to)
}

fn is_azure_linux(sku: &str) -> bool {
    ["AzureLinux", "CBLMariner", "Mariner"].iter().any(|name| sku.starts_with(name))
}
