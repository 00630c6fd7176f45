//! Signing in over real HTTPS: what clients read first, access tokens, who may pass, and what the journal keeps.

use std::sync::Arc;
use std::time::Duration;

use aks_emulator::{
    Action, Authentication, ClusterSpec, Emulator, FederatedCredential, Identity, Matcher, NoNodes, Settings, Tls,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, FAST, Local, VERSION, two_pools};

const TENANT: &str = "22222222-3333-4444-5555-666666666666";
const OTHER_TENANT: &str = "99999999-3333-4444-5555-666666666666";
const READER: &str = "reader";

/// The built-in identity, one that may only read, and one of another tenant.
fn cluster() -> ClusterSpec {
    let mut foreign = Identity::new("foreign").secret("f");
    foreign.tenant = Some(OTHER_TENANT.to_owned());
    let reader = Identity::new(READER).secret("r").actions(&["Microsoft.ContainerService/*/read"]);
    ClusterSpec { identities: vec![Identity::local(), reader, foreign], ..two_pools() }
}

async fn start(authentication: Authentication) -> Local {
    let settings = Settings { authentication, tls: Some(Tls::default()), ..Settings::with_time_scale(FAST) };
    secured(settings, cluster()).await
}

/// An emulator with HTTPS, and a client that trusts its authority only.
async fn secured(settings: Settings, cluster: ClusterSpec) -> Local {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
    let authority = reqwest::Certificate::from_pem(emulator.authority_pem().unwrap().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    Local { emulator, client }
}

impl Local {
    /// An answer of the token endpoint of a tenant.
    async fn exchange(&self, tenant: &str, fields: &[(&str, &str)]) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(self.url(&format!("/{tenant}/oauth2/v2.0/token")));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.json().await.unwrap() }
    }

    async fn sign_in(&self, client: &str, secret: &str) -> String {
        let answer = self.exchange(TENANT, &with_secret(client, secret, "https://management.azure.com/.default")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    async fn get_with(&self, path: &str, authorization: &str) -> Answer {
        self.send_with(Method::GET, &self.url(path), None, &[("authorization", authorization)]).await
    }
}

fn with_secret<'a>(client: &'a str, secret: &'a str, scope: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret), ("scope", scope)]
}

fn local() -> (String, String) {
    let identity = Identity::local();
    (identity.client_id, identity.secret.unwrap())
}

/// What a token says, read without a look at its signature.
fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

#[tokio::test]
async fn urls_in_answers_are_of_https() {
    let local = start(Authentication::Off).await;
    let put = local.put_and_follow("apps", json!({"count": 3})).await;
    assert!(put.header("azure-asyncoperation").unwrap().starts_with("https://127.0.0.1:"));
    let list = local.get(&format!("{}/agentPools?api-version={VERSION}", local.emulator.cluster_id())).await;
    assert!(list.body["nextLink"].as_str().unwrap().starts_with("https://127.0.0.1:"), "{list:?}");
}

