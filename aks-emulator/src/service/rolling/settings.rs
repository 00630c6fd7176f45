//! `upgradeSettings` and what they come to for a pool: how many surge nodes, how many nodes at once, how long a drain
//! and a soak. Never touches a node.

use std::time::Duration;

use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::super::state::text;

/// Of the service: one node in ten.
const MAX_SURGE: &str = "10%";
const DRAIN_MINUTES: u64 = 30;

/// What becomes of a node whose pods do not leave in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Undrainable {
    /// It stays as it was, schedulable, and the upgrade ends.
    Schedule,
    /// It stays cordoned and quarantined, and the upgrade goes on.
    Cordon,
}

/// The settings of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct UpgradeSettings {
    max_surge: Amount,
    max_unavailable: Amount,
    pub(in super::super) drain_minutes: u64,
    pub(in super::super) soak: Duration,
    pub(in super::super) undrainable: Undrainable,
    spot: bool,
}

/// A count or a percentage of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Count(usize),
    Percent(usize),
}

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        }
    }

    /// Rounded up, as the manual has it.
    fn of(self, nodes: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (nodes * percent).div_ceil(100),
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }
}

impl UpgradeSettings {
    /// The settings of a pool with these properties; what is absent or malformed is the service's default.
    pub(in super::super) fn of(properties: &Map<String, Value>) -> Self {
        let settings = properties.get("upgradeSettings");
        let word = |name: &str| settings.and_then(|settings| settings.get(name)).and_then(Value::as_str);
        let number = |name: &str| settings.and_then(|settings| settings.get(name)).and_then(Value::as_u64);
        let amount = |name: &str, default: Amount| word(name).and_then(Amount::parse).unwrap_or(default);
        let cordon = word("undrainableNodeBehavior").is_some_and(|behavior| behavior.eq_ignore_ascii_case("Cordon"));
        Self {
            max_surge: amount("maxSurge", Amount::parse(MAX_SURGE).unwrap_or(Amount::Count(1))),
            max_unavailable: amount("maxUnavailable", Amount::Count(0)),
            drain_minutes: number("drainTimeoutInMinutes").unwrap_or(DRAIN_MINUTES),
            soak: Duration::from_mins(number("nodeSoakDurationInMinutes").unwrap_or_default()),
            undrainable: if cordon { Undrainable::Cordon } else { Undrainable::Schedule },
            spot: text(properties, "scaleSetPriority") == "Spot",
        }
    }

    /// Spot nodes get an eviction notice instead of a drain.
    pub(in super::super) fn drains(&self) -> bool {
        !self.spot
    }

    /// Surge nodes for a pool of `nodes`. Where both are set, surge comes before unavailability.
    pub(in super::super) fn surge(&self, nodes: usize) -> usize {
        if self.spot || self.max_surge.is_zero() && !self.max_unavailable.is_zero() {
            return 0;
        }
        self.max_surge.of(nodes).max(1)
    }

    /// Nodes that are taken down at once in a pool of `nodes`.
    pub(in super::super) fn batch(&self, nodes: usize) -> usize {
        match self.surge(nodes) {
            0 => self.max_unavailable.of(nodes).max(1),
            surge => surge,
        }
    }
}

/// Refuses settings that the manual says are not possible. Only the text for spot pools is reported.
pub(in super::super) fn check(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(settings) = properties.get("upgradeSettings").and_then(Value::as_object) else {
        return Ok(());
    };
    let parameter = |name: &str| format!("agentPoolProfile.upgrade.{name}");
    let given = |name: &str| settings.get(name).filter(|value| !value.is_null());
    for name in ["maxSurge", "maxUnavailable"] {
        let malformed = given(name).is_some_and(|value| value.as_str().and_then(Amount::parse).is_none());
        if malformed {
            return Err(Refusal::invalid(&parameter(name), None));
        }
    }
    for (name, least, most) in [("drainTimeoutInMinutes", 5, 1440), ("nodeSoakDurationInMinutes", 0, 30)] {
        let within = |value: &Value| value.as_u64().is_some_and(|minutes| (least..=most).contains(&minutes));
        if given(name).is_some_and(|value| !within(value)) {
            return Err(Refusal::invalid(&parameter(name), None));
        }
    }
    let behavior = given("undrainableNodeBehavior").map(|value| value.as_str().unwrap_or_default());
    let known = |name: &str| ["Schedule", "Cordon"].iter().any(|known| known.eq_ignore_ascii_case(name));
    if behavior.is_some_and(|name| !known(name)) {
        return Err(Refusal::invalid(&parameter("undrainableNodeBehavior"), None));
    }
    amounts(properties, settings)
}

