//! Which protected pods restart again and again, for the inventory. Never guesses how often one will.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1 as core;
use nodepool_kernel::{Pod, Rows, Span, Time};

/// So many restarts of a container are no accident.
const OFTEN: i32 = 3;

/// How long a restart counts.
const RECENT: Span = Span::from_secs(600);

/// Pods with containers that have restarted often.
#[derive(Default)]
pub(super) struct Restarts(Mutex<BTreeMap<String, Restart>>);

/// How a pod restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// The kubelet waits before it starts a container once more.
    Waiting,
    /// A container that has restarted often last ended then.
    Ended(Time),
}

impl Restarts {
    /// Takes note of how the containers of a pod do.
    pub(super) fn note(&self, pod: &core::Pod, row: &Pod) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match restart(pod) {
            Some(restart) => drop(all.insert(row.full_name(), restart)),
            None => drop(all.remove(&row.full_name())),
        }
    }

    /// Of these pods, those that restart again and again (`namespace/name`). Others are forgotten.
    pub(super) fn of(&self, pods: &Rows<Pod>, now: Time) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return Vec::new();
        }
        let found = pods.iter().filter_map(|pod| all.remove_entry(&pod.full_name())).collect();
        *all = found;
        let lasts = |restart: &Restart| match restart {
            Restart::Waiting => true,
            Restart::Ended(at) => now.since(*at) < RECENT,
        };
        all.iter().filter(|(_, restart)| lasts(restart)).map(|(pod, _)| pod.clone()).collect()
    }
}

fn restart(pod: &core::Pod) -> Option<Restart> {
    let status = pod.status.as_ref()?;
    let containers = || status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let waits = |container: &core::ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()) == Some("CrashLoopBackOff")
    };
    if containers().any(waits) {
        return Some(Restart::Waiting);
    }
    let ended = |container: &core::ContainerStatus| {
        let last = container.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?;
        Some(Time::from_millis(last.0.as_millisecond()))
    };
    containers().filter(|it| it.restart_count >= OFTEN).filter_map(ended).max().map(Restart::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::rows::any_pod;
    use serde_json::{Value, json};

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn found(container: &Value) -> Vec<String> {
        let mut status = json!({"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0});
        if let (Value::Object(all), Value::Object(more)) = (&mut status, container) {
            all.extend(more.clone());
        }
        let pod = json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"containerStatuses": [status]}});
        let pod: core::Pod = serde_json::from_value(pod).unwrap();
        let restarts = Restarts::default();
        restarts.note(&pod, &any_pod(&pod));
        restarts.of(&vec![any_pod(&pod)].into(), crate::api::time(NOW).unwrap())
    }

    #[test]
    fn a_pod_that_restarts_again_and_again_is_told_from_one_that_did_once() {
        let ended = |count: i32, at: &str| {
            found(&json!({"restartCount": count, "lastState": {"terminated": {"exitCode": 1, "finishedAt": at}}}))
        };
        assert_eq!(ended(3, "2026-01-01T11:51:00Z"), ["n/p"]);
        assert_eq!(ended(3, "2026-01-01T11:50:00Z"), [""; 0], "it runs since");
        assert_eq!(ended(2, "2026-01-01T11:59:00Z"), [""; 0], "an accident");
        assert_eq!(found(&json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}})), ["n/p"]);
        assert_eq!(found(&json!({"state": {"waiting": {"reason": "ContainerCreating"}}})), [""; 0]);
        assert_eq!(found(&json!({"restartCount": 9})), [""; 0], "nobody knows when");
    }

    #[test]
    fn pods_that_are_gone_or_well_are_forgotten() {
        let restarts = Restarts::default();
        let looping = json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"containerStatuses": [
            {"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        ]}});
        let pod: core::Pod = serde_json::from_value(looping).unwrap();
        let (row, now) = (any_pod(&pod), crate::api::time(NOW).unwrap());
        restarts.note(&pod, &row);
        assert_eq!(restarts.of(&Rows::default(), now), [""; 0]);
        assert_eq!(restarts.of(&vec![row.clone()].into(), now), [""; 0], "another pod of its name would be noted");
        restarts.note(&pod, &row);
        let well = core::Pod { status: None, ..pod.clone() };
        restarts.note(&well, &row);
        assert_eq!(restarts.of(&vec![row].into(), now), [""; 0]);
    }
}
