//! A role as a definition file of the Azure CLI describes it: what it lets its holder do at ARM. Never says who holds it.

use std::path::Path;

use serde_json::Value;

use super::pattern;
use crate::Error;

/// What a role definition may say, in the case of the Azure CLI's examples.
const FIELDS: [&str; 9] = [
    "Name",
    "Id",
    "IsCustom",
    "Description",
    "Actions",
    "NotActions",
    "DataActions",
    "NotDataActions",
    "AssignableScopes",
];

/// What the last part of an action can be.
const VERBS: [&str; 4] = ["read", "write", "delete", "action"];

/// A role, as `az role definition create --role-definition FILE` takes it. Everything is in any case, as in Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Actions that it allows, in which `*` stands for any text.
    pub actions: Vec<String>,
    /// Actions that it does not allow although `actions` do.
    pub not_actions: Vec<String>,
}

impl Role {
    /// Reads a definition from a file of JSON. `DataActions` are no part of ARM: they are checked and say nothing here, and
    /// neither do `AssignableScopes`, as an identity holds its role on everything.
    ///
    /// # Errors
    /// [`Error::RoleFile`] if the file cannot be read; [`Error::Role`] with the field, its value and what to give instead.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::RoleFile { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|problem| Error::Role { path: path.to_owned(), problem })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(given) = document else {
            return Err("it is no object: give one with Name, Actions and AssignableScopes".to_owned());
        };
        let mut role = Self::default();
        let (mut data, mut scopes) = (Vec::new(), Vec::new());
        for (field, value) in &given {
            match FIELDS.iter().find(|known| known.eq_ignore_ascii_case(field)).copied() {
                Some("Name") => value.as_str().unwrap_or_default().clone_into(&mut role.name),
                Some("Actions") => role.actions = actions("Actions", value)?,
                Some("NotActions") => role.not_actions = actions("NotActions", value)?,
                Some("DataActions") => data = actions("DataActions", value)?,
                Some("NotDataActions") => drop(actions("NotDataActions", value)?),
                Some("AssignableScopes") => scopes = assignable(value)?,
                Some(_) => {}
                None => return Err(format!("{field} is {value}: no such field; there are {}", FIELDS.join(", "))),
            }
        }
        if role.name.is_empty() {
            return Err("Name is missing or no text: give the role one".to_owned());
        }
        if role.actions.is_empty() && data.is_empty() {
            return Err("Actions is missing or empty: give at least one, such as */read".to_owned());
        }
        if scopes.is_empty() {
            return Err("AssignableScopes is missing or empty: give at least one, such as /subscriptions/ID".to_owned());
        }
        Ok(role)
    }
}

/// The texts of a list.
fn texts(field: &str, value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("{field} is {value}: give a list of texts");
    let all = value.as_array().ok_or_else(wrong)?;
    all.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn actions(field: &str, value: &Value) -> Result<Vec<String>, String> {
    let all = texts(field, value)?;
    for (index, action) in all.iter().enumerate() {
        if !is_action(action) {
            return Err(format!(
                "{field}[{index}] is {action:?}: give PROVIDER/TYPE/VERB with one of the verbs {}, or a pattern with *",
                VERBS.join(", ")
            ));
        }
    }
    Ok(all)
}

/// Whether this can be an action of some provider, or a pattern of actions.
fn is_action(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_clean = |part: &&str| !part.is_empty() && !part.contains(char::is_whitespace);
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    let is_verb = last.contains('*') || VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(last));
    let is_provider = first.contains(['.', '*']);
    let is_long = parts.len() >= 3 || text.contains('*');
    parts.iter().all(is_clean) && is_verb && is_provider && is_long
}

fn assignable(value: &Value) -> Result<Vec<String>, String> {
    let all = texts("AssignableScopes", value)?;
    match all.iter().enumerate().find(|(_, scope)| !scope.starts_with('/')) {
        Some((index, scope)) => {
            Err(format!("AssignableScopes[{index}] is {scope:?}: give a scope such as /subscriptions/ID"))
        }
        None => Ok(all),
    }
}

/// What actions and exceptions from them allow.
pub(super) fn allows(actions: &[String], not_actions: &[String], action: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|each| pattern::covers(each, action));
    any(actions) && !any(not_actions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fields: &str) -> Result<Role, String> {
        Role::parse(&format!("{{\"Name\": \"n\", \"AssignableScopes\": [\"/subscriptions/S\"], {fields}}}"))
    }

    #[test]
    fn a_definition_is_read_in_either_case_and_its_exceptions_count() {
        let pools = "Microsoft.ContainerService/managedClusters/agentPools";
        let role = file(&format!(
            "\"actions\": [\"{pools}/*\"], \"NotActions\": [\"{pools}/DELETE\"], \"DataActions\": [], \"IsCustom\": true"
        ));
        let role = role.unwrap();
        let may = |verb: &str| allows(&role.actions, &role.not_actions, &format!("{pools}/{verb}"));
        assert_eq!([may("read"), may("WRITE"), may("delete"), may("deleteMachines/action")], [true, true, false, true]);
        assert!(!allows(&role.actions, &role.not_actions, "Microsoft.ContainerService/managedClusters/read"));
    }

    #[test]
    fn a_mistake_is_told_with_field_value_and_fix() {
        for (fields, expected) in [
            ("\"Action\": []", "Action is []: no such field; there are Name, "),
            ("\"Actions\": \"*\"", "Actions is \"*\": give a list of texts"),
            ("\"Actions\": [7]", "Actions is [7]: give a list of texts"),
            ("\"Actions\": []", "Actions is missing or empty: give at least one"),
            ("\"Actions\": [\"*\", \"Microsoft.X/y\"]", "Actions[1] is \"Microsoft.X/y\": give PROVIDER/TYPE/VERB"),
            ("\"Actions\": [\"Microsoft.X/y/get\"]", "Actions[0] is \"Microsoft.X/y/get\": "),
            ("\"Actions\": [\"managedClusters/x/read\"]", "Actions[0] is \"managedClusters/x/read\": "),
            ("\"Actions\": [\"Microsoft.X//read\"]", "Actions[0] is \"Microsoft.X//read\": "),
            ("\"Actions\": [\"*\"], \"NotActions\": [\"a b\"]", "NotActions[0] is \"a b\": "),
            ("\"DataActions\": [\"x\"]", "DataActions[0] is \"x\": "),
            ("\"Actions\": [\"*\"], \"AssignableScopes\": []", "AssignableScopes is missing or empty"),
            ("\"Actions\": [\"*\"], \"AssignableScopes\": [\"G\"]", "AssignableScopes[0] is \"G\": give a scope"),
            ("\"Actions\": [\"*\"], \"Name\": 7", "Name is missing or no text"),
        ] {
            let told = file(fields).unwrap_err();
            assert!(told.starts_with(expected), "{fields}: {told}");
        }
        assert!(Role::parse("[]").unwrap_err().starts_with("it is no object"));
        assert!(Role::parse("{").unwrap_err().contains("line 1"));
        let error = Role::read(Path::new("/nonexistent/role.json")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/role.json"), "{error}");
    }
}
