//! What a client reads before it signs in: the cloud's endpoints, `OpenID` discovery, keys. Never anything secret.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::parameter;
use super::super::reply::Reply;
use super::{App, token};
use crate::directory::Refusal;

/// The first api-version whose answer is one cloud.
const ONE_SINCE: &str = "2022-09-01";

/// `GET /metadata/endpoints`: where everything of this cloud is. An older api-version gets a list of clouds, a newer
/// one the cloud itself.
pub(super) fn cloud(method: &Method, query: &str, base: &str) -> Reply {
    if method != Method::GET {
        return Reply::from(crate::service::refusal::Refusal::method(method.as_str()));
    }
    let cloud = endpoints(base);
    let is_list = parameter(query, "api-version").is_some_and(|version| version.as_str() < ONE_SINCE);
    let body = if is_list { json!([cloud]) } else { cloud };
    Reply::json(StatusCode::OK, &body)
}

fn endpoints(base: &str) -> Value {
    // Of what the emulator does not have, names that nobody owns.
    let absent = |name: &str| format!("https://{name}.emulator.invalid/");
    json!({
        "name": "AksEmulator",
        "portal": absent("portal"),
        "authentication": {
            "loginEndpoint": format!("{base}/"),
            "audiences": [format!("{base}/"), "https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": format!("{base}/"),
        "graph": absent("graph"),
        "graphAudience": absent("graph"),
        "microsoftGraphResourceId": absent("graph"),
        "batch": absent("batch"),
        "media": absent("media"),
        "gallery": absent("gallery"),
        "sqlManagement": absent("sql"),
        "vmImageAliasDoc": absent("images"),
        "activeDirectoryDataLake": absent("datalake"),
        "suffixes": {
            "storage": "storage.emulator.invalid",
            "keyVaultDns": "vault.emulator.invalid",
            "acrLoginServer": "registry.emulator.invalid",
            "sqlServerHostname": "sql.emulator.invalid",
        },
    })
}

/// `GET /TENANT/v2.0/.well-known/openid-configuration`.
pub(super) fn openid(app: &App, tenant: &str, base: &str) -> Reply {
    let any = ["common", "organizations"].contains(&tenant);
    if !any && !app.directory.has_tenant(tenant) {
        return token::refused(&Refusal::tenant(tenant), None);
    }
    let issuer = if any { "{tenantid}" } else { tenant };
    let document = json!({
        "issuer": format!("{base}/{issuer}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
        "request_uri_parameter_supported": false,
    });
    Reply::json(StatusCode::OK, &document)
}

/// `GET /TENANT/discovery/v2.0/keys`.
pub(super) fn keys(app: &App) -> Reply {
    match app.directory.keys() {
        Ok(keys) => Reply::json(StatusCode::OK, &keys),
        Err(refusal) => token::refused(&refusal, None),
    }
}
