//! `spec.template.kubeletConfig` and `linuxOSConfig`: what the nodes of a new pool are set to, as people write it, with AKS's
//! names and limits. Never holds defaults.

use kube::KubeSchema;
use nodepool_kernel::FieldValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the kubelet of each node is set. What is absent is AKS's default and not compared.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.imageGcLowThreshold) || self.imageGcLowThreshold <= (has(self.imageGcHighThreshold) ? self.imageGcHighThreshold : 85)").message("spec.template.kubeletConfig.imageGcLowThreshold is above imageGcHighThreshold, which is 85 where none is set: set it to at most that"))]
#[x_kube(validation = Rule::new("!has(self.imageGcHighThreshold) || has(self.imageGcLowThreshold) || self.imageGcHighThreshold >= 80").message("spec.template.kubeletConfig.imageGcHighThreshold is below imageGcLowThreshold, which is 80 where none is set: set imageGcLowThreshold too"))]
pub struct KubeletConfig {
    /// Whether containers of Guaranteed pods get whole CPUs of their own (`static`). Not on Windows. Without it:
    /// `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["none", "static"]))]
    pub cpu_manager_policy: Option<String>,

    /// Whether CPU limits of containers are enforced. Not on Windows. Without it: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cfs_quota: Option<bool>,

    /// The period in which CPU limits are enforced, 1 to 1000 ms. Not on Windows. Without it: `100ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^([1-9][0-9]{0,2}|1000)ms$"))]
    pub cpu_cfs_quota_period: Option<String>,

    /// The percentage of disk usage from which on images are removed. Without it: 85.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub image_gc_high_threshold: Option<i32>,

    /// The percentage of disk usage down to which images are removed, at most `imageGcHighThreshold`. Without it:
    /// 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub image_gc_low_threshold: Option<i32>,

    /// How CPUs and devices of a container are kept on one NUMA node. Not on Windows. Without it: `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["none", "best-effort", "restricted", "single-numa-node"]))]
    pub topology_manager_policy: Option<String>,

    /// The unsafe sysctls that pods may set: names or patterns below `kernel.shm`, `kernel.msg`, `kernel.sem`,
    /// `fs.mqueue` and `net`. Not on Windows. Example: `["net.*", "kernel.msg*"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(
            length(max = 64),
            regex(
                pattern = "^(kernel[.](shm|msg)[a-z_]*[*]?|kernel[.]sem|fs[.]mqueue[.]([a-z_]+[*]?|[*])|net[.]([a-z0-9_.-]+[*]?|[*]))$"
            )
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_unsafe_sysctls: Option<Vec<String>>,

    /// Whether the kubelet refuses to run on a node with swap; `false` where `linuxOSConfig.swapFileSizeMB` is set.
    /// Not on Windows. Without it: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_swap_on: Option<bool>,

    /// How large a container's log file may become, in MB.
    #[serde(rename = "containerLogMaxSizeMB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub container_log_max_size_mb: Option<i32>,

    /// How many log files of a container are kept, at least 2. Without it: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub container_log_max_files: Option<i32>,

    /// How many processes a pod may have; -1 for as many as it likes. Not on Windows. Without it: -1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub pod_max_pids: Option<i32>,
}

/// How the operating system of each Linux node is set. What is absent is AKS's default and not compared.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxOsConfig {
    /// Whether memory is given in huge pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["always", "madvise", "never"]))]
    pub transparent_huge_page_enabled: Option<String>,

    /// Whether memory is compacted to make huge pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["always", "defer", "defer+madvise", "madvise", "never"]))]
    pub transparent_huge_page_defrag: Option<String>,

    /// The size of a node's swap file in MB, on its temporary disk. Needs `kubeletConfig.failSwapOn: false`.
    #[serde(rename = "swapFileSizeMB", default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub swap_file_size_mb: Option<i32>,

    /// Settings of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<Sysctls>,
}

/// Settings of the kernel of each Linux node, within the limits of AKS.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.netIpv4IpLocalPortRange) || !self.netIpv4IpLocalPortRange.matches('^[1-9][0-9]{3,4} [1-9][0-9]{4}$') || (int(self.netIpv4IpLocalPortRange.split(' ')[0]) >= 1024 && int(self.netIpv4IpLocalPortRange.split(' ')[0]) <= 60999 && int(self.netIpv4IpLocalPortRange.split(' ')[1]) >= 32768 && int(self.netIpv4IpLocalPortRange.split(' ')[1]) <= 65535 && int(self.netIpv4IpLocalPortRange.split(' ')[0]) < int(self.netIpv4IpLocalPortRange.split(' ')[1]))").message(Message::Expression("'spec.template.linuxOSConfig.sysctls.netIpv4IpLocalPortRange ' + self.netIpv4IpLocalPortRange + ' does not begin at 1024 to 60999 and end above that at 32768 to 65535: set both within'".into())))]
pub struct Sysctls {
    /// `fs.aio-max-nr`: how many asynchronous requests to disks may run at once; 65536 to 6553500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_536, max = 6_553_500))]
    pub fs_aio_max_nr: Option<i32>,

    /// `fs.file-max`: how many files may be open on a node; 8192 to 12000500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8192, max = 12_000_500))]
    pub fs_file_max: Option<i32>,

    /// `fs.inotify.max_user_watches`: how many files may be watched; 781250 to 2097152.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 781_250, max = 2_097_152))]
    pub fs_inotify_max_user_watches: Option<i32>,

