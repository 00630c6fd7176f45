//! Node objects as AKS registers them: labels, capacity, provider id. Never sends them anywhere.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;

use super::{NewInstance, NodePool, machine, names, reconcile};

/// The label that says which pool a node belongs to.
pub(crate) const POOL_LABEL: &str = "kubernetes.azure.com/agentpool";
/// The label that says in which zone a node is.
pub(super) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// The label of a node that an upgrade could not drain, and its value.
pub(super) const UPGRADE_STATUS_LABEL: &str = "kubernetes.azure.com/upgrade-status";
pub(super) const QUARANTINED: &str = "Quarantined";

/// The node of a new instance.
pub(super) fn node(pool: &NodePool, instance: &NewInstance) -> Node {
    let name = names::node(&pool.scale_set, instance.number);
    let mut labels = labels(pool, &name, instance.zone.as_deref());
    labels.extend(pool.labels.clone());
    let taints: Vec<Taint> =
        pool.taints.iter().chain(&pool.initialization_taints).filter_map(|text| reconcile::taint(text)).collect();
    Node {
        metadata: ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(NodeSpec {
            provider_id: Some(names::provider_id(pool, instance.number)),
            taints: (!taints.is_empty()).then_some(taints),
            ..NodeSpec::default()
        }),
        status: Some(status(pool)),
    }
}

/// The node that the instance with this number would be.
pub(crate) fn new_node(pool: &NodePool, number: u64, zone: Option<String>) -> Node {
    node(pool, &NewInstance { number, zone })
}

