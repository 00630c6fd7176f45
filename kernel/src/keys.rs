//! Collections of keys and values of which a policy names some: labels and tags. Never touches a key that the policy
//! neither names nor owns.

use std::collections::{BTreeMap, BTreeSet};

/// How the keys of a collection are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// As they are written: labels.
    Exact,
    /// Whatever the case of their ASCII letters: tags. Source: Azure Resource Manager, "tag names are case-insensitive
    /// for operations"; which case a resource keeps is up to its service.
    AnyCase,
}

impl Keys {
    /// The value of the key, and the key as the collection has it; the one that is written in the same way first.
    #[must_use]
    pub fn find<'a, V>(self, all: &'a BTreeMap<String, V>, key: &str) -> Option<(&'a String, &'a V)> {
        let other = || match self {
            Self::Exact => None,
            Self::AnyCase => all.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)),
        };
        all.get_key_value(key).or_else(other)
    }

    /// The keys that a policy owns: those that it names, and those that it owned before and that the pool still has.
    #[must_use]
    pub fn owned(
        self,
        named: &BTreeMap<String, String>,
        before: &[String],
        present: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let is_left = |key: &&String| self.find(named, key).is_none() && self.find(present, key).is_some();
        let keys: BTreeSet<&String> = named.keys().chain(before.iter().filter(is_left)).collect();
        keys.into_iter().cloned().collect()
    }

    /// What the collection is to be: what is wanted, without what is owned and wanted no longer, with everything else as
    /// it is. `None` if it is that.
    pub(crate) fn toward(
        self,
        present: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
        owned: &BTreeSet<String>,
    ) -> Option<BTreeMap<String, String>> {
        let owns = |key: &str| owned.contains(key) || owned.iter().any(|owned| self.are_same(owned, key));
        let mut to = present.clone();
        to.retain(|key, _| self.find(wanted, key).is_some() || !owns(key));
        for (key, value) in wanted {
            if self.find(&to, key).is_none_or(|(_, found)| found != value) {
                to.retain(|other, _| !self.are_same(other, key));
                to.insert(key.clone(), value.clone());
            }
        }
        (to != *present).then_some(to)
    }

    /// Whether both collections say the same.
    pub(crate) fn are_equal(self, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> bool {
        let same = |(key, value): (&String, &String)| self.find(b, key).is_some_and(|(_, found)| found == value);
        a.len() == b.len() && a.iter().all(same)
    }

    fn are_same(self, a: &str, b: &str) -> bool {
        match self {
            Self::Exact => a == b,
            Self::AnyCase => a.eq_ignore_ascii_case(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn keys(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn what_is_wanted_is_set_what_is_owned_and_not_wanted_goes_and_the_rest_stays() {
        let present = map(&[("Team", "a"), ("old", "1"), ("foreign", "x")]);
        for (by, wanted, owned, to) in [
            (
                Keys::Exact,
                map(&[("new", "1")]),
                keys(&["old"]),
                Some(map(&[("Team", "a"), ("new", "1"), ("foreign", "x")])),
            ),
            (Keys::Exact, map(&[("Team", "a")]), keys(&["OLD"]), None),
            (
                Keys::Exact,
                map(&[("team", "a")]),
                keys(&[]),
                Some(map(&[("Team", "a"), ("team", "a"), ("old", "1"), ("foreign", "x")])),
            ),
            (Keys::AnyCase, map(&[("team", "a")]), keys(&["TEAM"]), None),
            (
                Keys::AnyCase,
                map(&[("team", "b")]),
                keys(&[]),
                Some(map(&[("team", "b"), ("old", "1"), ("foreign", "x")])),
            ),
            (Keys::AnyCase, map(&[]), keys(&["OLD", "tEAM"]), Some(map(&[("foreign", "x")]))),
        ] {
            assert_eq!(by.toward(&present, &wanted, &owned), to, "{by:?} {wanted:?} {owned:?}");
        }
    }

    #[test]
    fn keys_that_differ_in_case_only_settle_whatever_is_asked() {
        let wanted = map(&[("OWNER", "a"), ("owner", "b")]);
        for present in
            [map(&[]), map(&[("Owner", "a")]), map(&[("Owner", "a"), ("oWner", "b")]), map(&[("owner", "b")])]
        {
            let to = Keys::AnyCase.toward(&present, &wanted, &keys(&[])).unwrap_or(present);
            assert_eq!(Keys::AnyCase.toward(&to, &wanted, &keys(&[])), None, "{to:?}");
        }
    }

    #[test]
    fn owned_are_the_keys_that_are_named_and_the_old_ones_that_are_still_there() {
        let (named, present) = (map(&[("team", "a")]), map(&[("Team", "a"), ("old", "1")]));
        let before = ["Team", "OLD", "gone", "old"].map(str::to_owned);
        assert_eq!(Keys::AnyCase.owned(&named, &before, &present), ["OLD", "old", "team"]);
        assert_eq!(Keys::Exact.owned(&named, &before, &present), ["Team", "old", "team"]);
    }

    #[test]
    fn the_case_of_a_key_makes_a_difference_to_labels_only() {
        let (a, b) = (map(&[("team", "a")]), map(&[("Team", "a")]));
        assert!(Keys::AnyCase.are_equal(&a, &b) && !Keys::Exact.are_equal(&a, &b));
        assert!(!Keys::AnyCase.are_equal(&a, &map(&[("Team", "A")])), "values have their case");
        assert!(!Keys::AnyCase.are_equal(&a, &map(&[("Team", "a"), ("x", "")])));
    }
}
