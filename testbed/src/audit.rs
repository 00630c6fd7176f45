//! What was written to the API server, and by whom, and what the operator asked it for, as its audit log tells; never asks
//! the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

/// The user that the taint manager deletes pods as.
const TAINT_MANAGER: &str = "system:serviceaccount:kube-system:node-controller";

/// The annotation of an event that tells whether a role allowed the request.
const DECISION: &str = "authorization.k8s.io/decision";

/// The API group of leases.
const LEASES: &str = "coordination.k8s.io";

/// The audit log from a moment on.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
    from: u64,
}

/// One write that the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Who wrote, such as `system:serviceaccount:nodepool-operator:nodepool-operator`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, with its subresource if any: `pods/eviction`.
    pub resource: String,
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Name; empty where the request did not say it.
    pub name: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// When the API server received it, as RFC 3339 with microseconds.
    pub at: String,
}

impl Write {
    /// Whether the API server did it.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A request of the operator, as it was authorised. Of others only writes are logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The verb, as in a role.
    pub verb: String,
    /// API group; empty for the core group, and where `resource` is.
    pub group: String,
    /// The resource in the plural, with its subresource if any; empty for a path that is no resource.
    pub resource: String,
    /// The name, where the request says it; the path for what is no resource.
    pub name: String,
    /// Whether a role allows it.
    pub allowed: bool,
}

/// How a pod was made to leave its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Through the eviction API, which asks `PodDisruptionBudget`s.
    Evicted,
    /// By the taint manager, because of a `NoExecute` taint; nobody asks `PodDisruptionBudget`s.
    Tainted,
}

/// A pod that was made to leave its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// How.
    pub cause: Cause,
    /// Who did it.
    pub user: String,
}

impl Audit {
    /// The log from its present end on.
    #[must_use]
    pub fn from_now(path: PathBuf) -> Self {
        let from = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
        Self { path, from }
    }

    /// Every answered write since then, in the order of the log, but for the leases by which replicas agree on which of them
    /// works. Dry runs are left out where the query tells them; for evictions also where the body does.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn writes(&self) -> anyhow::Result<Vec<Write>> {
        let events = self.events()?.into_iter();
        Ok(events.filter_map(Event::write).filter(|write| write.group != LEASES).collect())
    }

    /// What a user asked for, each thing once. Reads are logged of the operator alone.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn asked_by(&self, user: &str) -> anyhow::Result<BTreeSet<Asked>> {
        let events = self.events()?.into_iter();
        Ok(events.filter(|event| event.user.username == user).map(Event::asked).collect())
    }

    fn events(&self) -> anyhow::Result<Vec<Event>> {
        let mut file = std::fs::File::open(&self.path)
            .with_context(|| format!("audit log {} can't be read", self.path.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("audit log {} can't be read", self.path.display()))?;
        // The last line may still be under way.
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let lines = whole.lines();
        lines.map(|line| serde_json::from_str(line).context("the audit log has a malformed line")).collect()
    }

    /// The writes of one user, such as the operator's service account.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn writes_by(&self, user: &str) -> anyhow::Result<Vec<Write>> {
        Ok(self.writes()?.into_iter().filter(|write| write.user == user).collect())
    }

    /// Every pod that was really made to leave its node: evictions that the API server did, and deletions by the taint
    /// manager.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn departures(&self) -> anyhow::Result<Vec<Departure>> {
        let departure = |write: Write| {
            let cause = match (write.resource.as_str(), write.verb.as_str()) {
                ("pods/eviction", "create") => Cause::Evicted,
                ("pods", "delete") if write.user == TAINT_MANAGER => Cause::Tainted,
                _ => return None,
            };
            write.succeeded().then_some(Departure {
                namespace: write.namespace,
                pod: write.name,
                cause,
                user: write.user,
            })
        };
        Ok(self.writes()?.into_iter().filter_map(departure).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    request_received_timestamp: String,
    request_object: Option<serde_json::Value>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl Object {
    /// The resource with its subresource, as roles name it.
    fn whole_resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Event {
    fn write(self) -> Option<Write> {
        let changes = matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        if self.stage != "ResponseComplete" || !changes || self.is_dry_run() {
            return None;
        }
        let object = self.object_ref.unwrap_or_default();
        let resource = object.whole_resource();
        Some(Write {
            user: self.user.username,
            verb: self.verb,
            group: object.api_group,
            resource,
            namespace: object.namespace,
            name: object.name,
            status: self.response_status.map(|status| status.code).unwrap_or_default(),
            at: self.request_received_timestamp,
        })
    }

    fn asked(self) -> Asked {
        let allowed = self.annotations.get(DECISION).is_some_and(|decision| decision == "allow");
        let Some(object) = self.object_ref else {
            let path = self.request_uri.split('?').next().unwrap_or_default().to_owned();
            return Asked { verb: self.verb, group: String::new(), resource: String::new(), name: path, allowed };
        };
        let resource = object.whole_resource();
        Asked { verb: self.verb, group: object.api_group, resource, name: object.name, allowed }
    }

    fn is_dry_run(&self) -> bool {
        let in_body = self
            .request_object
            .as_ref()
            .and_then(|body| body.pointer("/deleteOptions/dryRun"))
            .and_then(|dry| dry.as_array())
            .is_some_and(|dry| !dry.is_empty());
        in_body || self.request_uri.contains("dryRun=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(verb: &str, resource: &str, subresource: &str, user: &str, code: u16, body: &serde_json::Value) -> String {
        json!({
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/kube-system/pods/a",
            "verb": verb, "user": {"username": user},
            "objectRef": {"resource": resource, "subresource": subresource, "namespace": "kube-system", "name": "a"},
            "responseStatus": {"code": code}, "requestObject": body,
            "requestReceivedTimestamp": "2026-11-21T03:13:15.171825Z",
        })
        .to_string()
    }

    fn audit(lines: &[String]) -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "an earlier story\n").unwrap();
        let audit = Audit::from_now(path.clone());
        std::fs::write(&path, format!("an earlier story\n{}\n{{\"unfinish", lines.join("\n"))).unwrap();
        (folder, audit)
    }

    #[test]
    fn only_evictions_that_happened_and_the_taint_manager_count_as_departures() {
        let nothing = serde_json::Value::Null;
        let (_folder, audit) = audit(&[
            line("create", "pods", "eviction", "operator", 201, &nothing),
            line("create", "pods", "eviction", "operator", 429, &nothing),
            line("create", "pods", "eviction", "operator", 201, &json!({"deleteOptions": {"dryRun": ["All"]}})),
            line("delete", "pods", "", TAINT_MANAGER, 200, &nothing),
            line("delete", "pods", "", "someone", 200, &nothing),
        ]);
        let causes: Vec<Cause> = audit.departures().unwrap().into_iter().map(|departure| departure.cause).collect();
        assert_eq!(causes, [Cause::Evicted, Cause::Tainted]);
        assert_eq!(audit.writes_by("operator").unwrap().len(), 2);
    }
}
