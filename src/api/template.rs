//! `spec.template`: what a pool is created from, as people write it. Never holds defaults: Azure chooses what is absent.

use kube::KubeSchema;
use nodepool_kernel::FieldValue;
use serde::{Deserialize, Serialize};

use super::node_config::{KubeletConfig, LinuxOsConfig, value_at};

/// What the pool is created from if it does not exist. A pool that exists is compared with it, field by field, and never
/// changed for it: differences stand in the status. Fields that are absent are chosen by Azure and not compared.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.osSKU) || self.osSKU.startsWith('Windows') == (has(self.osType) && self.osType == 'Windows')").message(Message::Expression("'spec.template.osSKU ' + self.osSKU + (self.osSKU.startsWith('Windows') ? ' needs osType Windows' : ' is none of Windows: choose a Windows SKU, or leave osType out')".into())))]
#[x_kube(validation = Rule::new("!has(self.spotMaxPrice) || (has(self.priority) && self.priority == 'Spot')").message(Message::Expression("'spec.template.spotMaxPrice ' + self.spotMaxPrice + ' has a meaning only with priority Spot: set priority to Spot, or remove it'".into())))]
#[x_kube(validation = Rule::new("!has(self.evictionPolicy) || (has(self.priority) && self.priority == 'Spot')").message(Message::Expression("'spec.template.evictionPolicy ' + self.evictionPolicy + ' has a meaning only with priority Spot: set priority to Spot, or remove it'".into())))]
#[x_kube(validation = Rule::new("!has(self.nodePublicIPPrefixID) || (has(self.enableNodePublicIP) && self.enableNodePublicIP)").message("spec.template.nodePublicIPPrefixID has a meaning only with enableNodePublicIP: set enableNodePublicIP to true, or remove it"))]
#[x_kube(validation = Rule::new("!has(self.linuxOSConfig) || !has(self.osType) || self.osType != 'Windows'").message("spec.template.linuxOSConfig does not fit osType Windows: remove it, or leave osType out"))]
#[x_kube(validation = Rule::new("!has(self.kubeletConfig) || !has(self.osType) || self.osType != 'Windows' || !(has(self.kubeletConfig.cpuManagerPolicy) || has(self.kubeletConfig.cpuCfsQuota) || has(self.kubeletConfig.cpuCfsQuotaPeriod) || has(self.kubeletConfig.topologyManagerPolicy) || has(self.kubeletConfig.allowedUnsafeSysctls) || has(self.kubeletConfig.failSwapOn) || has(self.kubeletConfig.podMaxPids))").message("spec.template.kubeletConfig of osType Windows has imageGcHighThreshold, imageGcLowThreshold, containerLogMaxSizeMB and containerLogMaxFiles only: remove all others"))]
#[x_kube(validation = Rule::new("!has(self.linuxOSConfig) || !has(self.linuxOSConfig.swapFileSizeMB) || (has(self.kubeletConfig) && has(self.kubeletConfig.failSwapOn) && !self.kubeletConfig.failSwapOn)").message("spec.template.linuxOSConfig.swapFileSizeMB needs a kubelet that runs with swap: set kubeletConfig.failSwapOn to false, or remove it"))]
pub struct PoolTemplate {
    /// The size of the pool's machines; system pools need 2 cores and 4 GB at least. A size with a `p` among its features
    /// has an ARM64 processor. Example: `Standard_D4ds_v5`.
    #[serde(rename = "vmSize")]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9-]+)+$"))]
    pub vm_size: String,

    /// The operating system. System pools are Linux pools. Without it: `Linux`.
    #[serde(rename = "osType", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Linux", "Windows"]))]
    pub os_type: Option<String>,

    /// The edition of the operating system. Examples: `Ubuntu`, `AzureLinux`, `Windows2022`.
    #[serde(rename = "osSKU", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub os_sku: Option<String>,

    /// The availability zones of the nodes. Without it: none. Example: `["1", "2", "3"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 9), inner(length(max = 1), regex(pattern = "^[1-9]$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub zones: Option<Vec<String>>,

    /// How many pods a node takes, 10 to 250, at least 30 in system pools. Without it, Azure chooses by the network plugin.
    #[serde(rename = "maxPods", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 250))]
    pub max_pods: Option<i32>,

