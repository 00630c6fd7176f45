//! The changes of a drain that are made in Kubernetes: nodes are cordoned and marked, or opened again, and one pod is evicted.
//! The only evictor; never takes a node over that somebody else cordoned, and never deletes a pod past its budgets.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use nodepool_kernel::{Aim, Approved, DrainMark, Step};
use serde_json::{Value, json};

use super::Outcome;
use crate::api::{DRAIN_ANNOTATION, drain_annotation};
use crate::causes::innermost;
use crate::clock::now;
use crate::denied::said;
use crate::leadership::NotLeading;
use crate::observe::node;

/// How often a node is read again that somebody wrote between the look and the patch.
const TRIES: u32 = 3;

/// Cordons the nodes, one after the other, each with its mark in the same patch. Stops at the first that can't be: the next
/// pass goes on from the marks.
pub(super) async fn cordon(client: &Client, approved: &Approved<Step>, nodes: &[String], aim: Aim) -> Outcome {
    let mark = DrainMark { policy: approved.get().policy.clone(), plan: aim.to_string(), since: now() };
    let patch = json!({
        "metadata": {"annotations": {DRAIN_ANNOTATION: drain_annotation(&mark)}},
        "spec": {"unschedulable": true},
    });
    change_each(client, nodes, &patch, |found| !node(found).cordoned).await
}

/// Opens the nodes again that are cordoned for the policy, and takes their marks off.
pub(super) async fn uncordon(client: &Client, approved: &Approved<Step>, nodes: &[String]) -> Outcome {
    let patch = json!({
        "metadata": {"annotations": {DRAIN_ANNOTATION: null}},
        "spec": {"unschedulable": null},
    });
    let is_ours = |found: &Node| node(found).drain.is_some_and(|mark| mark.policy == approved.get().policy);
    change_each(client, nodes, &patch, is_ours).await
}

/// Patches each of the nodes that is as it should be, under the condition that nobody writes it in between.
async fn change_each(client: &Client, nodes: &[String], patch: &Value, fits: impl Fn(&Node) -> bool) -> Outcome {
    let api = Api::<Node>::all(client.clone());
    for name in nodes {
        match change(&api, name, patch, &fits).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Superseded,
            Err(error) => return unable(&error),
        }
    }
    Outcome::Made { at: now() }
}

/// Patches one node. Tells whether it was as it should be; one that is gone needs no change.
async fn change(api: &Api<Node>, name: &str, patch: &Value, fits: &impl Fn(&Node) -> bool) -> kube::Result<bool> {
    let mut tries = 0;
    loop {
        let Some(found) = api.get_opt(name).await? else { return Ok(true) };
        if !fits(&found) {
            return Ok(false);
        }
        let mut patch = patch.clone();
        if let Some(metadata) = patch.get_mut("metadata") {
            // Somebody who writes the node meanwhile may have cordoned it.
            metadata["resourceVersion"] = json!(found.metadata.resource_version);
        }
        tries += 1;
        match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// Evicts the pod of that id, if it is still the one of its name. Only an approved step can evict.
pub(super) async fn evict(client: &Client, approved: &Approved<Step>, pod: &str, uid: &str) -> Outcome {
    let Some((namespace, name)) = pod.split_once('/') else { return Outcome::Superseded };
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let options = DeleteParams::default().preconditions(preconditions);
    let params = EvictParams { delete_options: Some(options), post_options: PostParams::default() };
    tracing::info!(pod, policy = approved.get().policy, "evicting");
    match Api::<Pod>::namespaced(client.clone(), namespace).evict(name, &params).await {
        Ok(_) => Outcome::Made { at: now() },
        // It is gone, or another one has its name.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Outcome::Superseded,
        Err(error) => unable(&error),
    }
}

/// What an error of the API server means: a budget that is closed, or a right that is missing, is tried again.
fn unable(error: &kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) if matches!(status.code, 409 | 429 | 500) => {
            Outcome::Postponed { after: None, error: format!("the API server does not do it now: {}", status.message) }
        }
        kube::Error::Api(status) => Outcome::NotSent { error: format!("the API server refuses it: {}", said(status)) },
        other if innermost(other).is::<NotLeading>() => Outcome::NotSent { error: innermost(other).to_string() },
        // It may have done it: the next pass goes on from what it shows.
        other => {
            let error = format!("the API server gave no answer: {}", innermost(other));
            Outcome::Postponed { after: None, error }
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16) -> Outcome {
        let status = Status { code, ..Status::failure("the words", "Reason") };
        unable(&kube::Error::Api(status.boxed()))
    }

    #[test]
    fn what_may_pass_by_itself_is_postponed_and_nothing_is_ever_counted_as_a_failed_attempt() {
        for code in [409, 429, 500] {
            let outcome = answered(code);
            let Outcome::Postponed { after: None, error } = &outcome else { panic!("{code}: {outcome}") };
            assert_eq!(error, "the API server does not do it now: the words", "{code}");
        }
        for code in [400, 401, 403, 422] {
            let outcome = answered(code);
            let Outcome::NotSent { error } = &outcome else { panic!("{code}: {outcome}") };
            assert_eq!(error, "the API server refuses it: the words", "{code}");
        }
        let held = unable(&kube::Error::Service(NotLeading.into()));
        assert!(matches!(&held, Outcome::NotSent { error } if error.starts_with("nothing was sent")), "{held}");
        let lost = unable(&kube::Error::Service("cut".into()));
        assert!(matches!(&lost, Outcome::Postponed { error, .. } if error.contains("gave no answer")), "{lost}");
    }
}
