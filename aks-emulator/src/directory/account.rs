//! What identities have made of their roles: actions that were used, and those that were denied. Never knows who signs in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::{Identity, pattern, role};

/// What an identity may do and what it has done with it since the emulator started. As JSON its fields are in camel case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Its client id.
    pub client_id: String,
    /// Its name for people.
    pub name: String,
    /// Actions that it is allowed now.
    pub actions: Vec<String>,
    /// Exceptions from them.
    pub not_actions: Vec<String>,
    /// Actions that it took, as requests came to them.
    pub used: BTreeSet<String>,
    /// Actions that it was denied.
    pub denied: BTreeSet<Denial>,
    /// What it is allowed now and never used.
    pub unused: Vec<String>,
}

/// An action that an identity was denied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Denial {
    /// The action.
    pub action: String,
    /// What it was to be taken on.
    pub scope: String,
}

/// The accounts of all identities, by client id in lower case.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<BTreeMap<String, Permissions>>);

impl Accounts {
    pub(super) fn of(identities: &[Identity]) -> Self {
        let account = |identity: &Identity| {
            let permissions = Permissions {
                client_id: identity.client_id.clone(),
                name: identity.name.clone(),
                actions: identity.actions.clone(),
                not_actions: identity.not_actions.clone(),
                ..Permissions::default()
            };
            (identity.client_id.to_ascii_lowercase(), permissions)
        };
        Self(Mutex::new(identities.iter().map(account).collect()))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Permissions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an identity may take an action on something, of which note is taken.
    pub(super) fn allows(&self, client: &str, action: &str, scope: &str) -> bool {
        let mut all = self.all();
        let Some(account) = all.get_mut(&client.to_ascii_lowercase()) else { return false };
        if role::allows(&account.actions, &account.not_actions, action) {
            account.used.insert(action.to_owned());
            return true;
        }
        account.denied.insert(Denial { action: action.to_owned(), scope: scope.to_owned() });
        false
    }

    /// Gives an identity these actions instead of those that it has. Whether there is such an identity.
    pub(super) fn grant(&self, client: &str, actions: Vec<String>, not_actions: Vec<String>) -> bool {
        let mut all = self.all();
        let Some(account) = all.get_mut(&client.to_ascii_lowercase()) else { return false };
        (account.actions, account.not_actions) = (actions, not_actions);
        true
    }

    /// The accounts, each with what is unused.
    pub(super) fn told(&self) -> Vec<Permissions> {
        let with_unused = |account: &Permissions| {
            let is_unused = |action: &&String| !account.used.iter().any(|used| pattern::covers(action, used));
            let unused = account.actions.iter().filter(is_unused).cloned().collect();
            Permissions { unused, ..account.clone() }
        };
        self.all().values().map(with_unused).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_denied_and_never_used_is_told() {
        let identity = Identity::new("C").actions(&["a/*/read", "a/b/write", "a/b/delete"]);
        let accounts = Accounts::of(&[identity]);
        assert!(accounts.allows("c", "A/B/read", "/s") && accounts.allows("C", "a/b/delete", "/s"));
        assert!(!accounts.allows("C", "a/b/action", "/s") && !accounts.allows("another", "a/b/read", "/s"));
        let told = accounts.told();
        assert_eq!(told[0].used, ["A/B/read", "a/b/delete"].map(str::to_owned).into());
        let denied: Vec<_> = told[0].denied.iter().map(|denial| (&*denial.action, &*denial.scope)).collect();
        assert_eq!(denied, [("a/b/action", "/s")]);
        assert_eq!(told[0].unused, ["a/b/write"]);
        assert!(accounts.grant("C", vec!["*".to_owned()], vec!["*/delete".to_owned()]));
        assert!(accounts.allows("C", "a/b/action", "/s") && !accounts.allows("C", "a/b/delete", "/s"));
        assert_eq!((accounts.told()[0].unused.len(), accounts.told()[0].denied.len()), (0, 2));
        assert!(!accounts.grant("another", Vec::new(), Vec::new()));
    }
}