    /// The size of a node's system disk in GB, 30 to 2048. Without it, Azure chooses by the VM size.
    #[serde(rename = "osDiskSizeGB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 2048))]
    pub os_disk_size_gb: Option<i32>,

    /// Where the system disk is: `Managed` beside the machine, `Ephemeral` on it. An ephemeral disk must fit into the cache
    /// or temporary disk of the VM size.
    #[serde(rename = "osDiskType", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Managed", "Ephemeral"]))]
    pub os_disk_type: Option<String>,

    /// Where the node keeps images and what pods write: on the system disk (`OS`) or the `Temporary` disk.
    #[serde(rename = "kubeletDiskType", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["OS", "Temporary"]))]
    pub kubelet_disk_type: Option<String>,

    /// The subnet of the nodes, in the virtual network of the cluster's other pools.
    #[serde(rename = "vnetSubnetID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(
            pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/Microsoft[.][Nn]etwork/virtual[nN]etworks/[^/]+/subnets/[^/]+$"
        )
    )]
    pub vnet_subnet_id: Option<String>,

    /// The subnet of the pods, in the virtual network of the nodes. Without it, pods are where nodes are.
    #[serde(rename = "podSubnetID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(
            pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/Microsoft[.][Nn]etwork/virtual[nN]etworks/[^/]+/subnets/[^/]+$"
        )
    )]
    pub pod_subnet_id: Option<String>,

    /// An operating system with FIPS 140 modules. Not with ARM64 sizes.
    #[serde(rename = "enableFIPS", default, skip_serializing_if = "Option::is_none")]
    pub enable_fips: Option<bool>,

    /// Encryption of temporary disks and caches on the machine's host.
    #[serde(rename = "enableEncryptionAtHost", default, skip_serializing_if = "Option::is_none")]
    pub enable_encryption_at_host: Option<bool>,

    /// Ultra disks on the nodes.
    #[serde(rename = "enableUltraSSD", default, skip_serializing_if = "Option::is_none")]
    pub enable_ultra_ssd: Option<bool>,

    /// A public address for each node.
    #[serde(rename = "enableNodePublicIP", default, skip_serializing_if = "Option::is_none")]
    pub enable_node_public_ip: Option<bool>,

    /// The prefix that the nodes' public addresses are taken from.
    #[serde(rename = "nodePublicIPPrefixID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$")
    )]
    pub node_public_ip_prefix_id: Option<String>,

    /// The group that keeps the machines close to each other.
    #[serde(rename = "proximityPlacementGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$")
    )]
    pub proximity_placement_group_id: Option<String>,

    /// The group of reserved capacity that the machines are taken from.
    #[serde(rename = "capacityReservationGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$")
    )]
    pub capacity_reservation_group_id: Option<String>,

    /// The group of dedicated hosts that the machines run on.
    #[serde(rename = "hostGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 400),
        regex(pattern = "^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$")
    )]
    pub host_group_id: Option<String>,

    /// `Spot` machines are cheap and taken away when Azure needs them; not for system pools. Without it: `Regular`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Regular", "Spot"]))]
    pub priority: Option<String>,

    /// The most that a Spot machine may cost an hour, in US dollars; `"-1"` for the price of a regular one. Example:
    /// `"0.05"`.
    #[serde(rename = "spotMaxPrice", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 11), regex(pattern = "^(-1|[0-9]{1,5}([.][0-9]{1,5})?)$"))]
    pub spot_max_price: Option<String>,

    /// What becomes of a Spot machine that is taken away. Without it: `Delete`.
    #[serde(rename = "evictionPolicy", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Delete", "Deallocate"]))]
    pub eviction_policy: Option<String>,

    /// What becomes of a machine that is not needed any more. Without it: `Delete`.
    #[serde(rename = "scaleDownMode", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Delete", "Deallocate"]))]
    pub scale_down_mode: Option<String>,

    /// How a GPU that can be shared is divided.
    #[serde(rename = "gpuInstanceProfile", default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"]))]
    pub gpu_instance_profile: Option<String>,

    /// How the kubelets of the nodes are set.
    #[serde(rename = "kubeletConfig", default, skip_serializing_if = "Option::is_none")]
    pub kubelet_config: Option<KubeletConfig>,

    /// How the operating systems of the nodes are set. Not on Windows.
    #[serde(rename = "linuxOSConfig", default, skip_serializing_if = "Option::is_none")]
    pub linux_os_config: Option<LinuxOsConfig>,
}

