//! The rules for `localDNSProfile` of a pool, in the order in which the recorded refusals show them. Never changes one.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Zones that both kinds of overrides must have.
const ZONES: [&str; 2] = [".", "cluster.local"];

/// Refuses a profile that the service would not have.
pub(crate) fn check(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(profile) = properties.get("localDNSProfile").and_then(Value::as_object) else {
        return Ok(());
    };
    let mode = match profile.get("mode") {
        None | Some(Value::Null) => "Unspecified",
        Some(mode) => mode.as_str().unwrap_or_default(),
    };
    let known = |name: &&str| mode.eq_ignore_ascii_case(name);
    let Some(mode) = ["Preferred", "Required", "Disabled"].into_iter().find(known) else {
        let shown = if mode == "Unspecified" { mode } else { "Invalid" };
        let problem = format!("value {shown} is not allowed. Only Preferred, Required and Disabled are allowed.");
        return Err(Refusal::local_dns("mode", &problem));
    };
    if mode != "Required" {
        return Ok(());
    }
    let overrides = [("vnetDNSOverrides", "VnetDNSOverrides"), ("kubeDNSOverrides", "KubeDNSOverrides")];
    for (name, shown) in overrides {
        let zones = profile.get(name).and_then(Value::as_object);
        if let Some(zone) = zones.and_then(|zones| ZONES.into_iter().find(|zone| !zones.contains_key(*zone))) {
            return Err(Refusal::local_dns(name, &format!("zone '\"{zone}\"' is required in {shown}.")));
        }
    }
    match overrides.into_iter().find(|(name, _)| !profile.get(*name).is_some_and(Value::is_object)) {
        Some((name, shown)) => Err(Refusal::local_dns(name, &format!("{shown} must not be nil."))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn profiles_are_refused_as_recorded() {
        let (one, both) = (json!({".": {}}), json!({".": {}, "cluster.local": {}}));
        let required = |vnet: &Value, kube: &Value| json!({"mode": "Required", "vnetDNSOverrides": vnet, "kubeDNSOverrides": kube});
        for (profile, expected) in [
            (json!({}), "value Unspecified is not allowed."),
            (json!({"mode": ""}), "value Invalid is not allowed."),
            (required(&json!({}), &json!({})), "zone '\".\"' is required in VnetDNSOverrides."),
            (required(&Value::Null, &one), "zone '\"cluster.local\"' is required in KubeDNSOverrides."),
            (required(&Value::Null, &both), "VnetDNSOverrides must not be nil."),
            (required(&both, &Value::Null), "KubeDNSOverrides must not be nil."),
            (required(&one, &Value::Null), "zone '\"cluster.local\"' is required in VnetDNSOverrides."),
            (required(&both, &both), ""),
            (json!({"mode": "disabled"}), ""),
        ] {
            let properties = Map::from_iter([("localDNSProfile".to_owned(), profile.clone())]);
            match check(&properties) {
                Ok(()) => assert_eq!(expected, "", "{profile}"),
                Err(refusal) => assert!(refusal.message().contains(expected), "{profile}: {}", refusal.message()),
            }
        }
    }
}
