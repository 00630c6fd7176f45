//! A client that signs in: neither its token nor its secret ever goes anywhere else, and a broken sign-in is told.

use std::sync::Arc;

use aks_emulator::{
    Authentication as Required, Canned, ClusterSpec, Emulator, Identity, Matcher, NoNodes, PoolSpec, Settings, Tls,
};
use nodepool_operator::arm::{ArmClient, ArmError, ArmOptions, Authentication, SignIn};
use tempfile::TempDir;

use crate::server::{Reply, Server};
use crate::support::{approved, options, permit, provider};

const CLIENT: &str = "44444444-5555-6666-7777-888888888888";
const TENANT: &str = "22222222-3333-4444-5555-666666666666";
const SECRET: &str = "a-secret-that-nobody-may-read";

/// An emulator that wants tokens, over TLS, a client of it that has a secret, and the files that it needs.
async fn start() -> (Emulator, ArmClient, TempDir) {
    provider();
    let settings =
        Settings { tls: Some(Tls::default()), authentication: Required::Required, ..Settings::with_time_scale(1e6) };
    let mut cluster = ClusterSpec::with_pools([PoolSpec::system("system", 2), PoolSpec::user("apps", 2)]);
    cluster.identities = vec![Identity::new(CLIENT).secret(SECRET)];
    let emulator = Emulator::start(settings, cluster, Arc::new(NoNodes::new())).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let (authority, secret) = (files.path().join("ca.crt"), files.path().join("secret"));
    std::fs::write(&authority, emulator.authority_pem().unwrap()).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let plain = options(emulator.endpoint().as_str(), emulator.cluster_id());
    let sign_in = SignIn {
        authentication: Authentication::Secret,
        authority: Some(emulator.endpoint().clone()),
        tenant: Some(TENANT.into()),
        client_id: Some(CLIENT.into()),
        secret_file: Some(secret),
        ..plain.sign_in.clone()
    };
    let client = ArmClient::new(ArmOptions { sign_in, ca_file: Some(authority), ..plain }).unwrap();
    (emulator, client, files)
}

fn elsewhere(status: u16, server: &Server) -> Canned {
    Canned::text(status, "text/plain", "").header("location", &format!("{}stolen", server.endpoint()))
}

#[tokio::test]
async fn a_token_does_not_follow_a_redirect() {
    let (emulator, client, _files) = start().await;
    let other = Server::start(Reply::whole("200 OK", &[], "{}")).await;
    client.cluster().await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        let _away = emulator.respond(Matcher::any().path_contains("/subscriptions/"), elsewhere(status, &other), None);
        let (approved, write) = approved();
        let read = client.cluster().await.unwrap_err();
        let written = client.put_pool(&approved, &write, permit()).await.unwrap_err();
        for error in [read, written] {
            assert!(matches!(error, ArmError::Redirected { status: told, .. } if told == status), "{error}");
        }
    }
    assert_eq!(other.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_does_not_follow_a_redirect() {
    let (emulator, client, _files) = start().await;
    let other = Server::start(Reply::whole("200 OK", &[], "{}")).await;
    for status in [302, 307, 308] {
        let _away = emulator.respond(Matcher::method("POST"), elsewhere(status, &other), None);
        let error = client.cluster().await.unwrap_err();
        assert!(matches!(error, ArmError::SignIn { .. }) && !error.outcome_unknown(), "{error}");
    }
    assert_eq!(other.requests(), Vec::<String>::new());
    client.cluster().await.unwrap();
}

#[tokio::test]
async fn a_broken_answer_of_the_authority_is_a_failed_sign_in_that_tells_no_secret() {
    let (emulator, client, _files) = start().await;
    let long = format!("<html>\n{}</html>", "x".repeat(50_000));
    for canned in [
        Canned::text(200, "text/html", &long),
        Canned::text(200, "application/json", r#"{"access_token": 7}"#),
        Canned::text(400, "text/html", &long),
        Canned::text(401, "application/json", ""),
    ] {
        let _odd = emulator.respond(Matcher::method("POST"), canned.clone(), None);
        let error = client.cluster().await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, ArmError::SignIn { .. }), "{canned:?}: {said}");
        assert!(said.starts_with("can't sign in to Azure: ") && said.contains("To do: "), "{said}");
        assert!(!said.contains('\n') && said.chars().count() < 2500 && !said.contains(SECRET), "{said}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
}
