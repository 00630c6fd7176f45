//! Steps as a person reads them. Never decides anything.

use std::collections::BTreeMap;
use std::fmt;

use super::{Change, NewPool, Purpose, Step};
use crate::keys::Keys;
use crate::names::{capped_list, counted};
use crate::snapshot::Autoscaling;
use crate::taint::Taint;

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "mode",
            Self::Count => "count",
            Self::Taints => "taints",
            Self::Labels => "labels",
            Self::Repair => "repair",
            Self::Create => "create",
            Self::Delete => "deletionPolicy",
            Self::Uncordon => "uncordon",
            Self::Tags => "tags",
            Self::Autoscaling => "autoscaling",
            Self::Power => "powerState",
            Self::Upgrade => "upgrade",
            Self::Version => "kubernetesVersion",
            Self::NodeImage => "nodeImage",
        })
    }
}

/// Taints as a person reads them: in ARM's form, sorted, or `none`.
fn taint_list(taints: &[Taint]) -> String {
    if taints.is_empty() {
        return "none".to_owned();
    }
    let mut texts: Vec<String> = taints.iter().map(Taint::to_string).collect();
    texts.sort_unstable();
    texts.join(", ")
}

/// What is set in a collection and removed from it, as a person reads it.
fn edits(
    noun: &str,
    keys: Keys,
    (from, to): (&BTreeMap<String, String>, &BTreeMap<String, String>),
    list: impl Fn(Vec<String>) -> String,
) -> String {
    let set = to.iter().filter(|(key, value)| from.get(*key) != Some(*value));
    let set = list(set.map(|(key, value)| format!("{key}={value}")).collect());
    let gone = list(from.keys().filter(|key| keys.find(to, key).is_none()).cloned().collect());
    match (set.is_empty(), gone.is_empty()) {
        (false, true) => format!("set the {noun} {set}"),
        (true, _) => format!("remove the {noun} {gone}"),
        (false, false) => format!("set the {noun} {set} and remove {gone}"),
    }
}

/// The entries that differ, as they are and as they are wanted.
fn differing(keys: Keys, (from, to): (&BTreeMap<String, String>, &BTreeMap<String, String>)) -> (String, String) {
    let list = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let is_same = |key: &str, value: &String| keys.find(other, key).is_some_and(|(_, there)| there == value);
        let entries = one.iter().filter(|(key, value)| !is_same(key, value));
        let entries: Vec<String> = entries.map(|(key, value)| format!("{key}={value}")).collect();
        if entries.is_empty() { "none".to_owned() } else { capped_list(entries) }
    };
    (list(from, to), list(to, from))
}

/// The autoscaler's bounds, or that it is off.
fn bounds(bounds: Option<Autoscaling>) -> String {
    bounds.map_or_else(|| "off".to_owned(), |bounds| bounds.to_string())
}

impl Change {
    /// What was found and what is wanted, each as short as the field allows. Of collections the entries that differ.
    #[must_use]
    pub fn found_and_wanted(&self) -> (String, String) {
        let words = |found: &str, wanted: &str| (found.to_owned(), wanted.to_owned());
        match self {
            Self::Mode { from, to } => (from.to_string(), to.to_string()),
            Self::Count { from, to } => (from.to_string(), to.to_string()),
            Self::Taints { from, to } => (taint_list(from), taint_list(to)),
            Self::Labels { from, to } => differing(Keys::Exact, (from, to)),
            Self::Tags { from, to } => differing(Keys::AnyCase, (from, to)),
            Self::Repair { code } if code.is_empty() => words("Failed", "Succeeded"),
            Self::Repair { code } => (format!("Failed ({code})"), "Succeeded".to_owned()),
            Self::Create(new) => ("no pool".to_owned(), a_pool(new)),
            Self::Delete => words("a pool", "no pool"),
            Self::Stop => words("Running", "Stopped"),
            Self::Start => words("Stopped", "Running"),
            Self::Autoscaling { from, to } => (bounds(*from), bounds(*to)),
            Self::UpgradeSettings { from, to } => (from.to_string(), to.to_string()),
            Self::Version { from, to } => {
                (from.map_or_else(|| "unknown".to_owned(), |it| it.to_string()), to.to_string())
            }
            Self::NodeImage { from } => (from.clone(), "the latest".to_owned()),
            Self::Drain(drain) => ("cordoned nodes".to_owned(), drain.to_string()),
        }
    }
}

/// A pool that is to be created, in words.
fn a_pool(new: &NewPool) -> String {
    let nodes = counted(usize::try_from(new.count).unwrap_or(usize::MAX), "node");
    format!("a {} pool with {nodes} of {}", new.mode, new.template.text("vmSize"))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { from, to } => write!(f, "change the mode from {from} to {to}"),
            Self::Count { from, to } => write!(f, "scale from {from} to {to} nodes"),
            Self::Repair { code } if code.is_empty() => f.write_str("try again what has failed"),
            Self::Repair { code } => write!(f, "try again what has failed ({code})"),
            Self::Create(new) => write!(f, "create {}", a_pool(new)),
            Self::Delete => f.write_str("delete the pool"),
            Self::Stop => f.write_str("stop the pool"),
            Self::Start => f.write_str("start the pool"),
            Self::Autoscaling { from: None, to: Some(to) } => write!(f, "turn the autoscaler on, {to}"),
            Self::Autoscaling { from: Some(from), to: Some(to) } => {
                write!(f, "change the autoscaler's bounds from {from} to {to}")
            }
            Self::Autoscaling { to: None, .. } => f.write_str("turn the autoscaler off"),
            Self::UpgradeSettings { from, to } => write!(f, "change the upgrade settings from {from} to {to}"),
            Self::Version { from: Some(from), to } => write!(f, "upgrade from Kubernetes {from} to {to}"),
            Self::Version { from: None, to } => write!(f, "upgrade to Kubernetes {to}"),
            Self::NodeImage { from } => write!(f, "upgrade the node image from {from} to the latest"),
            Self::Drain(drain) => drain.fmt(f),
            Self::Taints { from, to } => {
                write!(f, "change the taints from [{}] to [{}]", taint_list(from), taint_list(to))
            }
            Self::Labels { from, to } => {
                f.write_str(&edits("labels", Keys::Exact, (from, to), |items| items.join(", ")))
            }
            // A tag may be as long as 768 characters.
            Self::Tags { from, to } => f.write_str(&edits("tags", Keys::AnyCase, (from, to), capped_list)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {}: {}", self.pool, self.change)
    }
}
