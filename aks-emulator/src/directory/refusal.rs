//! The catalogue of what Entra refuses: status, error and text, as documented or reported by users. Never decides when
//! one is due.

use jiff::Timestamp;

use super::assertion;

/// An error answer of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The error as OAuth names it.
    pub(crate) error: &'static str,
    /// The number after `AADSTS`.
    pub(crate) code: u32,
    pub(crate) message: String,
}

const FEDERATION: &str = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

impl Refusal {
    fn request(code: u32, message: impl Into<String>) -> Self {
        Self { status: 400, error: "invalid_request", code, message: message.into() }
    }

    fn client_error(code: u32, message: impl Into<String>) -> Self {
        Self { status: 401, error: "invalid_client", code, message: message.into() }
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::request(900_144, format!("The request body must contain the following parameter: '{name}'."))
    }

    pub(crate) fn grant_type(grant_type: &str) -> Self {
        let message = format!("The app requested an unsupported grant type '{grant_type}'.");
        Self { error: "unsupported_grant_type", ..Self::request(70_003, message) }
    }

    pub(crate) fn post_only(method: &str) -> Self {
        let message = format!("The endpoint only accepts POST requests. Received a {method} request.");
        Self { status: 405, ..Self::request(900_561, message) }
    }

    pub(crate) fn assertion_type(kind: &str) -> Self {
        let message =
            format!("The provided value for the input parameter 'client_assertion_type' is not valid: '{kind}'.");
        Self::request(900_023, message)
    }

    pub(crate) fn tenant(tenant: &str) -> Self {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        );
        Self { error: "invalid_tenant", ..Self::request(90_002, message) }
    }

    pub(crate) fn client(client: &str, tenant: &str) -> Self {
        let message = format!(
            "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant."
        );
        Self { error: "unauthorized_client", ..Self::request(700_016, message) }
    }

    pub(crate) fn resource(resource: &str, tenant: &str) -> Self {
        let message = format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user in \
             the tenant. You might have sent your authentication request to the wrong tenant."
        );
        Self { error: "invalid_resource", ..Self::request(500_011, message) }
    }

    /// A scope that is not `RESOURCE/.default`.
    pub(crate) fn scope(scope: &str) -> Self {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        );
        Self { error: "invalid_scope", ..Self::request(1_002_012, message) }
    }

    pub(crate) fn missing_credential() -> Self {
        Self::client_error(
            7_000_216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        )
    }

    pub(crate) fn secret(client: &str) -> Self {
        Self::client_error(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{client}'."
            ),
        )
    }

    pub(crate) fn malformed_assertion() -> Self {
        Self::request(50_027, "JWT token is invalid or malformed.")
    }

    pub(crate) fn no_credential(client: &str, name: &str) -> Self {
        Self::client_error(
            70_025,
            format!("The client '{client}'({name}) has no configured federated identity credentials."),
        )
    }

    /// What Entra says before a new federated credential is known everywhere, with what it compared.
    pub(crate) fn unpropagated(assertion: &str) -> Self {
        let claims = match assertion::read(assertion) {
            Ok(claims) => claims,
            Err(refusal) => return refusal,
        };
        let (issuer, subject, audience) = (&claims.iss, &claims.sub, claims.audiences().join(" "));
        Self::request(
            70_021,
            format!(
                "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
                 Assertion Subject: '{subject}'. Assertion Audience: '{audience}'. {FEDERATION}"
            ),
        )
    }

    pub(crate) fn assertion_issuer(issuer: &str) -> Self {
        Self::no_record(700_211, "issuer", issuer)
    }

    pub(crate) fn assertion_audience(audience: &str) -> Self {
        Self::no_record(700_212, "audience", audience)
    }

    pub(crate) fn assertion_subject(subject: &str) -> Self {
        Self::no_record(700_213, "subject", subject)
    }

    fn no_record(code: u32, part: &str, value: &str) -> Self {
        Self::client_error(
            code,
            format!(
                "No matching federated identity record found for presented assertion {part} '{value}'. Check your \
                 federated identity credential Subject, Audience and Issuer against the presented assertion. \
                 {FEDERATION}"
            ),
        )
    }

    /// Times in seconds since 1970.
    pub(crate) fn assertion_times(from: u64, to: u64) -> Self {
        let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string();
        let (now, from, to) = (time(Timestamp::now()), time(at(from)), time(at(to)));
        Self::client_error(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {now}, assertion valid from \
                 {from}, expiry time of assertion {to}. Review the documentation at \
                 https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
            ),
        )
    }

    pub(crate) fn assertion_signature() -> Self {
        Self::client_error(
            700_027,
            "Client assertion contains an invalid signature. [Reason - The provided signature value did not match the \
             expected signature value.].",
        )
    }

    pub(crate) fn unknown_key(id: &str, issuer: &str) -> Self {
        Self::client_error(
            7_000_272,
            format!(
                "The certificate with identifier {id} used to sign the federated credential could not be found in the \
                 metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata \
                 exposes the key used to sign the incoming token."
            ),
        )
    }

    pub(crate) fn issuer_unreachable() -> Self {
        Self::request(90_061, "Request to External OIDC endpoint failed.")
    }

    /// A defect of the emulator.
    pub(crate) fn internal() -> Self {
        Self { status: 500, ..Self::request(90_020, "The emulator failed to sign an access token.") }
    }
}

/// A time from seconds since 1970.
pub(crate) fn at(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}
