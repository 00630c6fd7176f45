//! The part of a pass that is about drains: what runs on their nodes is read, and one that can't go on is given up. Never
//! opens a node: that is planned once it has been recorded that the drain was given up.

use std::collections::{BTreeMap, BTreeSet};

use nodepool_kernel::{Change, Drain, GivenUp, Plan, Snapshot, Step, Time, Verdict, given_up};
use tokio::time::Instant;

use super::ends::retry_at;
use super::pass::Pass;
use crate::metrics::Untold;
use crate::report::{Notice, Severity, take_given_up};

/// The nodes of drains that are under way or planned, by pool.
fn drained(snapshot: &Snapshot, plan: &Plan) -> BTreeMap<String, BTreeSet<String>> {
    let mut nodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in snapshot.nodes.value().into_iter().flatten().filter(|node| node.drained().is_some()) {
        if let Some(pool) = &node.pool {
            nodes.entry(pool.clone()).or_default().insert(node.name.clone());
        }
    }
    for step in plan.policies.iter().flat_map(|policy| &policy.steps) {
        if let Change::Drain(Drain::Cordon { nodes: named, .. }) = &step.change {
            nodes.entry(step.pool.clone()).or_default().extend(named.iter().cloned());
        }
    }
    nodes
}

impl Pass {
    /// Reads what runs on the nodes of drains, where that is due. Tells whether anything was read.
    pub(super) async fn know_occupancy(&self, snapshot: &Snapshot, plan: &Plan) -> bool {
        self.observer.know_occupancy(&drained(snapshot, plan), self.arguments.arm_poll_seconds).await
    }

    /// When what runs on the nodes of a drain is to be read again.
    pub(super) fn occupancy_due(&self) -> Option<Instant> {
        self.observer.occupancy_due(self.arguments.arm_poll_seconds)
    }

    /// Records which drains are given up, and why. Tells whether any is: then their nodes are to be opened.
    pub(super) async fn give_up(&self, plan: &Plan, verdicts: &[Verdict], snapshot: &Snapshot) -> bool {
        let mut any = false;
        for given in given_up(plan, verdicts, snapshot, &self.settings) {
            any |= self.record_given_up(&given, plan, snapshot.now).await;
        }
        any
    }

    async fn record_given_up(&self, given: &GivenUp, plan: &Plan, now: Time) -> bool {
        let Some(policy) = self.policy(&given.policy) else { return false };
        let aim = plan.of(&given.policy).and_then(|plan| plan.steps.iter().find_map(|step| step.change.aim()));
        let what = aim.map_or_else(|| "drain".to_owned(), |aim| format!("drain to {aim}"));
        let mut status = self.store.published(&policy);
        let (generation, base) = (policy.metadata.generation.unwrap_or_default(), self.arguments.retry_seconds);
        take_given_up(&mut status, (now, generation), &what, given, |failures| retry_at(base, failures));
        // What a crash would forget would be tried again at once.
        self.publish(&policy, status).await
    }

    /// Tells of the nodes that were cordoned or opened, with the nodes.
    pub(super) async fn tell_of_nodes(&self, step: &Step) {
        let (nodes, reason, note) = match &step.change {
            Change::Drain(Drain::Cordon { nodes, aim }) => {
                (nodes, "CordonedForDrain", format!("cordoned for policy {} to {aim}", step.policy))
            }
            Change::Drain(Drain::Uncordon { nodes, why }) => {
                (nodes, "DrainEnded", format!("uncordoned for policy {}: {why}", step.policy))
            }
            _ => return,
        };
        for node in nodes {
            let (reason, note) = (reason.to_owned(), note.clone());
            let notice = Notice { severity: Severity::Normal, reason, action: "Drain", note };
            if !self.publisher.notice_node(node, &notice).await {
                self.figures.untold(Untold::Event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nodepool_kernel::{Aim, DrainMark, Known, Node, PolicyPlan, Readiness, Rows, Span};

    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn node(name: &str, pool: Option<&str>, cordoned: bool, marked: bool) -> Node {
        let mark = DrainMark { policy: "p".into(), plan: "a test".into(), since: NOW };
        Node {
            name: name.into(),
            pool: pool.map(str::to_owned),
            labelled_system: true,
            quarantined: false,
            readiness: Readiness::Ready { since: NOW },
            joined: NOW,
            cordoned,
            deleting: false,
            taints: vec![],
            provider_id: None,
            kubelet_version: String::new(),
            image_version: None,
            zone: None,
            drain: marked.then(|| Box::new(mark)),
        }
    }

    fn seeing(nodes: Known<Rows<Node>>) -> Snapshot {
        let unknown = "it has not been read yet";
        Snapshot {
            now: NOW,
            paused: Known::unknown(unknown),
            bulk: Known::unknown(unknown),
            intents: Known::unknown(unknown),
            cluster: Known::unknown(unknown),
            issuer: Known::unknown(unknown),
            nodes,
            pods: Known::unknown(unknown),
            budgets: Known::unknown(unknown),
            workloads: Known::unknown(unknown),
            places: Known::unknown(unknown),
            in_flight: vec![],
            dependents: [].into(),
            occupancy: [].into(),
            upgradable: [].into(),
        }
    }

    fn planning(changes: Vec<Change>) -> Plan {
        let step = |change| Step { policy: "p".into(), pool: "system".into(), change };
        let policy = PolicyPlan {
            policy: "p".into(),
            pool: "system".into(),
            problems: vec![],
            steps: changes.into_iter().map(step).collect(),
            drift: vec![],
            kept_back: vec![],
            template_drift: vec![],
            ahead: None,
            image_answered: false,
            release: None,
        };
        Plan { policies: vec![policy], ..Plan::default() }
    }

    #[test]
    fn what_is_cordoned_for_a_drain_and_what_is_about_to_be_is_looked_at() {
        let nodes = vec![
            node("a", Some("system"), true, true),
            node("opened-by-hand", Some("system"), false, true),
            node("of-somebody-else", Some("system"), true, false),
            node("open", Some("system"), false, false),
            node("of-no-pool", None, true, true),
            node("b", Some("other"), true, true),
        ];
        let cordon = Drain::Cordon { nodes: vec!["c".into(), "d".into()], aim: Aim::Demotion };
        let uncordon = Drain::Uncordon { nodes: vec!["e".into()], why: String::new() };
        let remove = Drain::RemoveMachines { machines: vec!["f".into()], from: 3 };
        let plan = planning([cordon, uncordon, remove].map(Change::Drain).into());
        let found = drained(&seeing(Known::seen(NOW.after(Span::from_secs(1)), nodes.into())), &plan);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let wanted = [("system".to_owned(), names(&["a", "c", "d"])), ("other".to_owned(), names(&["b"]))];
        assert_eq!(found, BTreeMap::from(wanted));
        assert!(drained(&seeing(Known::unknown("no answer")), &planning(vec![])).is_empty());
    }
}
