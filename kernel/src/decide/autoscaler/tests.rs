//! When the autoscaler is turned off and on beside other steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::placement::{self, Listing, World};
use crate::testing::{NOW, begin_drain, edit, intent, node, nodes_mut, occupy, pod, pool, pool_mut, snapshot};
use crate::{
    Attempt, Autoscaling, Cause, Intent, Known, Mode, Places, Settings, Snapshot, Span, SystemPods, decide, plan,
};

const BOUNDS: Autoscaling = Autoscaling { min: 3, max: 6 };
const OFF: &str = "turn the autoscaler off";
const ON: &str = "turn the autoscaler on, 3 to 6 nodes";
const CORDON: &str = "cordon nodes 0, 1, 2 to change the mode from System to User";
const EVICT: &str = "evict kube-system/dns-0 from node 0 to change the mode from System to User";
const DEMOTE: &str = "change the mode from System to User";

/// Two system pools of three nodes. `sys` is autoscaled by its policy, which wants it demoted and may move its two pods.
fn cluster() -> Snapshot {
    let mut snapshot = snapshot(vec![pool("sys", Mode::System, 3), pool("two", Mode::System, 3)]);
    pool_mut(&mut snapshot, "sys").autoscaling = Some(BOUNDS);
    let wish = Intent { mode: Some(Mode::User), autoscaling: Some(BOUNDS), ..intent("p", "sys") };
    edit(&mut snapshot.intents).push(Intent { system_pods: SystemPods::Relocate, ..wish });
    for index in 0..2 {
        edit(&mut snapshot.pods).push(pod(&format!("dns-{index}"), &node("sys", index)));
    }
    occupy(&mut snapshot, "sys");
    place_all(&mut snapshot);
    snapshot
}

/// Tells that every protected pod may run on every node.
fn place_all(snapshot: &mut Snapshot) {
    let rows = edit(&mut snapshot.nodes).iter().map(|node| placement::testing::node(&node.name, &[]));
    let listing = Listing { namespaces: ["kube-system".to_owned()].into(), repelling: true };
    let mut world = World::new(rows.collect(), None, listing);
    let mut pods = BTreeMap::new();
    for pod in edit(&mut snapshot.pods) {
        let (namespace, name) = (pod.namespace.to_string(), pod.name.to_string());
        let placed = placement::Pod { namespace, name, ..placement::Pod::default() };
        world.add(pod.node.as_deref().unwrap(), Arc::new(placed.clone()));
        pods.insert(pod.full_name(), placed);
    }
    snapshot.places = Known::seen(NOW, Arc::new(Places { world, pods }));
}

fn set_autoscaling(snapshot: &mut Snapshot, bounds: Option<Autoscaling>) {
    pool_mut(snapshot, "sys").autoscaling = bounds;
}

/// The verdicts in short, in the order of the plan, nodes by their numbers.
fn verdicts(snapshot: &Snapshot) -> Vec<String> {
    let settings = Settings::default();
    let plan = plan(snapshot, &settings);
    let in_short = |verdict: &Verdict| {
        let step = verdict.step().change.to_string();
        let text = match verdict {
            Verdict::Approved(_) => format!("approved: {step}"),
            Verdict::Waits { reason, .. } => format!("waits: {step}: {reason}"),
            Verdict::Refused(refusal) => format!("{}: {step}", refusal.leading().unwrap().rule.name()),
        };
        text.replace("aks-sys-12345678-vmss00000", "")
    };
    let verdicts = decide(&plan, snapshot, &settings);
    let steps = plan.policies.iter().flat_map(|policy| &policy.steps);
    steps.map(|step| in_short(verdicts.iter().find(|verdict| verdict.step() == step).unwrap())).collect()
}

fn after(step: &str, first: &str) -> String {
    format!("waits: {step}: the step before it, pool sys: {first}")
}

#[test]
fn it_is_off_before_the_first_node_is_closed_and_on_again_after_the_demotion() {
    let mut snapshot = cluster();
    assert_eq!(verdicts(&snapshot), [format!("approved: {OFF}"), after(CORDON, OFF)]);
    set_autoscaling(&mut snapshot, None);
    assert_eq!(verdicts(&snapshot), [format!("approved: {CORDON}"), after(ON, CORDON)]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2]);
    assert_eq!(verdicts(&snapshot), [format!("approved: {EVICT}"), after(ON, EVICT)]);
    edit(&mut snapshot.pods).clear();
    occupy(&mut snapshot, "sys");
    assert_eq!(verdicts(&snapshot), [format!("approved: {DEMOTE}"), after(ON, DEMOTE)]);
    pool_mut(&mut snapshot, "sys").mode = Mode::User;
    let open = "uncordon nodes 0, 1, 2: they are not to go any more";
    assert_eq!(verdicts(&snapshot), [format!("approved: {open}"), after(ON, open)]);
    for node in nodes_mut(&mut snapshot, "sys") {
        (node.cordoned, node.drain) = (false, None);
    }
    assert_eq!(verdicts(&snapshot), [format!("approved: {ON}")]);
}

