//! Amounts of resources as pods and nodes write them, added and compared. Never rounds down what a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name, in thousandths: of a CPU, of a byte, of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts(BTreeMap<String, i128>);

impl Amounts {
    /// What a node offers to pods.
    pub(super) fn of_node(node: &Node) -> Self {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        Self::from_quantities(allocatable.into_iter().flatten())
    }

    /// What a pod asks for, itself as one of the node's pods included. As the scheduler counts: the sum of what runs
    /// together, but at least what any step of the initialisation needs.
    pub(super) fn of_pod(pod: &Pod) -> Self {
        let mut sum = Self::default();
        let mut peak = Self::default();
        if let Some(spec) = &pod.spec {
            for container in spec.init_containers.iter().flatten() {
                let asked = of_container(container);
                if container.restart_policy.as_deref() == Some("Always") {
                    sum.add(&asked);
                    peak.raise_to(&sum);
                } else {
                    let mut step = sum.clone();
                    step.add(&asked);
                    peak.raise_to(&step);
                }
            }
            spec.containers.iter().for_each(|container| sum.add(&of_container(container)));
            sum.raise_to(&peak);
            sum.add(&Self::from_quantities(spec.overhead.iter().flatten()));
        }
        sum.add(&Self(BTreeMap::from([("pods".to_owned(), 1000)])));
        sum
    }

    fn from_quantities<'a>(quantities: impl Iterator<Item = (&'a String, &'a Quantity)>) -> Self {
        Self(quantities.filter_map(|(name, quantity)| Some((name.clone(), thousandths(&quantity.0)?))).collect())
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += amount;
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() -= amount;
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }

    /// Whether everything asked for is there.
    pub(super) fn cover(&self, asked: &Self) -> bool {
        asked.0.iter().all(|(name, amount)| *amount <= 0 || self.0.get(name).is_some_and(|own| own >= amount))
    }

    /// Whether of `whole` at least a half is taken, by CPU or by memory.
    pub(super) fn are_half_of(&self, whole: &Self) -> bool {
        let amount = |amounts: &Self, name| amounts.0.get(name).copied().unwrap_or_default();
        ["cpu", "memory"].into_iter().any(|name| 2 * amount(self, name) >= amount(whole, name))
    }
}

fn of_container(container: &Container) -> Amounts {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    Amounts::from_quantities(requests.into_iter().flatten())
}

/// A quantity in thousandths, rounded up; `None` if it is malformed.
fn thousandths(text: &str) -> Option<i128> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || "+-.".contains(letter))).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits: i128 = format!("{}{fraction}", whole.trim_start_matches(['+', '-'])).parse().ok()?;
    let (numerator, denominator) = scale(suffix)?;
    let below = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(denominator)?;
    let above = digits.checked_mul(numerator)?.checked_mul(1000)?;
    let amount = above.checked_add(below - 1)? / below;
    Some(if negative { -amount } else { amount })
}

/// What a suffix multiplies by, as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let power = |base: i128, exponent: u32| base.checked_pow(exponent);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (power(1000, 2)?, 1),
        "G" => (power(1000, 3)?, 1),
        "T" => (power(1000, 4)?, 1),
        "P" => (power(1000, 5)?, 1),
        "E" => (power(1000, 6)?, 1),
        "Ki" => (1024, 1),
        "Mi" => (power(1024, 2)?, 1),
        "Gi" => (power(1024, 3)?, 1),
        "Ti" => (power(1024, 4)?, 1),
        "Pi" => (power(1024, 5)?, 1),
        "Ei" => (power(1024, 6)?, 1),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = power(10, exponent.unsigned_abs())?;
            if exponent < 0 { (1, size) } else { (size, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_in_every_form() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("250m", Some(250)),
            ("0.5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("12e6", Some(12_000_000_000)),
            ("100E-2", Some(1000)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("1n", Some(1)),
            ("-1", Some(-1000)),
            ("1x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_asks_for_its_sum_or_for_its_peak() {
        let with = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = with("100m");
        sidecar["restartPolicy"] = json!("Always");
        for (init, containers, expected) in [
            (json!([]), json!([with("1"), with("250m")]), 1250),
            (json!([with("2")]), json!([with("1")]), 2000),
            (json!([sidecar, with("2")]), json!([with("1")]), 2100),
            (json!([sidecar]), json!([with("1")]), 1100),
        ] {
            let pod = json!({"spec": {"initContainers": init, "containers": containers}});
            let asked = Amounts::of_pod(&serde_json::from_value(pod).unwrap());
            assert_eq!(asked.0["cpu"], expected);
            assert_eq!(asked.0["pods"], 1000);
        }
    }

    #[test]
    fn a_resource_that_a_node_lacks_is_not_covered() {
        let amounts =
            |list: &[(&str, i128)]| Amounts(list.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect());
        let node = amounts(&[("cpu", 4000), ("memory", 8000)]);
        assert!(node.cover(&amounts(&[("cpu", 4000), ("gpu", 0)])));
        assert!(!node.cover(&amounts(&[("gpu", 1)])));
        assert!(amounts(&[("memory", 4000)]).are_half_of(&node));
        assert!(!amounts(&[("cpu", 1999), ("memory", 3999)]).are_half_of(&node));
    }
}
