//! The operator signs in as the machine that it runs on, and as the Azure CLI of a person does. The metadata service has
//! an address that no test can have: its request is caught as a proxy would.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use aks_emulator::Identity;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::Lane;

use super::server::{Reply, Server};
use super::sign_in::{CLIENT, SECRET, Signed, TENANT, acts_and_is_let, identity, says_why};
use super::support::{Scene, Story, story};

/// Where every machine of Azure finds its metadata service.
const IMDS: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

pub fn stories() -> Vec<Story> {
    vec![
        story("sign_in_with_the_identity_of_the_machine", metadata_service),
        story("sign_in_with_an_identity_that_is_assigned_to_the_machine", assigned),
        story("say_that_an_identity_is_not_assigned_to_the_machine", not_assigned),
        story("sign_in_as_the_azure_cli_is_signed_in", azure_cli),
        story("say_that_the_azure_cli_is_not_signed_in", azure_cli_without_login),
    ]
}

impl Signed {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.bed.emulator.endpoint())
    }

    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let authority = reqwest::Certificate::from_pem(&std::fs::read(self.file("ca.crt"))?)?;
        Ok(reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build()?)
    }

    /// Makes an `az` that notes what it is asked and does this; returns a search path that finds it first.
    fn azure_cli(&self, does: &str) -> anyhow::Result<String> {
        let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\n{does}\n", self.file("asked"));
        std::fs::write(self.file("az"), script)?;
        std::fs::set_permissions(self.file("az"), std::fs::Permissions::from_mode(0o755))?;
        Ok(format!("{}:/usr/bin:/bin", self.files.path().display()))
    }
}

async fn metadata_service(lane: Lane) -> anyhow::Result<Scene> {
    let signed = Signed::start(lane, identity()?).await?;
    let arm = signed.bed.emulator.endpoint().as_str().trim_end_matches('/').to_owned();
    let query = [("api-version", "2019-08-01"), ("resource", &arm)];
    let url = reqwest::Url::parse_with_params(&signed.url("metadata/identity/oauth2/token"), query)?;
    let answer = signed.client()?.get(url).header("metadata", "true").send().await?.error_for_status()?.bytes().await?;
    let asks = format!("GET {IMDS}?api-version=2019-08-01&resource=");
    let metadata = Server::choosing(move |head| {
        let has_header = head.lines().any(|line| line.eq_ignore_ascii_case("metadata: true"));
        if head.starts_with(&asks) && has_header && !head.contains("client_id=") {
            Reply::whole("200 OK", &["content-type: application/json"], &answer)
        } else {
            Reply::whole("400 Bad Request", &[], "")
        }
    })
    .await;
    let variables = [("AZURE_CLIENT_ID", ""), ("HTTP_PROXY", metadata.endpoint()), ("NO_PROXY", "127.0.0.1,localhost")];
    let (scene, files) = signed.operator_with("managed", &variables).await?;
    let scene = acts_and_is_let(scene, files).await?;
    ensure!(metadata.requests().len() == 1, "a token is had once: {:?}", metadata.requests());
    Ok(scene)
}

async fn with_assigned(lane: Lane, client: &str) -> anyhow::Result<(Scene, tempfile::TempDir)> {
    let signed = Signed::start(lane, identity()?).await?;
    let endpoint = signed.url("metadata/identity/oauth2/token");
    let variables = [("AZURE_CLIENT_ID", client), ("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", SECRET)];
    signed.operator_with("managed", &variables).await
}

async fn assigned(lane: Lane) -> anyhow::Result<Scene> {
    let (scene, files) = with_assigned(lane, CLIENT).await?;
    let scene = acts_and_is_let(scene, files).await?;
    let asked = scene.bed.emulator.journal().only(|exchange| exchange.path.starts_with("/metadata/identity"));
    ensure!(asked.len() == 1 && asked.iter().all(|exchange| exchange.query.contains(CLIENT)), "{asked:?}");
    Ok(scene)
}

async fn not_assigned(lane: Lane) -> anyhow::Result<Scene> {
    let (scene, files) = with_assigned(lane, "99999999-0000-0000-0000-000000000000").await?;
    says_why(scene, files, &["has not been assigned to this resource", "correct AZURE_CLIENT_ID"]).await
}

async fn azure_cli(lane: Lane) -> anyhow::Result<Scene> {
    let signed = Signed::start(lane, identity()?.secret(SECRET)).await?;
    let arm = signed.bed.emulator.endpoint().as_str().trim_end_matches('/').to_owned();
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&scope=https://management.azure.com/.default"
    );
    let request = signed.client()?.post(signed.url(&format!("{TENANT}/oauth2/v2.0/token"))).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let token: Value = serde_json::from_slice(&request.send().await?.error_for_status()?.bytes().await?)?;
    let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + Duration::from_mins(50);
    let answer = json!({
        "accessToken": token["access_token"], "expires_on": expires.as_secs(), "tenant": TENANT, "tokenType": "Bearer",
    });
    std::fs::write(signed.file("answer"), answer.to_string())?;
    let path = signed.azure_cli(&format!("cat '{}'", signed.file("answer")))?;
    let (scene, files) = signed.operator_with("cli", &[("PATH", &path)]).await?;
    let asked = files.path().join("asked");
    scene.apply(super::support::policy("apps", json!({"count": 2}))).await?;
    scene.ready("apps").await?;
    let asked = std::fs::read_to_string(asked).context("az was not asked")?;
    ensure!(asked == format!("account get-access-token -o json --scope {arm}/.default --tenant {TENANT}\n"), "{asked}");
    acts_and_is_let(scene, files).await
}

async fn azure_cli_without_login(lane: Lane) -> anyhow::Result<Scene> {
    let signed = Signed::start(lane, Identity::new(CLIENT)).await?;
    let path = signed.azure_cli("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1")?;
    let (scene, files) = signed.operator_with("cli", &[("PATH", &path)]).await?;
    says_why(scene, files, &["Please run 'az login'", "can't sign in to Azure"]).await
}