#[tokio::test]
async fn the_cloud_describes_itself() {
    let local = start(Authentication::Required).await;
    let base = local.url("");
    for path in ["/metadata/endpoints?api-version=2022-09-01", "//metadata/endpoints?api-version=2022-09-01"] {
        let cloud = local.get(path).await;
        assert_eq!(cloud.body["resourceManager"], format!("{base}/"), "{path}");
        assert_eq!(cloud.body["authentication"]["loginEndpoint"], format!("{base}/"), "{path}");
    }
    let list = local.get("/metadata/endpoints?api-version=2019-05-01").await;
    assert_eq!(list.body[0]["authentication"]["tenant"], "common");

    let openid = local.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    assert_eq!(openid.body["token_endpoint"], format!("{base}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(openid.body["issuer"], format!("{base}/{TENANT}/v2.0"));
    for tenant in ["common", "organizations"] {
        let openid = local.get(&format!("/{tenant}/v2.0/.well-known/openid-configuration")).await;
        assert_eq!(openid.body["issuer"], format!("{base}/{{tenantid}}/v2.0"));
    }
    let unknown = local.get("/nowhere/v2.0/.well-known/openid-configuration").await;
    assert_eq!((unknown.status, &unknown.body["error"]), (400, &json!("invalid_tenant")));
}

#[tokio::test]
async fn access_tokens_verify_with_the_published_keys() {
    let local = start(Authentication::Off).await;
    let (client, secret) = self::local();
    let scope = local.url("//.default");
    let answer = local.exchange(TENANT, &with_secret(&client, &secret, &scope)).await;
    assert_eq!((answer.status, &answer.body["token_type"]), (200, &json!("Bearer")), "{answer:?}");
    assert_eq!(answer.body["expires_in"], 3600);
    let token = answer.body["access_token"].as_str().unwrap();
    let openid = local.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    let keys = local.send(Method::GET, openid.body["jwks_uri"].as_str().unwrap(), None).await;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.body).unwrap();
    let id = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&id).unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[local.url("/")]);
    validation.set_issuer(&[openid.body["issuer"].as_str().unwrap()]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    assert_eq!((&claims["tid"], &claims["appid"]), (&json!(TENANT), &json!(client)));
    assert!(claims["oid"].is_string() && claims["oid"] != claims["appid"]);
}

#[tokio::test]
async fn refused_sign_ins_are_told_as_entra_tells_them() {
    let local = start(Authentication::Off).await;
    let (client, secret) = self::local();
    let arm = "https://management.azure.com/.default";
    let mut assertion = with_secret(&client, "a.b.c", arm).to_vec();
    assertion[2].0 = "client_assertion";
    let mut typed = assertion.clone();
    typed.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    let mut password = with_secret(&client, &secret, arm);
    password[0].1 = "password";
    let graph = "https://graph.microsoft.com/.default";
    for (tenant, fields, status, error, code) in [
        (TENANT, with_secret(&client, "wrong", arm).to_vec(), 401, "invalid_client", 7_000_215),
        (TENANT, with_secret("unknown", &secret, arm).to_vec(), 400, "unauthorized_client", 700_016),
        ("nowhere", with_secret(&client, &secret, arm).to_vec(), 400, "invalid_tenant", 90_002),
        (OTHER_TENANT, with_secret(&client, &secret, arm).to_vec(), 400, "unauthorized_client", 700_016),
        (TENANT, with_secret(&client, "", arm).to_vec(), 401, "invalid_client", 7_000_216),
        (TENANT, with_secret(&client, &secret, graph).to_vec(), 400, "invalid_resource", 500_011),
        (TENANT, with_secret(&client, &secret, "user.read").to_vec(), 400, "invalid_scope", 1_002_012),
        (TENANT, with_secret(&client, &secret, arm)[1..].to_vec(), 400, "invalid_request", 900_144),
        (TENANT, password.to_vec(), 400, "unsupported_grant_type", 70_003),
        (TENANT, assertion, 400, "invalid_request", 900_144),
        (TENANT, typed, 400, "invalid_request", 50_027),
    ] {
        let answer = local.exchange(tenant, &fields).await;
        assert_eq!(answer.status, status, "{code}: {answer:?}");
        assert_eq!(answer.body["error"], error, "{answer:?}");
        assert_eq!(answer.body["error_codes"], json!([code]), "{answer:?}");
        let text = answer.body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")) && text.contains("Trace ID: "), "{text}");
    }
    let answer = local.get(&format!("/{TENANT}/oauth2/v2.0/token")).await;
    assert_eq!((answer.status, &answer.body["error_codes"]), (405, &json!([900_561])));
}

