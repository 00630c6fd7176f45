//! `KubeSystemUnhealthy`: system pools are disturbed only while the add-ons run as wished. Never judges where they run.

use super::drain;
use super::rule::{Broken, Rule, Standing};
use crate::facts::Facts;
use crate::names::{capped_list, counted};
use crate::snapshot::{Mode, Workload};
use crate::step::{Change, Step};

/// The add-on without which names are not resolved: it is required also where it is missing.
pub const ALWAYS_REQUIRED: &str = "coredns";

/// Refuses a disruptive step on a system pool while a required add-on does not run as wished, or has done so only for a
/// moment, as after the step before.
///
/// No protected pod is evicted, from any pool, before the pods that take the place of those evicted before are Ready.
///
/// An add-on other than coredns that the cluster does not have is not required. A repair passes: it may be what the
/// add-ons wait for.
pub(super) fn check(facts: &Facts<'_>, step: &Step) -> Option<Broken> {
    let pool = facts.observed.pool(&step.pool)?;
    let disturbs = !matches!(step.change, Change::Repair { .. }) && facts.disrupts(step);
    let required = facts.settings.required_add_ons.iter().filter(|_| pool.mode == Mode::System && disturbs);
    let mut unwell: Vec<String> = required.flat_map(|name| unwell(facts, name)).collect();
    unwell.extend(drain::unsettled(facts, step));
    if unwell.is_empty() {
        return None;
    }
    Some(Broken {
        rule: Rule::KubeSystemUnhealthy,
        standing: Standing::Passing,
        finding: format!("pool {} is not disturbed while {}", pool.name, capped_list(&unwell)),
        remedy: "wait until the add-ons run; if they do not, look why their pods are not Ready (kubectl get pods -n \
                 kube-system -o wide)"
            .to_owned(),
        pods: Vec::new(),
    })
}

/// What is wrong with the add-on of that name, in every namespace that has it.
fn unwell(facts: &Facts<'_>, name: &str) -> Vec<String> {
    let found: Vec<&Workload> = facts.workloads.iter().filter(|workload| workload.name == name).collect();
    if found.is_empty() && name == ALWAYS_REQUIRED {
        return vec![format!("there is no Deployment {name}")];
    }
    found.into_iter().filter_map(|workload| complaint(facts, workload)).collect()
}

