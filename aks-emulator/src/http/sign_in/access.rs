//! Whether a request to ARM may pass: its access token, and its caller's role. Never looks at what is asked for.

use axum::http::header;
use axum::http::request::Parts;

use super::super::reply::Reply;
use super::super::{base, parameter};
use super::{App, action, audience};
use crate::Authentication;
use crate::directory::{Caller, Unaccepted, at};
use crate::service::refusal::Refusal;

/// Refuses a request without a token that is taken, and one whose caller has no role for it.
pub(super) fn check(app: &App, parts: &Parts) -> Result<(), Box<Reply>> {
    let is_versioned = parameter(parts.uri.query().unwrap_or_default(), "api-version").is_some();
    // The gateway looks for the api-version first.
    if !is_versioned {
        return Ok(());
    }
    let caller = match app.service.settings.authentication {
        Authentication::Required => caller(app, parts)?,
        Authentication::Off => match recognised(app, parts) {
            Some(caller) => caller,
            None => return Ok(()),
        },
    };
    match action::of(parts.method.as_str(), parts.uri.path()) {
        Some((action, scope)) if !app.directory.allows(&caller, &action, &scope) => {
            Err(Box::new(no_role(&caller, &action, &scope)))
        }
        _ => Ok(()),
    }
}

/// As whom a request counts where none has to show an access token.
fn recognised(app: &App, parts: &Parts) -> Option<Caller> {
    let agent = parts.headers.get(header::USER_AGENT)?.to_str().ok()?;
    app.directory.recognised(agent)
}

/// The answer to a request while its caller's role is not known everywhere.
pub(in super::super) fn role_missing(app: &App, parts: &Parts) -> Reply {
    let nobody = "00000000-0000-0000-0000-000000000000".to_owned();
    let nobody = || Caller { client_id: nobody.clone(), object_id: nobody.clone(), tenant: String::new() };
    let caller = match caller(app, parts) {
        Ok(caller) => caller,
        Err(refused) if app.service.settings.authentication == Authentication::Required => return *refused,
        Err(_) => recognised(app, parts).unwrap_or_else(nobody),
    };
    let path = parts.uri.path();
    let of = action::of(parts.method.as_str(), path);
    let (action, scope) = of.unwrap_or_else(|| ("Microsoft.Resources/subscriptions/read".to_owned(), path.to_owned()));
    no_role(&caller, &action, &scope)
}

fn no_role(caller: &Caller, action: &str, scope: &str) -> Reply {
    Reply::from(Refusal::no_role(&caller.client_id, &caller.object_id, action, scope))
}

fn caller(app: &App, parts: &Parts) -> Result<Caller, Box<Reply>> {
    let base = base(app, &parts.headers);
    let authority = format!("{base}/{}", app.directory.tenant);
    let challenge = |refusal: Refusal, error: &str| {
        let text =
            format!("Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{error}\"");
        Box::new(Reply::from(refusal).with("www-authenticate", &text))
    };
    let Some(sent) = parts.headers.get(header::AUTHORIZATION) else {
        let error = "The authentication failed because of missing 'Authorization' header.";
        return Err(challenge(Refusal::no_token(), error));
    };
    let sent = sent.to_str().unwrap_or_default();
    let token = sent.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let Some((_, token)) = token else {
        return Err(challenge(Refusal::malformed_authorization(), "The 'Authorization' header is malformed."));
    };
    let is_arm = |resource: &str| audience::is_arm(app, &parts.headers, resource);
    app.directory.caller(token.trim(), is_arm).map_err(|unaccepted| {
        let (refusal, error) = match unaccepted {
            Unaccepted::Invalid => (Refusal::invalid_token(), "The access token is invalid."),
            Unaccepted::Expired(time) => (Refusal::expired_token(at(time)), "The access token expired."),
            Unaccepted::Audience(resource) => {
                let refusal = Refusal::token_audience(&resource, &audience::allowed(&base));
                (refusal, "The access token has been obtained from wrong audience or resource.")
            }
            Unaccepted::Tenant(issuer) => {
                (Refusal::token_tenant(&issuer, &authority), "The access token is from the wrong issuer.")
            }
        };
        challenge(refusal, error)
    })
}
