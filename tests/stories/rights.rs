//! What the operator asks the API server for, against the roles that its manifests give it: all of it is granted by them, and
//! nothing is granted that no story needs. Never asks the API server.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;
use testbed::audit::Asked;
use testbed::{Audit, OPERATOR_USER};

/// What the roles grant that a story has made use of.
static USED: Mutex<BTreeSet<Grant>> = Mutex::new(BTreeSet::new());

/// One verb on one resource, or on a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    verb: String,
    group: String,
    /// Empty for a path.
    resource: String,
    /// The name of the only object, or the path; empty for all objects.
    name: String,
}

impl Grant {
    fn covers(&self, asked: &Asked) -> bool {
        let same = (&self.verb, &self.group, &self.resource) == (&asked.verb, &asked.group, &asked.resource);
        same && (self.name.is_empty() || self.name == asked.name)
    }
}

/// All that the roles in `deploy/base` grant.
fn grants() -> anyhow::Result<Vec<Grant>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/rbac.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let mut grants = Vec::new();
    for role in documents.iter().filter(|document| document["rules"].is_array()) {
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone())?;
        grants.extend(rules.iter().flat_map(granted));
    }
    ensure!(grants.len() > 20, "{} grants only {grants:?}", path.display());
    Ok(grants)
}

fn granted(rule: &PolicyRule) -> Vec<Grant> {
    let mut grants = Vec::new();
    for verb in &rule.verbs {
        let grant = |group: &str, resource: &str, name: &str| Grant {
            verb: verb.clone(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
        };
        grants.extend(rule.non_resource_urls.iter().flatten().map(|path| grant("", "", path)));
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let names = rule.resource_names.clone().filter(|names| !names.is_empty());
                let names = names.unwrap_or_else(|| vec![String::new()]);
                grants.extend(names.iter().map(|name| grant(group, resource, name)));
            }
        }
    }
    grants
}

/// Sees that the roles grant everything that the operator asked for in a story; `missing`: the story takes rights away.
pub fn were_enough(audit: &Audit, missing: bool) -> anyhow::Result<()> {
    let grants = grants()?;
    let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    for asked in audit.asked_by(OPERATOR_USER)? {
        let by: Vec<&Grant> = grants.iter().filter(|grant| grant.covers(&asked)).collect();
        ensure!(!by.is_empty(), "its roles do not grant the operator {asked:?}");
        ensure!(asked.allowed || missing, "the operator was denied {asked:?}");
        used.extend(by.into_iter().cloned());
    }
    Ok(())
}

/// Sees, once every story was told, that each of them has needed what the roles grant, or another one has.
pub fn were_all_needed() -> anyhow::Result<()> {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let unused: Vec<Grant> = grants()?.into_iter().filter(|grant| !used.contains(grant)).collect();
    ensure!(unused.is_empty(), "the operator's roles grant what no story needs: {unused:?}");
    writeln!(std::io::stderr(), "the operator's roles: {} grants, each of them needed", used.len())?;
    Ok(())
}