fn complaint(facts: &Facts<'_>, workload: &Workload) -> Option<String> {
    let name = workload.full_name();
    if workload.wished == 0 && workload.name == ALWAYS_REQUIRED {
        return Some(format!("{name} is scaled to zero"));
    }
    if !workload.is_well() {
        let ready = workload.ready.min(workload.updated);
        let pods = counted(usize::try_from(workload.wished).unwrap_or(usize::MAX), "pod");
        return Some(format!("{name} has {ready} of {pods} Ready"));
    }
    let stable_for = facts.settings.add_ons_stable_for;
    let is_stable = workload.well_since.is_some_and(|since| facts.now.since(since) >= stable_for);
    (!is_stable).then(|| format!("{name} has been as wished for less than {} s", stable_for.as_millis().div_ceil(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        NOW, ago, broken, demote, edit, governed, pool, pool_mut, put_label, put_taints, repair, rules, scale, workload,
    };
    use crate::{ProvisioningState, Settings, Snapshot, guard};

    fn cluster() -> Snapshot {
        let pools = vec![pool("one", Mode::System, 3), pool("two", Mode::System, 3), pool("apps", Mode::User, 3)];
        let mut snapshot = governed(pools, "one");
        for name in ["konnectivity-agent", "metrics-server"] {
            edit(&mut snapshot.workloads).push(workload(name));
        }
        snapshot
    }

    fn add_on<'a>(snapshot: &'a mut Snapshot, name: &str) -> &'a mut Workload {
        edit(&mut snapshot.workloads).iter_mut().find(|workload| workload.name == name).unwrap()
    }

    fn found(edit_snapshot: impl Fn(&mut Snapshot)) -> Option<String> {
        let mut snapshot = cluster();
        edit_snapshot(&mut snapshot);
        let broken = broken(&snapshot, &demote("one"), Rule::KubeSystemUnhealthy)?;
        assert_eq!(broken.standing, Standing::Passing);
        Some(broken.finding)
    }

    #[test]
    fn add_ons_that_run_as_wished_let_a_step_pass() {
        assert_eq!(rules(&cluster(), &demote("one")), []);
        let gone = |snapshot: &mut Snapshot, name: &str| edit(&mut snapshot.workloads).retain(|it| it.name != name);
        assert_eq!(found(|s| gone(s, "metrics-server")), None, "what the cluster does not have is not required");
        assert_eq!(found(|s| add_on(s, "metrics-server").wished = 0), None);
        assert_eq!(found(|s| edit(&mut s.workloads).push(Workload { ready: 0, ..workload("ama-logs-rs") })), None);
    }

    #[test]
    fn an_add_on_that_does_not_run_as_wished_is_named() {
        let of_one = "pool one is not disturbed while ";
        for (edit_snapshot, expected) in [
            ((|s| add_on(s, "coredns").ready = 1) as fn(&mut Snapshot), "kube-system/coredns has 1 of 2 pods Ready"),
            (|s| add_on(s, "konnectivity-agent").updated = 0, "kube-system/konnectivity-agent has 0 of 2 pods Ready"),
            (|s| add_on(s, "coredns").wished = 0, "kube-system/coredns is scaled to zero"),
            (|s| edit(&mut s.workloads).retain(|it| it.name != "coredns"), "there is no Deployment coredns"),
            (
                |s| add_on(s, "coredns").well_since = Some(ago(29)),
                "kube-system/coredns has been as wished for less than 30 s",
            ),
            (|s| add_on(s, "coredns").well_since = None, "kube-system/coredns has been as wished for less than 30 s"),
        ] {
            assert_eq!(found(edit_snapshot), Some(format!("{of_one}{expected}")));
        }
        assert_eq!(found(|s| add_on(s, "coredns").well_since = Some(ago(30))), None);
        let both = found(|s| {
            add_on(s, "coredns").ready = 1;
            add_on(s, "metrics-server").ready = 0;
        });
        assert!(both.is_some_and(|both| both.contains("coredns has 1") && both.contains("metrics-server has 0")));
    }

    #[test]
    fn only_disruptive_steps_on_system_pools_wait() {
        let mut snapshot = cluster();
        add_on(&mut snapshot, "coredns").ready = 0;
        let refuses = |step: &Step| broken(&snapshot, step, Rule::KubeSystemUnhealthy).is_some();
        assert!(refuses(&demote("one")) && refuses(&scale("one", 3, 2)));
        assert!(refuses(&put_taints("one", &["CriticalAddonsOnly=true:NoExecute"])));
        for harmless in [
            scale("one", 3, 4),
            put_label("one", "a"),
            put_taints("one", &["CriticalAddonsOnly=true:NoSchedule"]),
            scale("apps", 3, 1),
            put_taints("apps", &["a=b:NoExecute"]),
        ] {
            assert!(!refuses(&harmless), "{harmless}");
        }
        let mut failed = snapshot.clone();
        let pool = pool_mut(&mut failed, "one");
        (pool.state, pool.count) = (ProvisioningState::Failed, 2);
        assert!(broken(&failed, &repair("one"), Rule::KubeSystemUnhealthy).is_none());
        assert!(broken(&failed, &put_label("one", "a"), Rule::KubeSystemUnhealthy).is_some(), "it goes on removing");
    }

    #[test]
    fn the_required_add_ons_are_a_setting() {
        let mut snapshot = cluster();
        add_on(&mut snapshot, "coredns").ready = 0;
        let with = |required: &[&str]| {
            let required_add_ons = required.iter().map(|name| (*name).to_owned()).collect();
            let settings = Settings { required_add_ons, ..Settings::default() };
            guard(demote("one"), &snapshot, &settings).is_ok()
        };
        assert!(with(&[]) && with(&["metrics-server"]) && !with(&["coredns"]));
        assert_eq!(snapshot.now, NOW);
    }
}
