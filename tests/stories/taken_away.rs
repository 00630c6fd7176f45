//! Rights that are taken away from the operator while it is looked at, each verb on each resource and each action in Azure by
//! itself, and given back. Never asserts what the operator makes of it.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use nodepool_operator::api::condition;
use serde_json::json;
use testbed::azure::{self, OPERATOR_CLIENT};
use testbed::{Lane, OPERATOR_USER, probe, wait_for};

use super::rights::{self, Grant};
use super::support::{DEADLINE, Scene, Story, message, story};
use super::{taken_away_at_once, taken_away_on_the_way};

/// The operator's namespace and its roles.
const NAME: &str = "nodepool-operator";
/// What actions in Azure begin with.
const AZURE: &str = "Microsoft.";

pub fn stories() -> Vec<Story> {
    let mut stories = vec![story("each_right_of_the_roles_is_taken_away_in_a_story", complete)];
    stories.extend(taken_away_at_once::stories());
    stories.extend(taken_away_on_the_way::stories());
    stories
}

/// Every grant of both role files has its row in a table, and every row its grant.
async fn complete(_: Lane) -> anyhow::Result<Option<Scene>> {
    let mut granted: BTreeSet<String> = rights::grants()?.iter().map(ToString::to_string).collect();
    granted.extend(azure::role()?.actions);
    let taken: Vec<&str> = taken_away_at_once::rights().chain(taken_away_on_the_way::rights()).collect();
    let taken_once: BTreeSet<String> = taken.iter().map(|right| (*right).to_owned()).collect();
    ensure!(taken_once.len() == taken.len(), "a right is in two rows: {taken:?}");
    let missing: Vec<&String> = granted.difference(&taken_once).collect();
    ensure!(missing.is_empty(), "no row takes these rights away: {missing:?}");
    let unknown: Vec<&String> = taken_once.difference(&granted).collect();
    ensure!(unknown.is_empty(), "the roles do not grant what these rows take away: {unknown:?}");
    Ok(None)
}

/// Where the operator says what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In the condition `Ready` of the policy.
    Policy(&'static str),
    /// On this path of its probes.
    Probe(&'static str),
    /// In its log alone: no step waits for it.
    Log,
}

/// Leaves the operator all rights but these, as the roles name them, and waits until the API server goes by it.
pub async fn without(scene: &Scene, taken: &[&str]) -> anyhow::Result<()> {
    let mut azure = azure::role()?;
    azure.actions.retain(|action| !taken.contains(&action.as_str()));
    ensure!(scene.bed.emulator.grant(OPERATOR_CLIENT, &azure), "the emulator does not know the operator");
    let client = scene.bed.cluster.client();
    for role in rights::roles()? {
        let left = role.grants.iter().filter(|grant| !taken.contains(&grant.to_string().as_str()));
        let rules = Patch::Merge(json!({"rules": left.map(rule).collect::<Vec<_>>()}));
        let (parameters, client) = (PatchParams::default(), client.clone());
        if role.kind == "ClusterRole" {
            Api::<ClusterRole>::all(client).patch(NAME, &parameters, &rules).await?;
        } else {
            Api::<Role>::namespaced(client, NAME).patch(NAME, &parameters, &rules).await?;
        }
    }
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    for grant in rights::grants()? {
        let wanted = !taken.contains(&grant.to_string().as_str());
        wait_for(&format!("{grant} to be allowed: {wanted}"), DEADLINE, async || {
            let status = reviews.create(&PostParams::default(), &review(&grant)?).await?.status;
            let status = status.context("the API server did not answer the review")?;
            Ok(if status.allowed == wanted { Ok(()) } else { Err(status.reason.unwrap_or_default()) })
        })
        .await?;
    }
    Ok(())
}

/// The rule that grants this and nothing else.
fn rule(grant: &Grant) -> PolicyRule {
    let one = |text: &str| vec![text.to_owned()];
    let mut rule = PolicyRule { verbs: one(&grant.verb), ..PolicyRule::default() };
    if grant.resource.is_empty() {
        rule.non_resource_urls = Some(one(&grant.name));
        return rule;
    }
    (rule.api_groups, rule.resources) = (Some(one(&grant.group)), Some(one(&grant.resource)));
    rule.resource_names = (!grant.name.is_empty()).then(|| one(&grant.name));
    rule
}

/// The question whether the operator has this right.
fn review(grant: &Grant) -> anyhow::Result<SubjectAccessReview> {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:nodepool-operator", "system:authenticated"];
    let mut spec = json!({"user": OPERATOR_USER, "groups": groups});
    if grant.resource.is_empty() {
        spec["nonResourceAttributes"] = json!({"path": grant.name, "verb": grant.verb});
    } else {
        let (resource, subresource) = grant.resource.split_once('/').unwrap_or((&grant.resource, ""));
        let namespace = if resource == "leases" { NAME } else { "" };
        spec["resourceAttributes"] = json!({
            "verb": grant.verb, "group": grant.group, "resource": resource, "subresource": subresource,
            "name": grant.name, "namespace": namespace,
        });
    }
    Ok(serde_json::from_value(json!({"metadata": {}, "spec": spec}))?)
}

/// What people are told of a right that is missing: which one it is and on what, and what gives it back.
fn words(scene: &Scene, right: &str) -> anyhow::Result<Vec<String>> {
    if right.starts_with(AZURE) {
        let scope = scene.bed.emulator.cluster_id();
        return Ok(vec![format!("give the operator's identity the action {right} on {scope}")]);
    }
    let grants = rights::grants()?;
    let grant = grants.iter().find(|grant| grant.to_string() == right).with_context(|| format!("no grant {right}"))?;
    let Grant { verb, group, resource, name } = grant;
    let account = "service account nodepool-operator/nodepool-operator may not";
    let told = match (resource.as_str(), group.as_str()) {
        ("", _) => format!("{name}: {account} {verb} it"),
        (_, "") => format!("{resource} (core group): {account} {verb} them"),
        _ => format!("{resource}.{group}: {account} {verb} them"),
    };
    Ok(vec![told, "helm upgrade, or kubectl apply -f deploy/base/rbac.yaml".to_owned()])
}

/// Waits until the operator says there that it lacks the right, and sees that it still runs.
pub async fn told(scene: &mut Scene, right: &str, shown: Shown, log_from: usize) -> anyhow::Result<()> {
    let words = words(scene, right)?;
    let seen = &*scene;
    wait_for(&format!("{shown:?} to tell that it may not {right}"), DEADLINE, async || {
        let said = match shown {
            Shown::Policy(name) => message(&seen.status(name).await?, condition::READY).to_owned(),
            Shown::Probe(path) => match probe(&seen.operator.log(), path).await {
                Ok((503, said)) => said,
                other => return Ok(Err(format!("{other:?}"))),
            },
            Shown::Log => seen.operator.log().get(log_from..).unwrap_or_default().to_owned(),
        };
        let lacking = words.iter().find(|word| !said.contains(*word));
        let end = said.len().saturating_sub(3000);
        Ok(lacking.map_or(Ok(()), |word| Err(format!("{word:?} is not in: {}", said.get(end..).unwrap_or(&said)))))
    })
    .await
    .map_err(|error| error.context(format!("the operator's log ends: {}", seen.operator.log_tail(15))))?;
    ensure!(scene.operator.exited()?.is_none(), "the operator has ended: {}", scene.operator.log_tail(5));
    Ok(())
}
