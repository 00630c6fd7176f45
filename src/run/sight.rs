//! What a pass could not see, for those who ask whether the operator is ready. Never decides anything by it.

use nodepool_kernel::{Known, Settings, Snapshot, Time};

/// What decisions rest on and is unknown or too old, in words.
pub(super) fn lacking(snapshot: &Snapshot, settings: &Settings) -> Vec<String> {
    let look = Look { now: snapshot.now, settings };
    let parts = [
        look.at("the cluster in ARM", &snapshot.cluster),
        look.at("policies", &snapshot.intents),
        look.at("nodes", &snapshot.nodes),
        look.at("pods", &snapshot.pods),
        look.at("disruption budgets", &snapshot.budgets),
        look.at("Deployments", &snapshot.workloads),
        look.at("the inventory's object", &snapshot.paused),
    ];
    parts.into_iter().flatten().collect()
}

struct Look<'a> {
    now: Time,
    settings: &'a Settings,
}

impl Look<'_> {
    fn at<T>(&self, what: &str, part: &Known<T>) -> Option<String> {
        part.fresh(self.now, self.settings.stale_after).err().map(|reason| format!("{what}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blind(now: Time) -> Snapshot {
        Snapshot {
            now,
            paused: Known::unknown("?"),
            bulk: Known::unknown("?"),
            intents: Known::unknown("?"),
            cluster: Known::unknown("?"),
            issuer: Known::unknown("?"),
            nodes: Known::unknown("?"),
            pods: Known::unknown("?"),
            budgets: Known::unknown("?"),
            workloads: Known::unknown("?"),
            places: Known::unknown("?"),
            in_flight: vec![],
            dependents: [].into(),
            occupancy: [].into(),
            upgradable: [].into(),
        }
    }

    #[test]
    fn what_is_unknown_or_too_old_is_told_with_its_reason() {
        let settings = Settings::default();
        let now = Time::from_millis(10_000_000);
        let mut snapshot = blind(now);
        assert_eq!(lacking(&snapshot, &settings).len(), 7);
        snapshot.nodes = Known::seen(now, nodepool_kernel::Rows::default());
        snapshot.pods = Known::seen(Time::from_millis(0), nodepool_kernel::Rows::default());
        snapshot.cluster = Known::unknown("no answer");
        let lacking = lacking(&snapshot, &settings);
        assert_eq!(lacking.len(), 6);
        assert_eq!(lacking[0], "the cluster in ARM: no answer");
        assert_eq!(lacking[2], format!("pods: not seen for more than {} s", settings.stale_after.as_secs()));
    }
}
