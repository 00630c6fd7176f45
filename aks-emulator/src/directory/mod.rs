//! Who may sign in, and the access tokens that they get. Never reads a request.

mod account;
mod assertion;
mod identity;
mod key;
mod pattern;
mod refusal;
mod role;
mod token;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::{ClusterSpec, Error, NodeSide, Settings};
use account::Accounts;
pub use account::{Denial, Permissions};
pub use identity::{FederatedCredential, Identity};
use key::SigningKey;
pub(crate) use refusal::{Refusal, at};
pub use role::Role;
pub(crate) use token::{Caller, Unaccepted};

/// Whether requests to ARM need an access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// They need none, and one that is sent is not looked at. Clients with an [`Identity::user_agent`] may do what it may.
    #[default]
    Off,
    /// They need one that this emulator gave out, of an identity whose [`Identity::actions`] allow the request.
    Required,
}

/// What a client proves its identity with.
#[derive(Clone, Copy)]
pub(crate) enum Credential<'a> {
    Secret(&'a str),
    /// A token of a foreign issuer.
    Assertion(&'a str),
}

/// The identities of all tenants and the key that signs their tokens.
pub(crate) struct Directory {
    /// Tenant of the subscription.
    pub(crate) tenant: String,
    identities: Vec<Identity>,
    accounts: Accounts,
    key: SigningKey,
    lifetime: Duration,
    issuer: Arc<dyn NodeSide>,
}

impl Directory {
    pub(crate) fn new(settings: &Settings, spec: &ClusterSpec, issuer: Arc<dyn NodeSide>) -> Result<Self, Error> {
        let complete = |identity: &Identity| identity.completed(&spec.tenant, spec.issuer_url.as_deref());
        let identities = spec.identities.iter().map(complete).collect::<Result<Vec<_>, _>>()?;
        let folder = settings.tls.as_ref().and_then(|tls| tls.folder.as_deref());
        let key = folder.map_or_else(|| Ok(SigningKey::default()), SigningKey::kept)?;
        let accounts = Accounts::of(&identities);
        Ok(Self { tenant: spec.tenant.clone(), identities, accounts, key, lifetime: settings.token_lifetime, issuer })
    }

    /// Whether a tenant of this name exists. `common` and `organizations` stand for any.
    pub(crate) fn has_tenant(&self, tenant: &str) -> bool {
        let mut known = self.identities.iter().filter_map(|identity| identity.tenant.as_deref());
        tenant.eq_ignore_ascii_case(&self.tenant) || known.any(|known| known.eq_ignore_ascii_case(tenant))
    }

    /// The keys that verify access tokens.
    pub(crate) fn keys(&self) -> Result<Value, Refusal> {
        self.key.public()
    }

    /// The identity of a tenant that a client names.
    pub(crate) fn identity(&self, tenant: &str, client: &str) -> Result<&Identity, Refusal> {
        if !self.has_tenant(tenant) {
            return Err(Refusal::tenant(tenant));
        }
        let found = self.identities.iter().find(|identity| {
            let of_tenant = identity.tenant.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(tenant));
            of_tenant && identity.client_id.eq_ignore_ascii_case(client)
        });
        found.ok_or_else(|| Refusal::client(client, tenant))
    }

    /// The managed identity with these ids; the first if none is given.
    pub(crate) fn managed_identity(&self, client: Option<&str>, object: Option<&str>) -> Option<&Identity> {
        self.identities.iter().find(|identity| {
            client.is_none_or(|id| identity.client_id.eq_ignore_ascii_case(id))
                && object.is_none_or(|id| identity.object_id().eq_ignore_ascii_case(id))
        })
    }

    /// Checks what a client proves its identity with.
    pub(crate) async fn authenticate(&self, identity: &Identity, credential: Credential<'_>) -> Result<(), Refusal> {
        match credential {
            Credential::Secret(secret) if identity.secret.as_deref() == Some(secret) => Ok(()),
            Credential::Secret(_) => Err(Refusal::secret(&identity.client_id)),
            Credential::Assertion(assertion) => assertion::verify(identity, assertion, self.issuer.as_ref()).await,
        }
    }

    /// An access token and how many seconds it is valid.
    pub(crate) fn issue(&self, identity: &Identity, issuer: &str, audience: &str) -> Result<(String, u64), Refusal> {
        let lifetime = self.lifetime.as_secs();
        let token = token::issue(&self.key, identity, issuer, audience, lifetime)?;
        Ok((token, lifetime))
    }

    /// Who shows an access token, if it is one of this directory, valid now and for the subscription's tenant.
    /// `is_audience` says whether it is meant for ARM.
    pub(crate) fn caller(&self, token: &str, is_audience: impl Fn(&str) -> bool) -> Result<Caller, Unaccepted> {
        token::verify(&self.key, token, &self.tenant, is_audience)
    }

    /// As whom a client counts that shows no access token, by its user agent.
    pub(crate) fn recognised(&self, user_agent: &str) -> Option<Caller> {
        let is_named =
            |identity: &&Identity| identity.user_agent.as_deref().is_some_and(|part| user_agent.contains(part));
        self.identities.iter().find(is_named).map(|identity| Caller {
            client_id: identity.client_id.clone(),
            object_id: identity.object_id(),
            tenant: identity.tenant.clone().unwrap_or_default(),
        })
    }

    /// Whether an identity may take an action on something now, of which note is taken. One that was taken out of the
    /// description may do nothing.
    pub(crate) fn allows(&self, caller: &Caller, action: &str, scope: &str) -> bool {
        self.identity(&caller.tenant, &caller.client_id).is_ok()
            && self.accounts.allows(&caller.client_id, action, scope)
    }

    /// Gives an identity these actions from now on. Whether there is one with this client id.
    pub(crate) fn grant(&self, client: &str, actions: Vec<String>, not_actions: Vec<String>) -> bool {
        self.accounts.grant(client, actions, not_actions)
    }

    /// What each identity may do and has done, in the order of the client ids.
    pub(crate) fn permissions(&self) -> Vec<Permissions> {
        self.accounts.told()
    }
}
