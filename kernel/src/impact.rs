//! What a change may do to what runs, and how long it usually takes: for people who read a plan. Never a reason to refuse.
//!
//! Source of the times: medians of recorded operations of AKS. A node of an upgrade is taken for five minutes, from recorded
//! changes of the operating system, which go through the nodes in the same way.

use crate::drain::Drain;
use crate::snapshot::AgentPool;
use crate::step::Change;
use crate::taint::TaintEffect;
use crate::time::Span;

/// What a change may do to what runs in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Nothing: settings of Azure, or nodes that come.
    None,
    /// Pods that run stay; where new ones are placed may change.
    Scheduling,
    /// Pods may be evicted or started again, or nodes go.
    Disruptive,
}

impl Risk {
    /// The word that the status uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Scheduling => "Scheduling",
            Self::Disruptive => "Disruptive",
        }
    }

    /// What the change may do.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        let evicts = matches!(change, Change::Taints { from, to }
            if to.iter().any(|taint| taint.effect == TaintEffect::NoExecute && !from.contains(taint)));
        // A cordon leaves pods where they are; what comes after it does not.
        if matches!(change, Change::Drain(Drain::Cordon { .. } | Drain::Uncordon { .. })) {
            return Self::Scheduling;
        }
        // AKS tries again what has failed, whatever it was.
        if evicts || change.removes() || change.upgrades() || matches!(change, Change::Repair { .. }) {
            return Self::Disruptive;
        }
        match change {
            Change::Autoscaling { .. } | Change::Mode { .. } | Change::Taints { .. } | Change::Labels { .. } => {
                Self::Scheduling
            }
            _ => Self::None,
        }
    }
}

/// How long the change usually takes from the write to its end, if that is known. `pool` is as it is before, if it is there.
#[must_use]
pub fn usual_time(change: &Change, pool: Option<&AgentPool>) -> Option<Span> {
    let seconds = match change {
        Change::Create(_) => 207,
        Change::Start => 190,
        Change::Count { from, to } if to > from => 190,
        Change::Count { .. } | Change::Drain(Drain::RemoveMachines { .. }) => 60,
        Change::Stop | Change::Delete => 45,
        Change::Mode { .. }
        | Change::Taints { .. }
        | Change::Labels { .. }
        | Change::Tags { .. }
        | Change::UpgradeSettings { .. }
        | Change::Autoscaling { .. } => 10,
        Change::Drain(Drain::Cordon { .. } | Drain::Uncordon { .. }) => 1,
        Change::Version { .. } | Change::NodeImage { .. } => return pool.map(upgrade_time),
        // It depends on what has failed, and on how long a pod takes to end and to start elsewhere.
        Change::Repair { .. } | Change::Drain(Drain::Evict { .. }) => return None,
    };
    Some(Span::from_secs(seconds))
}

/// As many nodes at once as the surge has, each with its time and its soak.
fn upgrade_time(pool: &AgentPool) -> Span {
    const NODE: u64 = 300;
    let batches = pool.count.div_ceil(pool.surge().max(1));
    let each = NODE.saturating_add(u64::from(pool.node_soak_minutes).saturating_mul(60));
    Span::from_secs(u64::from(batches).saturating_mul(each))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        autoscale, demote, pool, promote, put_label, put_tag, put_taints, repair, scale, start, stop, upgrade_image,
        upgrade_to,
    };
    use crate::{Aim, Mode, Step};

    fn drain(drain: Drain) -> Step {
        Step { change: Change::Drain(drain), ..stop("apps") }
    }

    #[test]
    fn what_a_change_may_do_and_how_long_it_takes() {
        let nodes = || vec!["a".to_owned()];
        let aim = Aim::Deletion;
        let evict = Drain::Evict { pod: "p".into(), uid: "u".into(), node: "a".into(), aim };
        for (step, risk, seconds) in [
            (put_tag("apps", "x"), Risk::None, Some(10)),
            (put_label("apps", "x"), Risk::Scheduling, Some(10)),
            (promote("apps"), Risk::Scheduling, Some(10)),
            (demote("apps"), Risk::Disruptive, Some(10)),
            (put_taints("apps", &["a=b:NoSchedule"]), Risk::Scheduling, Some(10)),
            (put_taints("apps", &["a=b:NoExecute"]), Risk::Disruptive, Some(10)),
            (autoscale("apps", None, Some((1, 2))), Risk::Scheduling, Some(10)),
            (scale("apps", 1, 2), Risk::None, Some(190)),
            (scale("apps", 2, 1), Risk::Disruptive, Some(60)),
            (start("apps"), Risk::None, Some(190)),
            (stop("apps"), Risk::Disruptive, Some(45)),
            (repair("apps"), Risk::Disruptive, None),
            (drain(Drain::Cordon { nodes: nodes(), aim }), Risk::Scheduling, Some(1)),
            (drain(Drain::Uncordon { nodes: nodes(), why: String::new() }), Risk::Scheduling, Some(1)),
            (drain(evict), Risk::Disruptive, None),
            (drain(Drain::RemoveMachines { machines: nodes(), from: 3 }), Risk::Disruptive, Some(60)),
            (upgrade_to("apps", "1.34.2"), Risk::Disruptive, Some(900)),
            (upgrade_image("apps"), Risk::Disruptive, Some(900)),
        ] {
            let pool = pool("apps", Mode::User, 3);
            let time = usual_time(&step.change, Some(&pool));
            assert_eq!((Risk::of(&step.change), time), (risk, seconds.map(Span::from_secs)), "{step}");
        }
        assert_eq!(usual_time(&upgrade_to("apps", "1.34.2").change, None), None);
    }

    #[test]
    fn an_upgrade_goes_through_the_nodes_by_its_surge() {
        let mut ten = pool("apps", Mode::User, 10);
        (ten.max_surge, ten.node_soak_minutes) = (Some("3".into()), 5);
        assert_eq!(upgrade_time(&ten), Span::from_secs(4 * 600));
        (ten.max_surge, ten.count) = (Some("0".into()), u32::MAX);
        assert!(upgrade_time(&ten) > Span::from_secs(3600));
    }
}