#[tokio::test]
async fn what_is_required_is_a_token_for_arm_that_is_still_valid() {
    let local = start(Authentication::Required).await;
    let (client, secret) = self::local();
    let token = local.sign_in(&client, &secret).await;
    let bearer = format!("Bearer {token}");
    let path = local.pool_path("apps");
    assert_eq!(local.get_with(&path, &bearer).await.status, 200);

    let missing = local.get(&path).await;
    assert_eq!((missing.status, missing.code()), (401, "AuthenticationFailed"));
    let challenge = missing.header("www-authenticate").unwrap();
    assert!(challenge.starts_with(&format!("Bearer authorization_uri=\"{}/{TENANT}\"", local.url(""))), "{challenge}");
    let foreign = local.exchange(OTHER_TENANT, &with_secret("foreign", "f", "https://localhost/.default")).await;
    let foreign = format!("Bearer {}", foreign.body["access_token"].as_str().unwrap());
    // Another header, the same claims: not signed by the emulator any more.
    let forged = format!("Bearer {}", token.replacen("ey", "eyA", 1));
    for (authorization, code) in [
        ("Basic abc", "AuthenticationFailedInvalidHeader"),
        ("Bearer abc", "InvalidAuthenticationToken"),
        (forged.as_str(), "InvalidAuthenticationToken"),
        (foreign.as_str(), "InvalidAuthenticationTokenTenant"),
    ] {
        let answer = local.get_with(&path, authorization).await;
        assert_eq!((answer.status, answer.code()), (401, code), "{answer:?}");
        assert!(answer.header("www-authenticate").is_some());
    }
    let unversioned = local.get(path.split('?').next().unwrap()).await;
    assert_eq!(unversioned.code(), "MissingApiVersionParameter");
}

#[tokio::test]
async fn a_token_of_another_key_or_for_another_service_is_not_taken() {
    let (one, other) = (start(Authentication::Required).await, start(Authentication::Required).await);
    let (client, secret) = self::local();
    let token = one.sign_in(&client, &secret).await;
    let answer = other.get_with(&other.pool_path("apps"), &format!("Bearer {token}")).await;
    assert_eq!((answer.status, answer.code()), (401, "InvalidAuthenticationToken"), "{answer:?}");

    let scope = with_secret(&client, &secret, "https://arm.test/.default");
    assert_eq!(one.exchange(TENANT, &scope).await.body["error_codes"], json!([500_011]));
    let folder = tempfile::tempdir().unwrap();
    let tls = |name: &str| Tls { folder: Some(folder.path().to_owned()), names: vec![name.to_owned()] };
    let mut settings = Settings::with_time_scale(FAST);
    settings.authentication = Authentication::Required;
    settings.tls = Some(tls("arm.test"));
    let named = secured(settings.clone(), cluster()).await;
    let token = named.exchange(TENANT, &scope).await.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(named.get_with(&named.pool_path("apps"), &format!("Bearer {token}")).await.status, 200);
    settings.tls = Some(tls("other.test"));
    let renamed = secured(settings, cluster()).await;
    let answer = renamed.get_with(&renamed.pool_path("apps"), &format!("Bearer {token}")).await;
    assert_eq!((answer.status, answer.code()), (401, "InvalidAuthenticationTokenAudience"), "{answer:?}");
}

#[tokio::test]
async fn an_expired_token_is_told_with_its_times_and_keys_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_time_scale(FAST);
    settings.authentication = Authentication::Required;
    settings.tls = Some(Tls { folder: Some(folder.path().join("tls")), names: Vec::new() });
    let long = secured(settings.clone(), cluster()).await;
    let (client, secret) = self::local();
    let kept = long.sign_in(&client, &secret).await;
    long.emulator.stop().await;

    settings.token_lifetime = Duration::from_secs(1);
    let short = secured(settings, cluster()).await;
    let path = short.pool_path("apps");
    assert_eq!(short.get_with(&path, &format!("Bearer {kept}")).await.status, 200);
    assert_eq!(short.emulator.authority_pem(), long.emulator.authority_pem());
    let token = format!("Bearer {}", short.sign_in(&client, &secret).await);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let answer = short.get_with(&path, &token).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "still valid");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((refused.status, refused.code()), (401, "ExpiredAuthenticationToken"));
    let text = refused.body["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("The access token expiry UTC time '") && text.contains("earlier than"), "{text}");
}