impl PoolTemplate {
    /// The value of the field of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<FieldValue> {
        let text = |text: &Option<String>| text.clone().map(FieldValue::Text);
        let number = |number: Option<i32>| number.map(|number| FieldValue::Number(number.into()));
        let flag = |flag: Option<bool>| flag.map(FieldValue::Flag);
        match name {
            "capacityReservationGroupID" => text(&self.capacity_reservation_group_id),
            "enableEncryptionAtHost" => flag(self.enable_encryption_at_host),
            "enableFIPS" => flag(self.enable_fips),
            "enableNodePublicIP" => flag(self.enable_node_public_ip),
            "enableUltraSSD" => flag(self.enable_ultra_ssd),
            "evictionPolicy" => text(&self.eviction_policy),
            "gpuInstanceProfile" => text(&self.gpu_instance_profile),
            "hostGroupID" => text(&self.host_group_id),
            "kubeletDiskType" => text(&self.kubelet_disk_type),
            "maxPods" => number(self.max_pods),
            "nodePublicIPPrefixID" => text(&self.node_public_ip_prefix_id),
            "osDiskSizeGB" => number(self.os_disk_size_gb),
            "osDiskType" => text(&self.os_disk_type),
            "osSKU" => text(&self.os_sku),
            "osType" => text(&self.os_type),
            "podSubnetID" => text(&self.pod_subnet_id),
            "priority" => text(&self.priority),
            "proximityPlacementGroupID" => text(&self.proximity_placement_group_id),
            "scaleDownMode" => text(&self.scale_down_mode),
            "spotMaxPrice" => self.spot_max_price.clone().map(FieldValue::Decimal),
            "vmSize" => Some(FieldValue::Text(self.vm_size.clone())),
            "vnetSubnetID" => text(&self.vnet_subnet_id),
            "zones" => self.zones.clone().map(FieldValue::List),
            _ => match name.split_once('.')? {
                ("kubeletConfig", path) => value_at(self.kubelet_config.as_ref()?, path),
                ("linuxOSConfig", path) => value_at(self.linux_os_config.as_ref()?, path),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{FieldKind, TEMPLATE_FIELDS};
    use serde_json::{Map, Value, json};

    use super::*;

    /// A value for every field of the kernel's table.
    fn every_field() -> Map<String, Value> {
        let value = |kind| match kind {
            FieldKind::Text => json!("a"),
            FieldKind::Decimal => json!("0.5"),
            FieldKind::Number => json!(30),
            FieldKind::Flag => json!(true),
            FieldKind::List => json!(["1"]),
        };
        let mut all = json!({});
        for field in &TEMPLATE_FIELDS {
            let place = field.name.split('.').fold(&mut all, |object, name| &mut object[name]);
            *place = value(field.kind);
        }
        all.as_object().unwrap().clone()
    }

    #[test]
    fn every_field_that_people_can_write_has_its_place_in_the_kernel() {
        let template: PoolTemplate = serde_json::from_value(Value::Object(every_field())).unwrap();
        let written = serde_json::to_value(&template).unwrap();
        assert_eq!(written, Value::Object(every_field()), "nothing is lost, and nothing is left over");
        for field in &TEMPLATE_FIELDS {
            let value = template.value(field.name).unwrap_or_else(|| panic!("{} has no value", field.name));
            let kind = match value {
                FieldValue::Text(_) => FieldKind::Text,
                FieldValue::Number(_) => FieldKind::Number,
                FieldValue::Decimal(_) => FieldKind::Decimal,
                FieldValue::Flag(_) => FieldKind::Flag,
                FieldValue::List(_) => FieldKind::List,
            };
            assert_eq!(kind, field.kind, "{}", field.name);
        }
        let schema = serde_json::to_value(schemars::schema_for!(PoolTemplate)).unwrap();
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let tops: std::collections::BTreeSet<&str> =
            TEMPLATE_FIELDS.iter().map(|field| field.name.split('.').next().unwrap()).collect();
        assert_eq!(names.len(), tops.len(), "{names:?}");
        assert!(template.value("name").is_none());
    }
}