/// The labels that AKS writes onto a node (section 5 of the facts), the pool's own aside.
pub(super) fn labels(pool: &NodePool, name: &str, zone: Option<&str>) -> BTreeMap<String, String> {
    let os = pool.os_type.to_ascii_lowercase();
    // A scale set without zones shows its fault domain.
    let zone = zone.map_or_else(|| "0".to_owned(), |zone| format!("{}-{zone}", pool.location));
    let fixed = [
        ("agentpool", pool.name.as_str()),
        (POOL_LABEL, &pool.name),
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/instance-type", &pool.vm_size),
        ("beta.kubernetes.io/os", &os),
        ("failure-domain.beta.kubernetes.io/region", &pool.location),
        ("failure-domain.beta.kubernetes.io/zone", &zone),
        ("kubernetes.azure.com/cluster", &pool.node_resource_group),
        ("kubernetes.azure.com/managedby", "aks"),
        ("kubernetes.azure.com/node-image-version", &pool.node_image_version),
        ("kubernetes.azure.com/nodepool-type", "VirtualMachineScaleSets"),
        ("kubernetes.azure.com/os-sku", &pool.os_sku),
        ("kubernetes.azure.com/os-sku-effective", &pool.os_sku),
        ("kubernetes.azure.com/os-sku-requested", &pool.os_sku),
        ("kubernetes.azure.com/role", "agent"),
        ("kubernetes.azure.com/storageprofile", "managed"),
        ("kubernetes.azure.com/storagetier", "Premium_LRS"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", &os),
        ("node.kubernetes.io/instance-type", &pool.vm_size),
        ("storageprofile", "managed"),
        ("storagetier", "Premium_LRS"),
        ("topology.disk.csi.azure.com/zone", if zone == "0" { "" } else { &zone }),
        ("topology.kubernetes.io/region", &pool.location),
        (ZONE_LABEL, &zone),
    ];
    let mut labels: BTreeMap<String, String> =
        fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    labels.extend(mutable_labels(pool));
    labels
}

/// The labels of AKS that follow a change of the pool in place.
pub(super) fn mutable_labels(pool: &NodePool) -> BTreeMap<String, String> {
    BTreeMap::from([("kubernetes.azure.com/mode".to_owned(), pool.mode.to_ascii_lowercase())])
}

fn status(pool: &NodePool) -> NodeStatus {
    let (cpus, gibibytes) = machine::size(&pool.vm_size).unwrap_or((4, 16));
    let mebibytes = gibibytes * 1024;
    let quantities = |millicpus: u64, mebibytes: u64, disk: &str| {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(format!("{millicpus}m"))),
            ("memory".to_owned(), Quantity(format!("{mebibytes}Mi"))),
            ("ephemeral-storage".to_owned(), Quantity(disk.to_owned())),
            ("pods".to_owned(), Quantity(pool.max_pods.to_string())),
        ])
    };
    // AKS reserves CPU by size and, at 250 pods, some 5 GiB at most; a quarter of a small machine.
    let reserved = (mebibytes / 4).min(pool.max_pods * 20 + 50);
    NodeStatus {
        capacity: Some(quantities(cpus * 1000, mebibytes, "129886128Ki")),
        allocatable: Some(quantities(cpus * 1000 - 140, mebibytes - reserved, "119703055367")),
        node_info: Some(NodeSystemInfo {
            architecture: "amd64".to_owned(),
            container_runtime_version: "containerd://1.7.28-1".to_owned(),
            kernel_version: "5.15.0-1098-azure".to_owned(),
            kube_proxy_version: String::new(),
            kubelet_version: format!("v{}", pool.kubernetes_version),
            operating_system: pool.os_type.to_ascii_lowercase(),
            os_image: os_image(pool).to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn os_image(pool: &NodePool) -> &'static str {
    if pool.os_type == "Windows" {
        "Windows Server 2022 Datacenter"
    } else if pool.os_sku.starts_with("AzureLinux") {
        "Microsoft Azure Linux 3.0"
    } else {
        "Ubuntu 22.04.5 LTS"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn pool() -> NodePool {
        NodePool {
            subscription: "S".to_owned(),
            node_resource_group: "MC_rg_c_westeurope".to_owned(),
            location: "westeurope".to_owned(),
            name: "apps".to_owned(),
            scale_set: "aks-apps-12345678-vmss".to_owned(),
            mode: "User".to_owned(),
            vm_size: "Standard_D4ds_v5".to_owned(),
            os_type: "Linux".to_owned(),
            os_sku: "Ubuntu".to_owned(),
            node_image_version: "AKSUbuntu-2204gen2containerd-202601.07.0".to_owned(),
            kubernetes_version: "1.33.5".to_owned(),
            max_pods: 250,
            labels: BTreeMap::from([("tier".to_owned(), "web".to_owned())]),
            taints: vec!["team=apps:NoSchedule".to_owned()],
            initialization_taints: vec!["starting:NoSchedule".to_owned()],
            zones: Vec::new(),
            spot: false,
        }
    }

    #[test]
    fn a_node_carries_what_aks_and_its_pool_give_it() {
        let instance = NewInstance { number: 11, zone: Some("2".to_owned()) };
        let node = node(&pool(), &instance);
        assert_eq!(node.metadata.name.as_deref(), Some("aks-apps-12345678-vmss00000b"));
        let labels = node.metadata.labels.unwrap();
        for (key, value) in [
            ("agentpool", "apps"),
            ("kubernetes.azure.com/mode", "user"),
            ("kubernetes.azure.com/cluster", "MC_rg_c_westeurope"),
            ("topology.kubernetes.io/zone", "westeurope-2"),
            ("kubernetes.io/hostname", "aks-apps-12345678-vmss00000b"),
            ("tier", "web"),
        ] {
            assert_eq!(labels[key], value, "{key}");
        }
        let spec = node.spec.unwrap();
        assert_eq!(
            spec.provider_id.as_deref(),
            Some(
                "azure:///subscriptions/S/resourceGroups/mc_rg_c_westeurope/providers/Microsoft.Compute/virtualMachineScaleSets/aks-apps-12345678-vmss/virtualMachines/11"
            )
        );
        let taints = spec.taints.unwrap();
        assert_eq!(taints.len(), 2);
        assert_eq!(taints[1].value, None);
        let status = node.status.unwrap();
        assert_eq!(status.capacity.unwrap()["memory"].0, "16384Mi");
        assert_eq!(status.allocatable.unwrap()["cpu"].0, "3860m");
    }
}