#[tokio::test]
async fn a_role_allows_its_actions_only() {
    let local = start(Authentication::Required).await;
    let token = local.sign_in(READER, "r").await;
    let bearer = format!("Bearer {token}");
    assert_eq!(local.get_with(&local.pool_path("apps"), &bearer).await.status, 200);
    assert_eq!(local.get_with("/subscriptions?api-version=2022-12-01", &bearer).await.status, 200);
    let url = local.url(&local.pool_path("apps"));
    let headers = [("authorization", bearer.as_str())];
    let refused = local.send_with(Method::PUT, &url, Some(&json!({"properties": {"count": 3}})), &headers).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"), "{refused:?}");
    assert_eq!(refused.header("x-ms-failure-cause"), Some("gateway"));
    let object = claims(&token)["oid"].as_str().unwrap().to_owned();
    let expected = format!(
        "The client '{READER}' with object id '{object}' does not have authorization to perform action \
         'Microsoft.ContainerService/managedClusters/agentPools/write' over scope '{}/agentPools/apps' or the scope is \
         invalid. If access was recently granted, please refresh your credentials.",
        local.emulator.cluster_id()
    );
    assert_eq!(refused.body["error"]["message"], expected);
    let group = local.get_with("/subscriptions/11111111-2222-3333-4444-555555555555?api-version=2022-12-01", &bearer);
    assert_eq!(group.await.status, 403);
}

#[tokio::test]
async fn roles_and_federations_take_time_to_be_known() {
    let local = start(Authentication::Required).await;
    let (client, secret) = self::local();
    let bearer = format!("Bearer {}", local.sign_in(&client, &secret).await);
    let path = local.pool_path("apps");
    let fault = local.emulator.fault(Matcher::method("GET"), Action::RoleMissing, Some(2));
    for status in [403, 403, 200] {
        assert_eq!(local.get_with(&path, &bearer).await.status, status);
    }
    assert_eq!(fault.count(), 2);

    let rule = json!({"pathEndsWith": "/oauth2/v2.0/token", "times": 2, "action": "federationMissing"});
    let laid = local.send(Method::POST, &local.url("/admin/faults"), Some(&rule)).await;
    assert_eq!(laid.status, 201, "{laid:?}");
    let arm = "https://management.azure.com/.default";
    // {"alg":"RS256"} and {"iss":"https://i/","sub":"s","aud":["a"],"exp":1}, signed by nobody.
    let assertion = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2kvIiwic3ViIjoicyIsImF1ZCI6WyJhIl0sImV4cCI6MX0.c2ln";
    let mut fields = with_secret(&client, assertion, arm).to_vec();
    fields[2].0 = "client_assertion";
    fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    let answer = local.exchange(TENANT, &fields).await;
    assert_eq!((answer.status, &answer.body["error_codes"]), (400, &json!([70_021])), "{answer:?}");
    let text = answer.body["error_description"].as_str().unwrap();
    assert!(
        text.contains("Assertion Issuer: 'https://i/'. Assertion Subject: 's'. Assertion Audience: 'a'."),
        "{text}"
    );
    // A secret is not federated.
    local.sign_in(&client, &secret).await;
    let answer = local.exchange(TENANT, &fields).await;
    assert_eq!(answer.body["error_codes"], json!([70_025]), "{answer:?}");
}

#[tokio::test]
async fn a_federated_token_without_an_issuer_to_ask_is_not_taken() {
    let mut cluster = cluster();
    let mut credential = FederatedCredential::service_account("default", "tool");
    credential.issuer = Some("https://i/".to_owned());
    credential.subject = "s".to_owned();
    credential.audience = "a".to_owned();
    cluster.identities = vec![Identity::new("c").federated(credential)];
    let settings = Settings { tls: Some(Tls::default()), ..Settings::with_time_scale(FAST) };
    let local = secured(settings, cluster).await;
    // {"alg":"RS256"} and {"iss":"https://i/","sub":"s","aud":["a"],"exp":99999999999}, signed by nobody.
    let assertion =
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2kvIiwic3ViIjoicyIsImF1ZCI6WyJhIl0sImV4cCI6OTk5OTk5OTk5OTl9.c2ln";
    let mut fields = with_secret("c", assertion, "https://management.azure.com/.default").to_vec();
    fields[2].0 = "client_assertion";
    fields.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    let answer = local.exchange(TENANT, &fields).await;
    assert_eq!((answer.status, &answer.body["error_codes"]), (400, &json!([90_061])), "{answer:?}");
}

