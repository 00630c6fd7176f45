//! Who the operator is in Azure: an identity that may do what the role in `deploy/azure` allows. Never signs it in.

use std::path::Path;

use aks_emulator::{Identity, Role};
use anyhow::Context as _;

/// The operator's client id, where it does not sign in.
pub const OPERATOR_CLIENT: &str = "55555555-6666-7777-8888-999999999999";

/// What the operator's requests have in their user agent.
const USER_AGENT: &str = "nodepool-operator";

/// The role that the operator is to have on its cluster, from the checkout.
///
/// # Errors
/// When its file can't be read, or is no role definition.
pub fn role() -> anyhow::Result<Role> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/azure/role.json");
    Role::read(&path).context("the operator's role in Azure can't be used")
}

/// The operator as ARM knows it where nobody has to sign in: by its user agent, with its role and nothing more.
pub(crate) fn identity() -> anyhow::Result<Identity> {
    let operator = Identity::new(OPERATOR_CLIENT).user_agent(USER_AGENT).role(&role()?);
    Ok(Identity { name: USER_AGENT.to_owned(), ..operator })
}
