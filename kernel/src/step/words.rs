//! Steps as a person reads them. Never decides anything.

use std::collections::BTreeMap;
use std::fmt;

use super::{Change, Purpose, Step};
use crate::keys::Keys;
use crate::names::{capped_list, counted};
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

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode { from, to } => write!(f, "change the mode from {from} to {to}"),
            Self::Count { from, to } => write!(f, "scale from {from} to {to} nodes"),
            Self::Repair { code } if code.is_empty() => f.write_str("try again what has failed"),
            Self::Repair { code } => write!(f, "try again what has failed ({code})"),
            Self::Create(new) => {
                let nodes = counted(usize::try_from(new.count).unwrap_or(usize::MAX), "node");
                write!(f, "create a {} pool with {nodes} of {}", new.mode, new.template.text("vmSize"))
            }
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