#[test]
fn it_stays_on_while_the_drain_is_refused_and_comes_back_if_nothing_has_been_closed() {
    let mut snapshot = cluster();
    edit(&mut snapshot.workloads).clear();
    let refused = format!("KubeSystemUnhealthy: {CORDON}");
    let waits = format!("waits: {OFF}: a step that is refused, pool sys: {CORDON}");
    assert_eq!(verdicts(&snapshot), [waits, refused.clone()]);
    set_autoscaling(&mut snapshot, None);
    assert_eq!(verdicts(&snapshot), [refused.clone(), after(ON, CORDON)], "the add-ons may be well in a moment");
    edit(&mut snapshot.intents)[0].stalled = true;
    assert_eq!(verdicts(&snapshot), [refused, format!("approved: {ON}")]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2]);
    assert_eq!(verdicts(&snapshot), [format!("KubeSystemUnhealthy: {EVICT}"), after(ON, EVICT)], "it may go on yet");
}

#[test]
fn it_comes_back_if_the_drain_is_refused_for_good_and_not_while_its_places_are_read() {
    let mut snapshot = cluster();
    set_autoscaling(&mut snapshot, None);
    snapshot.places = Known::unknown("they have not been asked for");
    let unplaceable = format!("SystemPodsUnplaceable: {CORDON}");
    assert_eq!(verdicts(&snapshot), [unplaceable, after(ON, CORDON)]);
    edit(&mut snapshot.intents)[0].system_pods = SystemPods::Protect;
    let refused = format!("SystemPodsWouldBeEvicted: {DEMOTE}");
    assert_eq!(verdicts(&snapshot), [refused, format!("approved: {ON}")]);
}

#[test]
fn it_is_turned_off_again_if_somebody_turns_it_on_in_the_middle() {
    let mut snapshot = cluster();
    begin_drain(&mut snapshot, "sys", &[0, 1, 2]);
    assert_eq!(verdicts(&snapshot), [format!("approved: {OFF}"), after(EVICT, OFF)]);
}

#[test]
fn it_waits_with_the_drain_for_what_adds_system_capacity() {
    let mut snapshot = cluster();
    let more = Intent { count: Some(4), ..intent("q", "two") };
    edit(&mut snapshot.intents).push(more);
    let up = "scale from 3 to 4 nodes";
    let waits = |step: &str| format!("waits: {step}: the step before it, pool two: {up}");
    assert_eq!(verdicts(&snapshot), [waits(OFF), waits(CORDON), format!("approved: {up}")]);
}

#[test]
fn after_a_drain_that_was_given_up_it_is_turned_on_whatever_else_waits() {
    let mut snapshot = cluster();
    set_autoscaling(&mut snapshot, None);
    let attempt = |cause| Attempt {
        cause,
        failures: 1,
        generation: 1,
        next: Some(NOW.after(Span::from_secs(60))),
        code: String::new(),
        message: String::new(),
        remedy: String::new(),
    };
    let later = |step: &str| format!("waits: {step}: the next attempt after a failed one");
    edit(&mut snapshot.intents).first_mut().unwrap().attempt = Some(attempt(Cause::Drain));
    assert_eq!(verdicts(&snapshot), [later(CORDON), format!("approved: {ON}")]);
    begin_drain(&mut snapshot, "sys", &[0, 1, 2]);
    let open = "uncordon nodes 0, 1, 2: the drain was given up for now";
    assert_eq!(verdicts(&snapshot)[0], format!("approved: {open}"));
    assert_eq!(verdicts(&snapshot).last(), Some(&after(ON, open)));
    set_autoscaling(&mut snapshot, Some(BOUNDS));
    assert_eq!(verdicts(&snapshot)[1], later(OFF));
    let mut refused = cluster();
    set_autoscaling(&mut refused, None);
    edit(&mut refused.intents).first_mut().unwrap().attempt = Some(attempt(Cause::Refused));
    assert_eq!(verdicts(&refused), [later(CORDON), later(ON)], "a refused write is another matter");
}

#[test]
fn the_number_of_nodes_waits_until_it_is_off() {
    let mut snapshot = cluster();
    let wish = Intent { count: Some(2), owns_autoscaler: true, ..intent("p", "sys") };
    *edit(&mut snapshot.intents) = vec![wish];
    let scale = "cordon node 2 to scale from 3 to 2 nodes";
    assert_eq!(verdicts(&snapshot), [format!("approved: {OFF}"), after(scale, OFF)]);
}
