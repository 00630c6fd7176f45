//! What the operator asks the API server and ARM for, against the roles that its manifests give it: all of it is granted by
//! them, and nothing is granted that no story needs. Never asks either.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aks_emulator::Emulator;
use anyhow::{Context as _, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;
use testbed::audit::Asked;
use testbed::{Audit, OPERATOR_USER, azure};

/// What the roles grant that a story has made use of.
static USED: Mutex<BTreeSet<Grant>> = Mutex::new(BTreeSet::new());

/// Actions of the role in Azure that a story has made use of.
static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One verb on one resource, or on a path; as text `list poddisruptionbudgets.policy`, with the name of the only object
/// behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    pub verb: String,
    pub group: String,
    /// Empty for a path.
    pub resource: String,
    /// The name of the only object, or the path; empty for all objects.
    pub name: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.resource.as_str(), self.group.as_str()].into_iter().filter(|part| !part.is_empty());
        let what = parts.collect::<Vec<_>>().join(".");
        let words = [self.verb.as_str(), &what, &self.name].into_iter().filter(|word| !word.is_empty());
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

impl Grant {
    fn covers(&self, asked: &Asked) -> bool {
        let same = (&self.verb, &self.group, &self.resource) == (&asked.verb, &asked.group, &asked.resource);
        same && (self.name.is_empty() || self.name == asked.name)
    }
}

/// A role of `deploy/base`: its kind, and what it grants.
pub struct Role {
    pub kind: String,
    pub grants: Vec<Grant>,
}

/// The roles in `deploy/base`.
pub fn roles() -> anyhow::Result<Vec<Role>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base/rbac.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let mut roles = Vec::new();
    for role in documents.iter().filter(|document| document["rules"].is_array()) {
        let granting: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone())?;
        let kind = role["kind"].as_str().unwrap_or_default().to_owned();
        roles.push(Role { kind, grants: granting.iter().flat_map(granted).collect() });
    }
    ensure!(roles.len() == 2, "{} has {} roles", path.display(), roles.len());
    Ok(roles)
}

/// All that the roles in `deploy/base` grant.
pub fn grants() -> anyhow::Result<Vec<Grant>> {
    let grants: Vec<Grant> = roles()?.into_iter().flat_map(|role| role.grants).collect();
    ensure!(grants.len() > 20, "the roles grant only {grants:?}");
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

/// Sees the same of the role in Azure, by the emulator's account of what was used and denied.
pub fn were_enough_in_azure(emulator: &Emulator, missing: bool) -> anyhow::Result<()> {
    let role = azure::role()?;
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for account in emulator.permissions() {
        ensure!(account.denied.is_empty() || missing, "{} was denied {:?}", account.client_id, account.denied);
        for used in account.used {
            let granted = role.actions.iter().find(|action| action.eq_ignore_ascii_case(&used));
            taken.insert(granted.with_context(|| format!("the role in Azure does not allow {used}"))?.clone());
        }
    }
    Ok(())
}

/// Sees, once every story was told, that each of them has needed what the roles grant, or another one has.
pub fn were_all_needed() -> anyhow::Result<()> {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let unused: Vec<Grant> = grants()?.into_iter().filter(|grant| !used.contains(grant)).collect();
    ensure!(unused.is_empty(), "the operator's roles grant what no story needs: {unused:?}");
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let unused: Vec<String> = azure::role()?.actions.into_iter().filter(|action| !taken.contains(action)).collect();
    ensure!(unused.is_empty(), "the operator's role in Azure allows what no story needs: {unused:?}");
    let (grants, actions) = (used.len(), taken.len());
    writeln!(std::io::stderr(), "the operator's roles: {grants} grants and {actions} actions, each of them needed")?;
    Ok(())
}
