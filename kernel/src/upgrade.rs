//! How AKS rolls an upgrade through a pool: the settings that a policy may own, and what they come to. Never starts one.

use std::fmt;

use crate::snapshot::AgentPool;

/// What AKS takes where a pool sets nothing. Source: the manual of `upgradeSettings`.
const MAX_SURGE: &str = "10%";
const MAX_UNAVAILABLE: &str = "0";
const UNDRAINABLE: &str = "Schedule";

/// Settings of the upgrades of a pool, some or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpgradeSettings {
    /// How many nodes more than its count the pool gets meanwhile: a number or a percentage.
    pub max_surge: Option<String>,
    /// How many nodes may be missing at once: a number or a percentage.
    pub max_unavailable: Option<String>,
    /// How long a node's pods may take to leave it, in minutes.
    pub drain_timeout_minutes: Option<u32>,
    /// How long AKS waits between one node and the next, in minutes.
    pub node_soak_minutes: Option<u32>,
    /// What becomes of a node whose pods do not leave: `Schedule` or `Cordon`.
    pub undrainable_nodes: Option<String>,
}

impl UpgradeSettings {
    /// Those of these settings that the pool has otherwise, as they are and as they are wanted; `None` if it has them all.
    /// Where the pool sets nothing it has what AKS takes then.
    #[must_use]
    pub fn toward(&self, pool: &AgentPool) -> Option<(Self, Self)> {
        let (mut from, mut to) = (Self::default(), Self::default());
        let text = |present: &Option<String>, default: &str| present.clone().unwrap_or_else(|| default.to_owned());
        differing(self.max_surge.as_ref(), text(&pool.max_surge, MAX_SURGE), (&mut from.max_surge, &mut to.max_surge));
        differing(
            self.max_unavailable.as_ref(),
            text(&pool.max_unavailable, MAX_UNAVAILABLE),
            (&mut from.max_unavailable, &mut to.max_unavailable),
        );
        differing(
            self.drain_timeout_minutes.as_ref(),
            pool.drain_timeout_minutes,
            (&mut from.drain_timeout_minutes, &mut to.drain_timeout_minutes),
        );
        differing(
            self.node_soak_minutes.as_ref(),
            pool.node_soak_minutes,
            (&mut from.node_soak_minutes, &mut to.node_soak_minutes),
        );
        differing(
            self.undrainable_nodes.as_ref(),
            text(&pool.undrainable_nodes, UNDRAINABLE),
            (&mut from.undrainable_nodes, &mut to.undrainable_nodes),
        );
        (to != Self::default()).then_some((from, to))
    }

    /// The settings that are there, by their names in a policy.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        let minutes = |minutes: Option<u32>| minutes.map(|minutes| minutes.to_string());
        [
            ("maxSurge", self.max_surge.clone()),
            ("maxUnavailable", self.max_unavailable.clone()),
            ("drainTimeoutMinutes", minutes(self.drain_timeout_minutes)),
            ("nodeSoakMinutes", minutes(self.node_soak_minutes)),
            ("undrainableNodes", self.undrainable_nodes.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Gives the pool these settings.
    pub fn apply(&self, pool: &mut AgentPool) {
        pool.max_surge = self.max_surge.clone().or_else(|| pool.max_surge.take());
        pool.max_unavailable = self.max_unavailable.clone().or_else(|| pool.max_unavailable.take());
        pool.drain_timeout_minutes = self.drain_timeout_minutes.unwrap_or(pool.drain_timeout_minutes);
        pool.node_soak_minutes = self.node_soak_minutes.unwrap_or(pool.node_soak_minutes);
        pool.undrainable_nodes = self.undrainable_nodes.clone().or_else(|| pool.undrainable_nodes.take());
    }
}

/// Takes note of a setting that is wanted and is another. The case of a word makes no difference to AKS.
fn differing<T: Clone + ToString>(wanted: Option<&T>, present: T, (from, to): (&mut Option<T>, &mut Option<T>)) {
    let same = |wanted: &T| wanted.to_string().eq_ignore_ascii_case(&present.to_string());
    if let Some(wanted) = wanted.filter(|wanted| !same(wanted)) {
        (*from, *to) = (Some(present), Some(wanted.clone()));
    }
}

/// How many of so many nodes an amount is: a number, or a percentage that is rounded up; `None` if it is neither.
pub(crate) fn amount(text: &str, nodes: u32) -> Option<u32> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let nodes = (u64::from(nodes) * u64::from(percent.parse::<u32>().ok()?)).div_ceil(100);
            Some(u32::try_from(nodes).unwrap_or(u32::MAX))
        }
        None => text.parse().ok(),
    }
}

impl AgentPool {
    /// How many nodes an upgrade adds for its time; none where it takes nodes away in place of that, where Azure gives
    /// none (Spot), or where the value cannot be understood.
    #[must_use]
    pub fn surge(&self) -> u32 {
        let surge = self.max_surge.as_deref().unwrap_or(MAX_SURGE);
        let is_spot = self.settings.text("priority").eq_ignore_ascii_case("Spot");
        amount(surge, self.count).filter(|_| !is_spot).unwrap_or(0)
    }
}

impl fmt::Display for UpgradeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.shown().map(|(name, value)| format!("{name} {value}")).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::testing::{pool, template};

    fn settings(surge: &str, drain: u32) -> UpgradeSettings {
        UpgradeSettings {
            max_surge: Some(surge.into()),
            drain_timeout_minutes: Some(drain),
            ..UpgradeSettings::default()
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_what_is_not_set_is_what_aks_takes() {
        let mut pool = pool("apps", Mode::User, 3);
        (pool.max_surge, pool.max_unavailable, pool.undrainable_nodes) = (None, None, None);
        let all = |surge: &str, undrainable: &str| UpgradeSettings {
            max_unavailable: Some("0".into()),
            node_soak_minutes: Some(0),
            undrainable_nodes: Some(undrainable.into()),
            ..settings(surge, 30)
        };
        assert_eq!(all("10%", "schedule").toward(&pool), None);
        assert_eq!(UpgradeSettings::default().toward(&pool), None);
        let (from, to) = all("33%", "Cordon").toward(&pool).unwrap();
        assert_eq!(from.to_string(), "maxSurge 10%, undrainableNodes Schedule");
        assert_eq!(to.to_string(), "maxSurge 33%, undrainableNodes Cordon");
        to.apply(&mut pool);
        assert_eq!(all("33%", "Cordon").toward(&pool), None);
        let (from, to) = settings("33%", 45).toward(&pool).unwrap();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("drainTimeoutMinutes 30".into(), "drainTimeoutMinutes 45".into())
        );
    }

    #[test]
    fn surge_is_rounded_up_and_none_where_there_is_none() {
        for (text, nodes) in
            [(None, 1), (Some("0"), 0), (Some("33%"), 2), (Some("2"), 2), (Some("100%"), 5), (Some("?"), 0)]
        {
            let mut pool = pool("a", Mode::System, 5);
            pool.max_surge = text.map(str::to_owned);
            assert_eq!(pool.surge(), nodes, "{text:?}");
            pool.settings = template(&[("priority", "Spot")]);
            assert_eq!(pool.surge(), 0);
        }
    }
}
