//! What the gateway refuses for who asks: no token, one that is not taken, or no role. Never looks at a token.

use jiff::Timestamp;

use super::Refusal;

impl Refusal {
    pub(crate) fn no_token() -> Self {
        Self::gateway(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    }

    pub(crate) fn malformed_authorization() -> Self {
        Self::gateway(
            401,
            "AuthenticationFailedInvalidHeader",
            "Authentication failed. The 'Authorization' header is provided in an invalid format.",
        )
    }

    pub(crate) fn invalid_token() -> Self {
        Self::gateway(401, "InvalidAuthenticationToken", "The access token is invalid.")
    }

    pub(crate) fn expired_token(at: Timestamp) -> Self {
        let time = |at: Timestamp| at.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string();
        Self::gateway(
            401,
            "ExpiredAuthenticationToken",
            format!(
                "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
                time(at),
                time(Timestamp::now())
            ),
        )
    }

    pub(crate) fn token_audience(audience: &str, allowed: &str) -> Self {
        Self::gateway(
            401,
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly \
                 match with one of the allowed audiences {allowed}."
            ),
        )
    }

    /// `issuer` is the token's; `authority` is where to sign in instead.
    pub(crate) fn token_tenant(issuer: &str, authority: &str) -> Self {
        Self::gateway(
            401,
            "InvalidAuthenticationTokenTenant",
            format!(
                "The access token is from the wrong issuer '{issuer}'. It must match the tenant '{authority}' \
                 associated with this subscription. Please use the authority (URL) '{authority}' to get the token. \
                 Note, if the subscription is transferred to another tenant there is no impact to the services, but \
                 information about new tenant could take time to propagate (up to an hour). If you just transferred \
                 your subscription and see this error message, please try back later."
            ),
        )
    }

    /// A principal has no role that allows an action.
    pub(crate) fn no_role(client: &str, object: &str, action: &str, scope: &str) -> Self {
        Self::gateway(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{client}' with object id '{object}' does not have authorization to perform action \
                 '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please \
                 refresh your credentials."
            ),
        )
    }

    pub(crate) fn malformed_api_version(version: &str) -> Self {
        Self::gateway(400, "InvalidApiVersionParameter", format!("The api-version '{version}' is invalid."))
    }
}
