//! An identity as a person describes it. Never signs it in.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::nodes::names::digest;
use crate::{Error, Role};

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
    /// Exceptions from them.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// A role definition file that says both instead, see [`Role`](crate::Role). In a description its path begins at the
    /// description's folder.
    #[serde(default)]
    pub role: Option<PathBuf>,
    /// While no access tokens are asked for, requests of clients whose user agent contains this count as this identity's,
    /// and may do no more than it.
    #[serde(default)]
    pub user_agent: Option<String>,
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
            .field("not_actions", &self.not_actions)
            .field("role", &self.role)
            .field("user_agent", &self.user_agent)
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
            not_actions: Vec::new(),
            role: None,
            user_agent: None,
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

    /// The same with what a role allows, and nothing else.
    #[must_use]
    pub fn role(mut self, role: &Role) -> Self {
        (self.actions, self.not_actions) = (role.actions.clone(), role.not_actions.clone());
        self
    }

    /// The same as which clients count, while no access tokens are asked for, whose user agent contains this.
    #[must_use]
    pub fn user_agent(mut self, part: &str) -> Self {
        self.user_agent = Some(part.to_owned());
        self
    }

    /// The object id, given or derived.
    pub(crate) fn object_id(&self) -> String {
        let derived = || Uuid::from_u64_pair(digest(&format!("object/{}", self.client_id)), digest(&self.client_id));
        self.object_id.clone().unwrap_or_else(|| derived().to_string())
    }

    /// The same with its tenant, the issuers of its credentials, and what its role allows.
    pub(crate) fn completed(&self, tenant: &str, issuer: Option<&str>) -> Result<Self, Error> {
        let mut identity = self.clone();
        let field = |name: &str| format!("identities.{}.{name}", self.client_id);
        if identity.client_id.is_empty() || identity.client_id.contains(char::is_whitespace) {
            let value = format!("{:?}", identity.client_id);
            return Err(Error::setting("identities.clientId", value, "give a client id, such as a UUID"));
        }
        if let Some(path) = &self.role {
            if self.actions != all_actions() || !self.not_actions.is_empty() {
                let value = format!("{:?}", self.actions);
                return Err(Error::setting(&field("actions"), value, "give either these or role"));
            }
            identity = identity.role(&Role::read(path)?);
        }
        if identity.user_agent.as_ref().is_some_and(|part| part.trim().is_empty()) {
            return Err(Error::setting(&field("userAgent"), "empty", "give a part of the client's user agent"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_completed_and_never_shows_its_secret() {
        let text = "{clientId: c, secret: s3cret, federated: [{subject: s}]}";
        let read: Identity = serde_saphyr::from_str(text).unwrap();
        let identity = read.completed("t", Some("https://issuer/")).unwrap();
        assert_eq!(identity.tenant.as_deref(), Some("t"));
        assert_eq!(identity.federated[0].issuer.as_deref(), Some("https://issuer/"));
        assert_eq!(identity.federated[0].audience, AUDIENCE);
        assert!(identity.actions == ["*"] && !format!("{identity:?}").contains("s3cret"));
        let error = read.completed("t", None).unwrap_err().to_string();
        assert!(error.contains("identities.c.federated.issuer is missing"), "{error}");
    }

    #[test]
    fn a_role_file_says_what_an_identity_may_do_and_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("role.json");
        std::fs::write(&path, r#"{"Name": "n", "Actions": ["*/read"], "AssignableScopes": ["/subscriptions/S"]}"#)
            .unwrap();
        let of = |more: &str| -> Result<Identity, String> {
            let text = format!("{{clientId: c, role: {}{more}}}", path.display());
            let read: Identity = serde_saphyr::from_str(&text).unwrap();
            read.completed("t", None).map_err(|error| error.to_string())
        };
        assert_eq!(of("").unwrap().actions, ["*/read"]);
        let error = of(", actions: [a]").unwrap_err();
        assert_eq!(error, "identities.c.actions is [\"a\"]: give either these or role");
        let error = of(", userAgent: ' '").unwrap_err();
        assert_eq!(error, "identities.c.userAgent is empty: give a part of the client's user agent");
        std::fs::write(&path, r#"{"Name": "n", "Actions": ["read"], "AssignableScopes": ["/s"]}"#).unwrap();
        let error = of("").unwrap_err();
        assert!(error.contains("role.json") && error.contains("Actions[0] is \"read\": give "), "{error}");
    }
}