    /// `fs.nr_open`: how many files a process may open; 8192 to 20000500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8192, max = 20_000_500))]
    pub fs_nr_open: Option<i32>,

    /// `kernel.threads-max`: how many threads there may be on a node; 20 to 513785.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20, max = 513_785))]
    pub kernel_threads_max: Option<i32>,

    /// `net.core.netdev_max_backlog`: how many packets that came in may wait for the kernel; 1000 to 3240000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 3_240_000))]
    pub net_core_netdev_max_backlog: Option<i32>,

    /// `net.core.optmem_max`: bytes of option memory a socket; 20480 to 4194304.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 20_480, max = 4_194_304))]
    pub net_core_optmem_max: Option<i32>,

    /// `net.core.rmem_default`: bytes of a socket's receive buffer; 212992 to 134217728.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 212_992, max = 134_217_728))]
    pub net_core_rmem_default: Option<i32>,

    /// `net.core.rmem_max`: the most bytes of a socket's receive buffer; 212992 to 134217728.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 212_992, max = 134_217_728))]
    pub net_core_rmem_max: Option<i32>,

    /// `net.core.somaxconn`: how many connections a listening socket may keep waiting; 4096 to 3240000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 3_240_000))]
    pub net_core_somaxconn: Option<i32>,

    /// `net.core.wmem_default`: bytes of a socket's send buffer; 212992 to 134217728.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 212_992, max = 134_217_728))]
    pub net_core_wmem_default: Option<i32>,

    /// `net.core.wmem_max`: the most bytes of a socket's send buffer; 212992 to 134217728.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 212_992, max = 134_217_728))]
    pub net_core_wmem_max: Option<i32>,

    /// `net.ipv4.ip_local_port_range`: the first port that connections take, 1024 to 60999, and the last, 32768 to
    /// 65535. Example: `32000 60000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^[1-9][0-9]{3,4} [1-9][0-9]{4}$"))]
    pub net_ipv4_ip_local_port_range: Option<String>,

    /// `net.ipv4.neigh.default.gc_thresh1`: as many neighbours are always kept; 128 to 80000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 80_000))]
    pub net_ipv4_neigh_default_gc_thresh1: Option<i32>,

    /// `net.ipv4.neigh.default.gc_thresh2`: more neighbours than these are soon forgotten; 512 to 90000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 512, max = 90_000))]
    pub net_ipv4_neigh_default_gc_thresh2: Option<i32>,

    /// `net.ipv4.neigh.default.gc_thresh3`: more neighbours than these are never kept; 1024 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 100_000))]
    pub net_ipv4_neigh_default_gc_thresh3: Option<i32>,

    /// `net.ipv4.tcp_fin_timeout`: seconds until a connection that nobody owns is dropped; 5 to 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 120))]
    pub net_ipv4_tcp_fin_timeout: Option<i32>,

    /// `net.ipv4.tcp_keepalive_intvl`: seconds between one probe of an idle connection and the next; 10 to 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 90))]
    pub net_ipv4_tcpkeepalive_intvl: Option<i32>,

    /// `net.ipv4.tcp_keepalive_probes`: how many probes are sent until an idle connection counts as broken; 1 to
    /// 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub net_ipv4_tcp_keepalive_probes: Option<i32>,

    /// `net.ipv4.tcp_keepalive_time`: seconds after which an idle connection is probed; 30 to 432000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 432_000))]
    pub net_ipv4_tcp_keepalive_time: Option<i32>,

    /// `net.ipv4.tcp_max_syn_backlog`: how many connections may wait for the client's acknowledgement; 128 to
    /// 3240000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 128, max = 3_240_000))]
    pub net_ipv4_tcp_max_syn_backlog: Option<i32>,

    /// `net.ipv4.tcp_max_tw_buckets`: how many closed connections are remembered; 8000 to 1440000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8000, max = 1_440_000))]
    pub net_ipv4_tcp_max_tw_buckets: Option<i32>,

    /// `net.ipv4.tcp_tw_reuse`: whether ports of closed connections may be taken again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_ipv4_tcp_tw_reuse: Option<bool>,

    /// `net.netfilter.nf_conntrack_buckets`: the size of the hash table of tracked connections; 65536 to 524288.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_536, max = 524_288))]
    pub net_netfilter_nf_conntrack_buckets: Option<i32>,

    /// `net.netfilter.nf_conntrack_max`: how many connections are tracked; 131072 to 2097152.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 131_072, max = 2_097_152))]
    pub net_netfilter_nf_conntrack_max: Option<i32>,

    /// `vm.max_map_count`: how many areas of memory a process may map; 65530 to 262144.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 65_530, max = 262_144))]
    pub vm_max_map_count: Option<i32>,

    /// `vm.swappiness`: how readily memory is swapped out; 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub vm_swappiness: Option<i32>,

    /// `vm.vfs_cache_pressure`: how readily cached directories and inodes are given up; 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub vm_vfs_cache_pressure: Option<i32>,
}

/// The value on the way of these names below a part of a template, if it is set.
pub(super) fn value_at(part: &impl Serialize, path: &str) -> Option<FieldValue> {
    let all = serde_json::to_value(part).ok()?;
    let found = path.split('.').try_fold(&all, |value, name| value.get(name))?;
    match found {
        Value::String(text) => Some(FieldValue::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(FieldValue::Number),
        Value::Bool(flag) => Some(FieldValue::Flag(*flag)),
        Value::Array(list) => {
            list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>().map(FieldValue::List)
        }
        Value::Null | Value::Object(_) => None,
    }
}
