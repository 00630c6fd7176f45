//! Which api-versions are known, and the gateway's checks that come before a resource is looked at.

use super::Call;
use super::path::ClusterPath;
use crate::service::refusal::Refusal;

/// The generally available versions of `managedClusters/agentPools`, oldest first.
pub(super) const KNOWN: [&str; 68] = [
    "2019-02-01",
    "2019-04-01",
    "2019-06-01",
    "2019-08-01",
    "2019-10-01",
    "2019-11-01",
    "2020-01-01",
    "2020-02-01",
    "2020-03-01",
    "2020-04-01",
    "2020-06-01",
    "2020-07-01",
    "2020-09-01",
    "2020-11-01",
    "2020-12-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-07-01",
    "2021-08-01",
    "2021-09-01",
    "2021-10-01",
    "2022-01-01",
    "2022-02-01",
    "2022-03-01",
    "2022-04-01",
    "2022-06-01",
    "2022-07-01",
    "2022-09-01",
    "2022-11-01",
    "2023-01-01",
    "2023-02-01",
    "2023-03-01",
    "2023-04-01",
    "2023-05-01",
    "2023-06-01",
    "2023-07-01",
    "2023-08-01",
    "2023-09-01",
    "2023-10-01",
    "2023-11-01",
    "2024-01-01",
    "2024-02-01",
    "2024-05-01",
    "2024-06-01",
    "2024-07-01",
    "2024-08-01",
    "2024-09-01",
    "2024-10-01",
    "2025-01-01",
    "2025-02-01",
    "2025-03-01",
    "2025-04-01",
    "2025-05-01",
    "2025-07-01",
    "2025-08-01",
    "2025-09-01",
    "2025-10-01",
    "2026-01-01",
    "2026-02-01",
    "2026-03-01",
    "2026-04-01",
    "2026-05-01",
    "2026-06-01",
    "2026-07-01",
    "2026-08-01",
    "2017-08-31",
    "2018-03-31",
];

/// Refuses an api-version that is not known, and a subscription or resource group that does not exist.
pub(super) fn check(call: &Call<'_>, at: &ClusterPath<'_>, kind: &str) -> Result<(), Refusal> {
    check_scope(call, at.subscription, Some(at.resource_group), kind)
}

/// The same for a subscription or a resource group.
pub(super) fn check_scope(
    call: &Call<'_>,
    subscription: &str,
    resource_group: Option<&str>,
    kind: &str,
) -> Result<(), Refusal> {
    let also = &call.service.settings.api_versions_also;
    let version = call.api_version;
    let known = KNOWN.contains(&version) || also.iter().any(|known| known == version);
    call.service.read(|state| {
        let mut clusters = state.clusters.values();
        let of_subscription = |name: &str| name.eq_ignore_ascii_case(subscription);
        if !clusters.clone().any(|c| of_subscription(&c.subscription)) {
            return Err(Refusal::subscription(subscription));
        }
        if !known {
            let location = clusters.next().map_or("", |cluster| &cluster.location);
            let mut versions: Vec<&str> = KNOWN.to_vec();
            versions.extend(also.iter().map(String::as_str));
            versions.sort_unstable();
            return Err(Refusal::api_version(location, version, kind, &versions));
        }
        let Some(group) = resource_group else {
            return Ok(());
        };
        let found = clusters.any(|cluster| {
            of_subscription(&cluster.subscription) && cluster.resource_group.eq_ignore_ascii_case(group)
        });
        if found { Ok(()) } else { Err(Refusal::resource_group(group)) }
    })
}