#[tokio::test]
async fn the_journal_keeps_neither_secrets_nor_tokens() {
    let local = start(Authentication::Required).await;
    let (client, secret) = self::local();
    let token = local.sign_in(&client, &secret).await;
    local.get_with(&local.pool_path("apps"), &format!("Bearer {token}")).await;
    local.exchange("nowhere", &with_secret(&client, &secret, "https://management.azure.com/.default")).await;
    let managed = local.url("/metadata/identity/oauth2/token?resource=https://management.azure.com/");
    local.send_with(Method::GET, &managed, None, &[("metadata", "true")]).await;
    let journal = local.get("/admin/journal").await.body.to_string();
    assert!(journal.contains(&client), "{journal}");
    for secret in [secret.as_str(), token.as_str(), "eyJ"] {
        assert!(!journal.contains(secret), "{journal}");
    }
}

#[tokio::test]
async fn a_machine_gets_the_token_of_its_identity() {
    let local = start(Authentication::Required).await;
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/";
    let refused = local.get(path).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let metadata = [("metadata", "true")];
    let answer = local.send_with(Method::GET, &local.url(path), None, &metadata).await;
    assert_eq!((answer.status, &answer.body["expires_in"]), (200, &json!("3600")), "{answer:?}");
    let bearer = format!("Bearer {}", answer.body["access_token"].as_str().unwrap());
    assert_eq!(local.get_with(&local.pool_path("apps"), &bearer).await.status, 200);
    let named = local.send_with(Method::GET, &local.url(&format!("{path}&client_id={READER}")), None, &metadata).await;
    assert_eq!(named.body["client_id"], READER);
    let unknown = local.send_with(Method::GET, &local.url(&format!("{path}&client_id=no")), None, &metadata).await;
    assert_eq!((unknown.status, &unknown.body["error_description"]), (400, &json!("Identity not found")));
}

#[tokio::test]
async fn tenants_subscriptions_and_groups_are_found() {
    let local = start(Authentication::Off).await;
    let subscription = "/subscriptions/11111111-2222-3333-4444-555555555555";
    let at = |path: &str| format!("{path}?api-version=2022-12-01");
    assert_eq!(local.get(&at("/tenants")).await.body["value"][0]["tenantId"], TENANT);
    let list = local.get(&at("/subscriptions")).await;
    assert_eq!((&list.body["count"]["value"], &list.body["value"][0]["tenantId"]), (&json!(1), &json!(TENANT)));
    assert_eq!(local.get(&at(subscription)).await.body["state"], "Enabled");
    let groups = local.get(&at(&format!("{subscription}/resourcegroups"))).await;
    let names: Vec<&Value> = groups.body["value"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["local", "MC_local_local_westeurope"]);
    let group = format!("{subscription}/resourceGroups/LOCAL");
    assert_eq!(local.get(&at(&group)).await.body["location"], "westeurope");
    assert_eq!(local.send(Method::HEAD, &local.url(&at(&group)), None).await.status, 204);
    let provider = local.get(&at(&format!("{subscription}/providers/Microsoft.ContainerService"))).await;
    assert_eq!(provider.body["registrationState"], "Registered");
    for (path, status, code) in [
        (at("/subscriptions/no"), 404, "SubscriptionNotFound"),
        (at(&format!("{subscription}/resourceGroups/no")), 404, "ResourceGroupNotFound"),
        ("/subscriptions".to_owned(), 400, "MissingApiVersionParameter"),
        ("/subscriptions?api-version=new".to_owned(), 400, "InvalidApiVersionParameter"),
    ] {
        let answer = local.get(&path).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
    assert_eq!(local.send(Method::PUT, &local.url(&at(&group)), None).await.status, 405);
}
