//! Label selectors. Never holds what could not be understood: whoever translates decides what that means.

use std::collections::BTreeMap;

/// Labels of a node, a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What its value must be.
    pub test: Test,
}

/// What a label's value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// There, and one of these.
    In(Vec<String>),
    /// Absent, or none of these.
    NotIn(Vec<String>),
    /// There.
    Exists,
    /// Absent.
    DoesNotExist,
    /// There, an integer, and greater.
    Greater(i64),
    /// There, an integer, and less.
    Less(i64),
}

impl Requirement {
    /// Whether the labels fulfil it (upstream `labels.Requirement.Matches`).
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let integer = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Greater(bound) => integer().is_some_and(|integer| integer > *bound),
            Test::Less(bound) => integer().is_some_and(|integer| integer < *bound),
        }
    }
}

/// A label selector (`meta/v1` `LabelSelector`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Selects nothing: the selector is absent.
    Nothing,
    /// Selects what fulfils all requirements; everything when there is none.
    All(Vec<Requirement>),
}

impl Selector {
    /// The selector that selects everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self::All(Vec::new())
    }

    /// Whether it selects everything, whatever the labels are.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        matches!(self, Self::All(requirements) if requirements.is_empty())
    }

    /// Whether it selects something with these labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().all(|requirement| requirement.matches(labels)),
        }
    }

    /// The selector with one more requirement; nothing stays nothing.
    #[must_use]
    pub fn and(mut self, key: &str, test: Test) -> Self {
        if let Self::All(requirements) = &mut self {
            requirements.push(Requirement { key: key.to_owned(), test });
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn requirements_match_as_the_scheduler_reads_them() {
        let values = || vec!["a".to_owned(), "b".to_owned()];
        for (test, absent, a, c, seven) in [
            (Test::In(values()), false, true, false, false),
            (Test::NotIn(values()), true, false, true, true),
            (Test::Exists, false, true, true, true),
            (Test::DoesNotExist, true, false, false, false),
            (Test::Greater(6), false, false, false, true),
            (Test::Greater(7), false, false, false, false),
            (Test::Less(8), false, false, false, true),
            (Test::Less(7), false, false, false, false),
        ] {
            let requirement = Requirement { key: "k".into(), test };
            let seen = [vec![], vec![("k", "a")], vec![("k", "c")], vec![("k", "7")]];
            let matched = seen.map(|pairs| requirement.matches(&labels(&pairs)));
            assert_eq!(matched, [absent, a, c, seven], "{requirement:?}");
        }
    }

    #[test]
    fn nothing_stays_nothing_and_no_requirement_is_everything() {
        assert!(Selector::everything().is_everything() && Selector::everything().matches(&labels(&[])));
        assert!(!Selector::Nothing.matches(&labels(&[])));
        assert_eq!(Selector::Nothing.and("k", Test::Exists), Selector::Nothing);
        let narrowed = Selector::everything().and("k", Test::Exists);
        assert!(
            !narrowed.is_everything() && !narrowed.matches(&labels(&[])) && narrowed.matches(&labels(&[("k", "")]))
        );
    }
}
