//! ARM paths, whose fixed segments are in any case. Never looks whether what a path names exists.

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Cluster(ClusterPath<'a>),
    ClusterStart(ClusterPath<'a>),
    ClusterStop(ClusterPath<'a>),
    ClusterUpgradeProfile(ClusterPath<'a>),
    PoolVersions(ClusterPath<'a>),
    Pools(ClusterPath<'a>),
    Pool(ClusterPath<'a>, &'a str),
    PoolAbort(ClusterPath<'a>, &'a str),
    PoolUpgradeProfile(ClusterPath<'a>, &'a str),
    PoolDeleteMachines(ClusterPath<'a>, &'a str),
    /// The machines of a pool, or the one with this name.
    Machines(ClusterPath<'a>, &'a str, Option<&'a str>),
    /// The Kubernetes versions of a location.
    KubernetesVersions {
        subscription: &'a str,
        location: &'a str,
    },
    PoolUpgradeImage(ClusterPath<'a>, &'a str),
    /// All clusters of a subscription, or of one of its resource groups.
    Clusters {
        subscription: &'a str,
        resource_group: Option<&'a str>,
    },
    Operation {
        subscription: &'a str,
        id: &'a str,
    },
    OperationResult {
        subscription: &'a str,
        id: &'a str,
    },
}

/// Names on the way to a cluster, as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClusterPath<'a> {
    pub(super) subscription: &'a str,
    pub(super) resource_group: &'a str,
    pub(super) cluster: &'a str,
}

impl ClusterPath<'_> {
    /// The resource id as it was sent.
    pub(super) fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.subscription, self.resource_group, self.cluster
        )
    }

    /// The resource id as the state has it for a key.
    pub(super) fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }
}

/// Reads a path; `None` if it names nothing that is known here.
pub(super) fn parse(path: &str) -> Option<Target<'_>> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    match segments.as_slice() {
        [s, subscription, g, resource_group, p, provider, kind, cluster, rest @ ..]
            if is(s, "subscriptions")
                && is(g, "resourceGroups")
                && is(p, "providers")
                && is(provider, "Microsoft.ContainerService")
                && is(kind, "managedClusters") =>
        {
            let at = ClusterPath { subscription, resource_group, cluster };
            match rest {
                [] => Some(Target::Cluster(at)),
                [start] if is(start, "start") => Some(Target::ClusterStart(at)),
                [stop] if is(stop, "stop") => Some(Target::ClusterStop(at)),
                [versions] if is(versions, "availableAgentPoolVersions") => Some(Target::PoolVersions(at)),
                [profiles, default] if is(profiles, "upgradeProfiles") && is(default, "default") => {
                    Some(Target::ClusterUpgradeProfile(at))
                }
                [pools] if is(pools, "agentPools") => Some(Target::Pools(at)),
                [pools, pool] if is(pools, "agentPools") => Some(Target::Pool(at, pool)),
                [pools, pool, abort] if is(pools, "agentPools") && is(abort, "abort") => {
                    Some(Target::PoolAbort(at, pool))
                }
                [pools, pool, delete] if is(pools, "agentPools") && is(delete, "deleteMachines") => {
                    Some(Target::PoolDeleteMachines(at, pool))
                }
                [pools, pool, machines] if is(pools, "agentPools") && is(machines, "machines") => {
                    Some(Target::Machines(at, pool, None))
                }
                [pools, pool, machines, machine] if is(pools, "agentPools") && is(machines, "machines") => {
                    Some(Target::Machines(at, pool, Some(machine)))
                }
                [pools, pool, upgrade] if is(pools, "agentPools") && is(upgrade, "upgradeNodeImageVersion") => {
                    Some(Target::PoolUpgradeImage(at, pool))
                }
                [pools, pool, profiles, default]
                    if is(pools, "agentPools") && is(profiles, "upgradeProfiles") && is(default, "default") =>
                {
                    Some(Target::PoolUpgradeProfile(at, pool))
                }
                _ => None,
            }
        }
        [s, subscription, p, provider, kind]
            if is(s, "subscriptions")
                && is(p, "providers")
                && is(provider, "Microsoft.ContainerService")
                && is(kind, "managedClusters") =>
        {
            Some(Target::Clusters { subscription, resource_group: None })
        }
        [s, subscription, g, resource_group, p, provider, kind]
            if is(s, "subscriptions")
                && is(g, "resourceGroups")
                && is(p, "providers")
                && is(provider, "Microsoft.ContainerService")
                && is(kind, "managedClusters") =>
        {
            Some(Target::Clusters { subscription, resource_group: Some(resource_group) })
        }
        [s, subscription, p, provider, l, location, versions]
            if is(s, "subscriptions")
                && is(p, "providers")
                && is(provider, "Microsoft.ContainerService")
                && is(l, "locations")
                && is(versions, "kubernetesVersions") =>
        {
            Some(Target::KubernetesVersions { subscription, location })
        }
        [s, subscription, p, provider, l, _, kind, id]
            if is(s, "subscriptions")
                && is(p, "providers")
                && is(provider, "Microsoft.ContainerService")
                && is(l, "locations") =>
        {
            if is(kind, "operations") {
                Some(Target::Operation { subscription, id })
            } else if is(kind, "operationresults") {
                Some(Target::OperationResult { subscription, id })
            } else {
                None
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_segments_are_in_any_case() {
        let at = ClusterPath { subscription: "S", resource_group: "G", cluster: "C" };
        let cluster = "/subscriptions/S/resourcegroups/G/providers/microsoft.containerservice/managedclusters/C";
        for (path, expected) in [
            (cluster.to_owned(), Some(Target::Cluster(at))),
            (format!("{cluster}/agentpools"), Some(Target::Pools(at))),
            (format!("{cluster}/AGENTPOOLS/p"), Some(Target::Pool(at, "p"))),
            (format!("{cluster}/agentPools/p/Abort"), Some(Target::PoolAbort(at, "p"))),
            (format!("{cluster}/agentPools/p/upgradeprofiles/default"), Some(Target::PoolUpgradeProfile(at, "p"))),
            (format!("{cluster}/agentPools/p/upgradeNodeImageVersion"), Some(Target::PoolUpgradeImage(at, "p"))),
            (format!("{cluster}/agentPools/p/other"), None),
            (format!("{cluster}/agentPools/p/DELETEMACHINES"), Some(Target::PoolDeleteMachines(at, "p"))),
            (format!("{cluster}/agentPools/p/Machines"), Some(Target::Machines(at, "p", None))),
            (format!("{cluster}/agentPools/p/machines/M"), Some(Target::Machines(at, "p", Some("M")))),
            (format!("{cluster}/Start"), Some(Target::ClusterStart(at))),
            (format!("{cluster}/STOP"), Some(Target::ClusterStop(at))),
            (format!("{cluster}/upgradeprofiles/Default"), Some(Target::ClusterUpgradeProfile(at))),
            (format!("{cluster}/availableagentpoolversions"), Some(Target::PoolVersions(at))),
            (
                "/subscriptions/S/providers/microsoft.containerservice/locations/l/KubernetesVersions".to_owned(),
                Some(Target::KubernetesVersions { subscription: "S", location: "l" }),
            ),
            (
                "/subscriptions/S/providers/Microsoft.ContainerService/managedClusters".to_owned(),
                Some(Target::Clusters { subscription: "S", resource_group: None }),
            ),
            (
                "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters".to_owned(),
                Some(Target::Clusters { subscription: "S", resource_group: Some("G") }),
            ),
            (format!("{cluster}/agentPools/"), None),
            (
                "/subscriptions/S/providers/Microsoft.ContainerService/locations/l/operations/1".to_owned(),
                Some(Target::Operation { subscription: "S", id: "1" }),
            ),
            (
                "/subscriptions/S/providers/Microsoft.ContainerService/locations/l/operationresults/1".to_owned(),
                Some(Target::OperationResult { subscription: "S", id: "1" }),
            ),
            ("/".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(&path), expected, "{path}");
        }
    }
}