fn amounts(properties: &Map<String, Value>, settings: &Map<String, Value>) -> Result<(), Refusal> {
    let amount = |name: &str| settings.get(name).and_then(Value::as_str).and_then(Amount::parse);
    let (surge, unavailable) = (amount("maxSurge"), amount("maxUnavailable").unwrap_or(Amount::Count(0)));
    if text(properties, "scaleSetPriority") == "Spot" && surge.is_some() {
        let details = Some("Spot pools can't set max surge.");
        return Err(Refusal::invalid("agentPoolProfile.upgrade.maxSurge", details));
    }
    if surge.is_some_and(Amount::is_zero) && unavailable.is_zero() {
        let details = Some("Max surge must be greater than 0 when max unavailable is 0.");
        return Err(Refusal::invalid("agentPoolProfile.upgrade.maxSurge", details));
    }
    if text(properties, "mode") == "System" && !unavailable.is_zero() {
        let details = Some("System pools can't set max unavailable.");
        return Err(Refusal::invalid("agentPoolProfile.upgrade.maxUnavailable", details));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool(properties: &Value) -> Map<String, Value> {
        properties.as_object().cloned().unwrap()
    }

    #[test]
    fn surge_and_batches_are_rounded_up_and_never_nothing() {
        for (settings, nodes, surge, batch) in [
            (json!({}), 3, 1, 1),
            (json!({"maxUnavailable": "0"}), 11, 2, 2),
            (json!({"maxSurge": "33%"}), 10, 4, 4),
            (json!({"maxSurge": "2"}), 3, 2, 2),
            (json!({"maxSurge": "100%"}), 3, 3, 3),
            (json!({"maxSurge": "0", "maxUnavailable": "2"}), 5, 0, 2),
            (json!({"maxSurge": "0", "maxUnavailable": "25%"}), 5, 0, 2),
            (json!({"maxSurge": "1", "maxUnavailable": "2"}), 5, 1, 1),
            (json!({"maxSurge": "0", "maxUnavailable": "0"}), 5, 1, 1),
            (json!({"maxSurge": "many"}), 5, 1, 1),
            (json!({}), 0, 1, 1),
        ] {
            let settings = UpgradeSettings::of(&pool(&json!({"upgradeSettings": settings})));
            assert_eq!((settings.surge(nodes), settings.batch(nodes)), (surge, batch), "{settings:?} of {nodes}");
        }
        let spot = UpgradeSettings::of(&pool(&json!({"scaleSetPriority": "Spot"})));
        assert_eq!((spot.surge(10), spot.batch(10), spot.drains()), (0, 1, false));
    }

    #[test]
    fn what_the_manual_rules_out_is_refused() {
        for (properties, refused) in [
            (json!({"upgradeSettings": {"maxSurge": "33%", "drainTimeoutInMinutes": 5}}), None),
            (json!({"upgradeSettings": {}}), None),
            (json!({"upgradeSettings": {"maxSurge": "150%"}}), Some("maxSurge")),
            (json!({"upgradeSettings": {"maxSurge": 1}}), Some("maxSurge")),
            (json!({"upgradeSettings": {"maxSurge": "0"}}), Some("maxSurge")),
            (json!({"upgradeSettings": {"drainTimeoutInMinutes": 4}}), Some("drainTimeoutInMinutes")),
            (json!({"upgradeSettings": {"nodeSoakDurationInMinutes": 31}}), Some("nodeSoakDurationInMinutes")),
            (json!({"upgradeSettings": {"undrainableNodeBehavior": "Wait"}}), Some("undrainableNodeBehavior")),
            (json!({"upgradeSettings": {"undrainableNodeBehavior": "cordon"}}), None),
            (json!({"mode": "System", "upgradeSettings": {"maxUnavailable": "0"}}), None),
            (json!({"mode": "System", "upgradeSettings": {"maxUnavailable": "1"}}), Some("maxUnavailable")),
            (json!({"scaleSetPriority": "Spot", "upgradeSettings": {"maxSurge": "1"}}), Some("maxSurge")),
        ] {
            let outcome = check(&pool(&properties)).map_err(|refusal| refusal.message().to_owned());
            match (refused, outcome) {
                (None, outcome) => assert_eq!(outcome, Ok(()), "{properties}"),
                (Some(name), Err(message)) => assert!(message.contains(name), "{properties}: {message}"),
                (Some(name), Ok(())) => panic!("{properties}: {name} should be refused"),
            }
        }
    }
}
