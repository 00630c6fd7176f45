//! Amounts of resources: what a pod asks for, what a node has. Never overflows: sums are wider than any quantity.

use std::collections::BTreeMap;

/// An amount: thousandths of a core for `cpu`, bytes or pieces for everything else.
pub type Amount = i128;

/// Amounts by resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// `cpu` in thousandths of a core.
    pub cpu: Amount,
    /// `memory` in bytes.
    pub memory: Amount,
    /// `ephemeral-storage` in bytes.
    pub ephemeral_storage: Amount,
    /// Huge pages and extended resources by name.
    pub others: BTreeMap<String, Amount>,
}

/// A resource of which a node has too little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shortfall {
    pub(super) resource: String,
    pub(super) wants: Amount,
    pub(super) free: Amount,
}

impl Resources {
    /// The first resource of which `self` asks for more than `allocatable` leaves beside `used`; nothing that is not
    /// asked for is short (upstream `noderesources` `fitsRequest`).
    pub(super) fn shortfall(&self, allocatable: &Self, used: &Self) -> Option<Shortfall> {
        let fixed = [
            ("cpu", self.cpu, allocatable.cpu, used.cpu),
            ("memory", self.memory, allocatable.memory, used.memory),
            ("ephemeral-storage", self.ephemeral_storage, allocatable.ephemeral_storage, used.ephemeral_storage),
        ];
        let amount = |of: &Self, name: &String| of.others.get(name).copied().unwrap_or(0);
        let others = self
            .others
            .iter()
            .map(|(name, wants)| (name.as_str(), *wants, amount(allocatable, name), amount(used, name)));
        fixed.into_iter().chain(others).find_map(|(name, wants, allocatable, used)| {
            let free = allocatable.saturating_sub(used);
            (wants > 0 && wants > free).then(|| Shortfall { resource: name.to_owned(), wants, free })
        })
    }

    /// Adds the amounts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, Amount::saturating_add);
    }

    /// Takes the amounts of `other` away.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, Amount::saturating_sub);
    }

    /// Raises each amount to that of `other` where it is lower.
    pub fn raise(&mut self, other: &Self) {
        self.combine(other, Ord::max);
    }

    fn combine(&mut self, other: &Self, combine: impl Fn(Amount, Amount) -> Amount) {
        self.cpu = combine(self.cpu, other.cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.others {
            let own = self.others.entry(name.clone()).or_default();
            *own = combine(*own, *amount);
        }
    }
}

/// An amount as people write it: `120m` and `2` for cpu, `512Mi` for bytes, plain pieces for anything else.
pub(super) fn show(resource: &str, amount: Amount) -> String {
    let bytes = ["memory", "ephemeral-storage"].contains(&resource) || resource.starts_with("hugepages-");
    if resource == "cpu" {
        return if amount % 1000 == 0 { format!("{}", amount / 1000) } else { format!("{amount}m") };
    }
    // Whole mebibytes are shown as such; a finer difference is not worth reading unless there is nothing else.
    match amount {
        _ if bytes && amount.unsigned_abs() >= 1 << 20 => format!("{}Mi", amount / (1 << 20)),
        _ => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cpu: Amount) -> Resources {
        Resources { cpu, ..Resources::default() }
    }

    fn gpu(gpu: Amount) -> Resources {
        Resources { others: [("nvidia.com/gpu".to_owned(), gpu)].into(), ..Resources::default() }
    }

    #[test]
    fn what_is_free_may_be_used_to_the_last() {
        assert_eq!(cpu(500).shortfall(&cpu(1000), &cpu(500)), None);
        let short = cpu(501).shortfall(&cpu(1000), &cpu(500)).unwrap();
        assert_eq!((short.resource.as_str(), short.wants, short.free), ("cpu", 501, 500));
        assert!(gpu(1).shortfall(&Resources::default(), &Resources::default()).is_some(), "a node without any");
        assert!(gpu(1).shortfall(&gpu(2), &gpu(2)).is_some() && gpu(1).shortfall(&gpu(2), &gpu(1)).is_none());
    }

    #[test]
    fn a_pod_that_asks_for_nothing_is_never_short_even_where_too_much_is_used() {
        assert_eq!(cpu(0).shortfall(&cpu(1000), &cpu(2000)), None);
        assert_eq!(gpu(0).shortfall(&cpu(-5), &gpu(7)), None);
    }

    #[test]
    fn sums_of_the_largest_quantities_do_not_overflow() {
        let mut sum = cpu(Amount::from(i64::MAX));
        sum.add(&cpu(Amount::from(i64::MAX)));
        sum.subtract(&cpu(Amount::from(i64::MAX)));
        assert_eq!(sum, cpu(Amount::from(i64::MAX)));
    }

    #[test]
    fn raising_takes_the_higher_of_each() {
        let mut high = Resources { cpu: 1, memory: 9, ..gpu(2) };
        high.raise(&Resources { cpu: 5, memory: 3, ephemeral_storage: 7, ..gpu(1) });
        assert_eq!(high, Resources { cpu: 5, memory: 9, ephemeral_storage: 7, ..gpu(2) });
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        for (resource, amount, text) in [
            ("cpu", 120, "120m"),
            ("cpu", 2000, "2"),
            ("cpu", -500, "-500m"),
            ("memory", 512 << 20, "512Mi"),
            ("memory", 100, "100"),
            ("hugepages-2Mi", 4 << 20, "4Mi"),
            ("nvidia.com/gpu", 3, "3"),
        ] {
            assert_eq!(show(resource, amount), text);
        }
    }
}
