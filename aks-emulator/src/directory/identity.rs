//! An identity as a person describes it. Never signs it in.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Error;
use crate::nodes::names::digest;

/// The audience that a workload identity's token has.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// An application or a managed identity of Entra. In YAML or JSON the fields are in camel case and all but `clientId`
/// may be left out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// Client id, also called application id.
    pub client_id: String,
    /// Object id of the principal; by default derived from the client id.
    #[serde(default)]
    pub object_id: Option<String>,
    /// Tenant; by default that of the subscription.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Name for people.
    #[serde(default)]
    pub name: String,
    /// Client secret, if it can sign in with one.
    #[serde(default)]
    pub secret: Option<String>,
    /// Foreign tokens that it can sign in with.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
    /// Actions that its roles allow on everything, such as `Microsoft.ContainerService/managedClusters/*/read`; by
    /// default all.
    #[serde(default = "all_actions")]
    pub actions: Vec<String>,
}

fn all_actions() -> Vec<String> {
    vec!["*".to_owned()]
}

/// Foreign tokens that an identity takes, such as those of a service account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FederatedCredential {
    /// Their issuer; by default the cluster's `issuerUrl`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Their subject, such as `system:serviceaccount:NAMESPACE:NAME`, in the same case.
    pub subject: String,
    /// Their audience, by default `api://AzureADTokenExchange`.
    #[serde(default = "default_audience")]
    pub audience: String,
}

fn default_audience() -> String {
    AUDIENCE.to_owned()
}

impl FederatedCredential {
    /// A service account of the cluster.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        Self { issuer: None, subject, audience: default_audience() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("client_id", &self.client_id)
            .field("name", &self.name)
            .field("tenant", &self.tenant)
            .field("federated", &self.federated)
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// An identity that may do everything, and cannot sign in yet.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            object_id: None,
            tenant: None,
            name: String::new(),
            secret: None,
            federated: Vec::new(),
            actions: all_actions(),
        }
    }

    /// The identity that there is when none is described: client id `33333333-4444-5555-6666-777777777777`, secret
    /// `local-secret`.
    #[must_use]
    pub fn local() -> Self {
        Self { name: "local".to_owned(), ..Self::new("33333333-4444-5555-6666-777777777777") }.secret("local-secret")
    }

    /// The same with a client secret.
    #[must_use]
    pub fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    /// The same with a further federated credential.
    #[must_use]
    pub fn federated(mut self, credential: FederatedCredential) -> Self {
        self.federated.push(credential);
        self
    }

    /// The same with no actions but these.
    #[must_use]
    pub fn actions(mut self, actions: &[&str]) -> Self {
        self.actions = actions.iter().map(|action| (*action).to_owned()).collect();
        self
    }

    /// The object id, given or derived.
    pub(crate) fn object_id(&self) -> String {
        let derived = || Uuid::from_u64_pair(digest(&format!("object/{}", self.client_id)), digest(&self.client_id));
        self.object_id.clone().unwrap_or_else(|| derived().to_string())
    }

    pub(crate) fn allows(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &action))
    }

    /// The same with its tenant and the issuers of its credentials.
    pub(crate) fn completed(&self, tenant: &str, issuer: Option<&str>) -> Result<Self, Error> {
        let mut identity = self.clone();
        let field = |name: &str| format!("identities.{}.{name}", self.client_id);
        if identity.client_id.is_empty() || identity.client_id.contains(char::is_whitespace) {
            let value = format!("{:?}", identity.client_id);
            return Err(Error::setting("identities.clientId", value, "give a client id, such as a UUID"));
        }
        identity.tenant.get_or_insert_with(|| tenant.to_owned());
        for credential in &mut identity.federated {
            if credential.issuer.is_none() {
                let issuer = issuer.ok_or_else(|| {
                    Error::setting(&field("federated.issuer"), "missing", "give it, or the cluster an issuerUrl")
                })?;
                credential.issuer = Some(issuer.to_owned());
            }
        }
        Ok(identity)
    }
}

/// Whether a pattern, in which `*` stands for any text, describes a text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_patterns_in_any_case() {
        let write = "Microsoft.ContainerService/managedClusters/agentPools/write";
        for (pattern, expected) in [
            ("*", true),
            ("*/write", true),
            ("*/read", false),
            ("microsoft.containerservice/managedclusters/agentpools/write", true),
            ("Microsoft.ContainerService/*/agentPools/*", true),
            ("Microsoft.ContainerService/*/agentPools/*/action", false),
            ("Microsoft.ContainerService/managedClusters/write", false),
            ("Microsoft.ContainerService/managedClusters/agentPools/writ", false),
        ] {
            assert_eq!(Identity::new("c").actions(&[pattern]).allows(write), expected, "{pattern}");
        }
        assert!(!Identity::new("c").actions(&[]).allows(write));
    }

    #[test]
    fn a_description_is_completed_and_never_shows_its_secret() {
        let text = "{clientId: c, secret: s3cret, federated: [{subject: s}]}";
        let read: Identity = serde_saphyr::from_str(text).unwrap();
        let identity = read.completed("t", Some("https://issuer/")).unwrap();
        assert_eq!(identity.tenant.as_deref(), Some("t"));
        assert_eq!(identity.federated[0].issuer.as_deref(), Some("https://issuer/"));
        assert_eq!(identity.federated[0].audience, AUDIENCE);
        assert!(identity.allows("anything") && !format!("{identity:?}").contains("s3cret"));
        let error = read.completed("t", None).unwrap_err().to_string();
        assert!(error.contains("identities.c.federated.issuer is missing"), "{error}");
    }
}
