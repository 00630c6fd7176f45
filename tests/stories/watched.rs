//! Every status that a story goes through, in its order, as somebody sees it who watches. Each is judged, and each must say
//! something new; never asks for one.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use nodepool_operator::api::NodePoolPolicy;
use nodepool_operator::report::FIELD_MANAGER;
use serde_json::Value;
use testbed::wait_for;
use tokio::task::JoinHandle;

use super::health;
use super::support::DEADLINE;

/// A version of a policy, and what Argo CD makes of it.
#[derive(Clone)]
struct Seen {
    uid: Option<String>,
    version: Option<String>,
    health: String,
    /// All of it that a person reads, without times.
    text: Value,
    /// When the operator last wrote its status, in seconds.
    written: Option<Time>,
}

#[derive(Default)]
struct Findings {
    seen: Vec<Seen>,
    wrong: Option<anyhow::Error>,
}

/// A watch of all policies, which judges what it sees until it is dropped.
pub struct Watched {
    findings: Arc<Mutex<Findings>>,
    task: JoinHandle<()>,
}

impl Watched {
    /// Begins to watch.
    pub fn new(policies: Api<NodePoolPolicy>) -> Self {
        let findings = Arc::new(Mutex::new(Findings::default()));
        let task = tokio::spawn(watch(policies, Arc::clone(&findings)));
        Self { findings, task }
    }

    /// What Argo CD made of the policy at every moment up to now, in order.
    pub async fn healths(&self, policy: &NodePoolPolicy) -> anyhow::Result<Vec<String>> {
        let (uid, version) = (policy.uid(), policy.resource_version());
        let of_policy = || {
            let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
            findings.seen.iter().filter(|seen| seen.uid == uid).cloned().collect::<Vec<_>>()
        };
        wait_for(&format!("the watch to see policy {} as it is", policy.name_any()), DEADLINE, async || {
            let is_seen = of_policy().iter().any(|seen| seen.version == version);
            Ok(if is_seen { Ok(()) } else { Err("it lags") })
        })
        .await?;
        Ok(of_policy().into_iter().map(|seen| seen.health).collect())
    }

    /// Bails out if anything that was seen was judged otherwise than its conditions say.
    pub fn judged_well(&self) -> anyhow::Result<()> {
        let wrong = self.findings.lock().unwrap_or_else(PoisonError::into_inner).wrong.take();
        wrong.map_or(Ok(()), Err).context("a status on the way")
    }

    /// Bails out if the policy has failed at any moment up to now.
    pub async fn never_failed(&self, policy: &NodePoolPolicy) -> anyhow::Result<()> {
        let healths = self.healths(policy).await?;
        if healths.iter().any(|health| health == health::FAILED) {
            bail!("policy {} has failed on its way: {healths:?}", policy.name_any());
        }
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(policies: Api<NodePoolPolicy>, findings: Arc<Mutex<Findings>>) {
    let mut watch = std::pin::pin!(watcher(policies, watcher::Config::default()).applied_objects());
    // A watch that is lost, as when the story closes the API server, is begun again by itself.
    while let Some(policy) = watch.next().await {
        let Ok(policy) = policy else { continue };
        let judged = health::judge(&policy);
        let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = judged.and_then(|health| findings.note(&policy, health));
        findings.wrong = findings.wrong.take().or(noted.err());
    }
}

impl Findings {
    /// Takes note of a version, which must say something else than the one before.
    fn note(&mut self, policy: &NodePoolPolicy, health: String) -> anyhow::Result<()> {
        let (uid, version, text) = (policy.uid(), policy.resource_version(), text(policy)?);
        let mut fields = policy.managed_fields().iter();
        let written = fields.find(|fields| fields.manager.as_deref() == Some(FIELD_MANAGER));
        let written = written.and_then(|fields| fields.time.clone());
        let before = self.seen.iter().rev().find(|seen| seen.uid == uid);
        // What others write may say nothing new.
        let is_repeated = before.is_some_and(|seen| seen.text == text && seen.written != written);
        self.seen.push(Seen { uid, version, health, text, written });
        ensure!(!is_repeated, "policy {} was written without any news: {policy:?}", policy.name_any());
        Ok(())
    }
}

/// What a person reads of the policy: no times, and nothing that the API server keeps for itself.
fn text(policy: &NodePoolPolicy) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(policy)?;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !["managedFields", "resourceVersion"].contains(&name.as_str()));
    }
    without_times(&mut value["status"]);
    Ok(value)
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["lastTransitionTime", "since", "time", "next"].contains(&name.as_str()));
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}
