//! Topology spread constraints. Never reads those that only prefer.

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::placement::{Obstacle, Spread};

use super::selectors::selector;

/// The constraints with `DoNotSchedule`, and an obstacle for each that can't be understood.
pub(super) fn spread(constraints: Option<&Vec<core::TopologySpreadConstraint>>) -> (Vec<Spread>, Vec<Obstacle>) {
    let mut spread = Vec::new();
    let mut obstacles = Vec::new();
    for constraint in constraints.into_iter().flatten() {
        match read(constraint) {
            Ok(read) => spread.extend(read),
            Err(what) => obstacles
                .push(Obstacle::NotModelled(format!("{what} of its topology spread over {}", constraint.topology_key))),
        }
    }
    (spread, obstacles)
}

/// A constraint, `None` when it only prefers (upstream `filterTopologySpreadConstraints`).
fn read(constraint: &core::TopologySpreadConstraint) -> Result<Option<Spread>, String> {
    match constraint.when_unsatisfiable.as_str() {
        "DoNotSchedule" => {}
        "ScheduleAnyway" => return Ok(None),
        other => return Err(format!("whenUnsatisfiable {other}")),
    }
    let selector = selector(constraint.label_selector.as_ref()).ok_or("the selector")?;
    Ok(Some(Spread {
        topology_key: constraint.topology_key.clone(),
        max_skew: constraint.max_skew.into(),
        min_domains: constraint.min_domains.unwrap_or(1).into(),
        selector,
        match_label_keys: constraint.match_label_keys.clone().unwrap_or_default(),
        honor_affinity: honors(constraint.node_affinity_policy.as_deref(), true)?,
        honor_taints: honors(constraint.node_taints_policy.as_deref(), false)?,
    }))
}

fn honors(policy: Option<&str>, default: bool) -> Result<bool, String> {
    match policy {
        None => Ok(default),
        Some("Honor") => Ok(true),
        Some("Ignore") => Ok(false),
        Some(other) => Err(format!("the node inclusion policy {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn constraint(change: &Value) -> (Vec<Spread>, Vec<Obstacle>) {
        let mut value = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        let fields = value.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        spread(Some(&vec![serde_json::from_value(value).unwrap()]))
    }

    #[test]
    fn defaults_are_those_of_the_scheduler() {
        let (spread, obstacles) = constraint(&json!({}));
        assert!(obstacles.is_empty() && spread[0].honor_affinity && !spread[0].honor_taints);
        assert_eq!((spread[0].max_skew, spread[0].min_domains), (1, 1));
        let (spread, _) =
            constraint(&json!({"nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor", "minDomains": 3}));
        assert!(!spread[0].honor_affinity && spread[0].honor_taints && spread[0].min_domains == 3);
    }

    #[test]
    fn what_only_prefers_is_left_out_and_what_is_odd_is_an_obstacle() {
        assert_eq!(constraint(&json!({"whenUnsatisfiable": "ScheduleAnyway"})), (vec![], vec![]));
        for odd in [
            json!({"whenUnsatisfiable": "Pray"}),
            json!({"nodeAffinityPolicy": "Pray"}),
            json!({"nodeTaintsPolicy": "Pray"}),
            json!({"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Pray"}]}}),
        ] {
            let (spread, obstacles) = constraint(&odd);
            assert!(spread.is_empty() && obstacles.len() == 1, "{odd}");
            assert!(
                obstacles[0].to_string().ends_with("of its topology spread over zone is not modelled"),
                "{obstacles:?}"
            );
        }
    }
}
