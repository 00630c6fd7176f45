//! The reviewed differences between recordings and the emulator. An unlisted one fails the test, and so does a listed
//! one that no longer occurs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::compare::Difference;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    differences: Vec<Listed>,
    outside: Vec<Outside>,
}

/// A difference that is known, and why it is.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    recording: String,
    /// The number of the request, or `*` for any.
    index: Value,
    /// As [`Difference::at`].
    at: String,
    /// What the emulator answers; without it, anything but the recorded value.
    got: Option<Value>,
    reason: String,
}

/// Requests of a recording that the surface does not cover.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outside {
    recording: String,
    kind: String,
    count: usize,
    reason: String,
}

/// What is listed for one recording, and what was found.
pub struct Reviewed {
    recording: String,
    listed: Vec<(Listed, bool)>,
    unlisted: Vec<Difference>,
    outside: Vec<Outside>,
    passed_over: BTreeMap<&'static str, usize>,
}

impl Reviewed {
    /// What is listed for a recording, by the number that its name begins with.
    pub fn of(name: &str) -> Self {
        let file: File = serde_json::from_str(include_str!("../replay-differences.json")).unwrap();
        let number = name.split('-').next().unwrap_or_default();
        assert!(file.differences.iter().all(|listed| !listed.reason.is_empty()));
        assert!(file.outside.iter().all(|outside| !outside.reason.is_empty()));
        let listed = file.differences.into_iter().filter(|listed| listed.recording == number);
        Self {
            recording: number.to_owned(),
            listed: listed.map(|listed| (listed, false)).collect(),
            unlisted: Vec::new(),
            outside: file.outside.into_iter().filter(|outside| outside.recording == number).collect(),
            passed_over: BTreeMap::new(),
        }
    }

    pub fn differs(&mut self, difference: Difference) {
        let of = |listed: &Listed| {
            listed.at == difference.at
                && (listed.index == "*" || listed.index == difference.index)
                && listed.got.as_ref().is_none_or(|got| *got == difference.got)
        };
        match self.listed.iter_mut().find(|(listed, _)| of(listed)) {
            Some((_, found)) => *found = true,
            None => self.unlisted.push(difference),
        }
    }

    pub fn outside(&mut self, kind: &'static str) {
        *self.passed_over.entry(kind).or_default() += 1;
    }

    /// Fails with all that is not as listed.
    pub fn check(&self) {
        let mut problems = String::new();
        for Difference { index, at, recorded, got } in &self.unlisted {
            writeln!(problems, "request {index}, {at}: recorded {recorded}, got {got}").unwrap();
        }
        for (listed, _) in self.listed.iter().filter(|(_, found)| !found) {
            writeln!(problems, "request {}, {}: listed, but does not differ", listed.index, listed.at).unwrap();
        }
        let listed: BTreeMap<&str, usize> = self.outside.iter().map(|o| (o.kind.as_str(), o.count)).collect();
        if listed != self.passed_over {
            writeln!(problems, "outside the surface: listed {listed:?}, got {:?}", self.passed_over).unwrap();
        }
        assert!(problems.is_empty(), "recording {}:\n{problems}", self.recording);
    }
}
