//! What the API server answered, in words for people: of a right that is missing which one it is, whose, and where it comes
//! from. Never decides anything by it.

use kube::core::Status;

use crate::causes::innermost;

/// What gives the operator its rights.
const REMEDY: &str = "give it the operator's roles again (helm upgrade, or kubectl apply -f deploy/base/rbac.yaml)";

/// Why a request came to nothing: what the API server said, or what kept it from saying anything.
pub fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => said(status),
        other => innermost(other).to_string(),
    }
}

/// What the API server said. Its text of a missing right is long, and the right stands at its end.
pub fn said(status: &Status) -> String {
    let missing = if status.code == 403 { Missing::of(&status.message) } else { None };
    missing.map_or_else(|| status.message.clone(), |missing| missing.in_words())
}

/// A right that somebody lacks.
#[derive(Debug, PartialEq, Eq)]
struct Missing<'a> {
    user: &'a str,
    verb: &'a str,
    what: What<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum What<'a> {
    Path(&'a str),
    Resource { resource: &'a str, group: &'a str, namespace: Option<&'a str> },
}

impl<'a> Missing<'a> {
    /// The right that a text of the API server's authoriser names: `... User "U" cannot VERB resource "R" in API group "G" in
    /// the namespace "N"`, or `cannot VERB path "P"`.
    fn of(message: &'a str) -> Option<Self> {
        let (user, rest) = message.split_once("User \"")?.1.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(' ')?;
        let quoted = |after: &str| Some(rest.split_once(after)?.1.split_once('"')?.0);
        let what = match quoted("path \"") {
            Some(path) => What::Path(path),
            None => What::Resource {
                resource: quoted("resource \"")?,
                group: quoted("in API group \"")?,
                namespace: quoted("in the namespace \""),
            },
        };
        Some(Self { user, verb, what })
    }

    fn in_words(&self) -> String {
        let who = match self.user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':')) {
            Some((namespace, name)) => format!("service account {namespace}/{name}"),
            None => format!("user {}", self.user),
        };
        let verb = self.verb;
        match self.what {
            What::Path(path) => format!("{path}: {who} may not {verb} it; {REMEDY}"),
            What::Resource { resource, group, namespace } => {
                let of = if group.is_empty() { " (core group)".to_owned() } else { format!(".{group}") };
                let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
                format!("{resource}{of}: {who} may not {verb} them{place}; {REMEDY}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "User \"system:serviceaccount:nodepool-operator:nodepool-operator\" cannot";
    const WHO: &str = "service account nodepool-operator/nodepool-operator may not";

    fn told(code: u16, message: &str) -> String {
        said(&Status { code, ..Status::failure(message, "Forbidden") })
    }

    #[test]
    fn a_missing_right_is_told_with_verb_resource_and_group() {
        for (message, expected) in [
            (
                format!("nodes is forbidden: {USER} list resource \"nodes\" in API group \"\" at the cluster scope"),
                format!("nodes (core group): {WHO} list them; {REMEDY}"),
            ),
            (
                format!(
                    "poddisruptionbudgets.policy is forbidden: {USER} watch resource \"poddisruptionbudgets\" in API group \
                     \"policy\" in the namespace \"kube-system\""
                ),
                format!("poddisruptionbudgets.policy: {WHO} watch them in namespace kube-system; {REMEDY}"),
            ),
            (
                format!("nodepoolpolicies.aks.nodepool.dev \"apps\" is forbidden: {USER} patch resource \
                     \"nodepoolpolicies/status\" in API group \"aks.nodepool.dev\" at the cluster scope: RBAC: not found"),
                format!("nodepoolpolicies/status.aks.nodepool.dev: {WHO} patch them; {REMEDY}"),
            ),
            (
                format!("forbidden: {USER} get path \"/.well-known/openid-configuration\""),
                format!("/.well-known/openid-configuration: {WHO} get it; {REMEDY}"),
            ),
            (
                "nodes is forbidden: User \"ann\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
                    .to_owned(),
                format!("nodes (core group): user ann may not list them; {REMEDY}"),
            ),
        ] {
            assert_eq!(told(403, &message), expected);
        }
    }

    #[test]
    fn what_is_no_missing_right_is_told_as_it_came() {
        for (code, message) in [
            (403, "unable to create new content in namespace a because it is being terminated"),
            (403, "User \"a\" cannot do that"),
            (403, "User \"a\" cannot get path \"/x"),
            (409, "User \"a\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"),
            (403, ""),
        ] {
            assert_eq!(told(code, message), message);
        }
        let lost = kube::Error::ReadEvents(std::io::Error::other("connection refused"));
        assert_eq!(in_words(&lost), "connection refused");
    }
}
