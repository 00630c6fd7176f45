//! Workload identity end to end: service account tokens of a real API server, Azure's own credential, and an emulator
//! that asks for access tokens.

use std::path::Path;
use std::sync::Arc;

use aks_emulator::{Authentication, FederatedCredential, Identity, PoolSpec, Tls};
use anyhow::{Context as _, ensure};
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential as _;
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{ClientAssertionCredentialOptions, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use testbed::control_plane::DEFAULT_ISSUER;
use testbed::{ControlPlane, KubeSystem, Lanes, Testbed};

const CLIENT: &str = "44444444-5555-6666-7777-888888888888";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const ACCOUNT: &str = "signs-in";
const OTHER_ACCOUNT: &str = "signs-in-not";

/// A cluster whose ARM takes tokens of one identity, which one service account may have.
async fn cluster(lanes: &Lanes) -> anyhow::Result<Testbed> {
    let identity = Identity::new(CLIENT).federated(FederatedCredential::service_account("default", ACCOUNT));
    let bed = Testbed::builder(lanes.lease().await?)
        .pool(PoolSpec::system("system", 1))
        .kube_system(KubeSystem::None)
        .emulator(|settings| {
            settings.tls = Some(Tls::default());
            settings.authentication = Authentication::Required;
        })
        .cluster(|cluster| cluster.identities = vec![identity])
        .start()
        .await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(bed.cluster.client(), "default");
    for name in [ACCOUNT, OTHER_ACCOUNT] {
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        match accounts.create(&PostParams::default(), &account).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bed)
}

/// What kubelet projects into a pod of this service account.
async fn projected(bed: &Testbed, account: &str, audience: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(bed.cluster.client(), "default");
    let spec = TokenRequestSpec { audiences: vec![audience.to_owned()], ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("the token request has no status")?.token)
}

/// A client that trusts the emulator's authority only.
fn client(bed: &Testbed) -> anyhow::Result<reqwest::Client> {
    let authority = bed.emulator.authority_pem().context("the emulator has no authority")?;
    let authority = reqwest::Certificate::from_pem(authority.as_bytes())?;
    Ok(reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build()?)
}

/// Exchanges a token with Azure's own credential for pods.
async fn exchange(bed: &Testbed, token: &str) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), token)?;
    let mut custom = CustomConfiguration::default();
    custom.authority_host = bed.emulator.endpoint().to_string();
    let client_options = ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
        transport: Some(Transport::new(Arc::new(client(bed)?))),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let credential = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options },
        client_id: Some(CLIENT.to_owned()),
        tenant_id: Some("22222222-3333-4444-5555-666666666666".to_owned()),
        token_file_path: Some(file.path().to_owned()),
    }))?;
    let scope = format!("{}.default", bed.emulator.endpoint());
    let token = credential.get_token(&[&scope], None).await?;
    Ok(token.token.secret().to_owned())
}

pub async fn a_service_account_signs_in_to_arm(lanes: Lanes) -> anyhow::Result<()> {
    let bed = cluster(&lanes).await?;
    let url = format!(
        "{}{}/agentPools/system?api-version=2025-10-01",
        bed.emulator.endpoint().as_str().trim_end_matches('/'),
        bed.emulator.cluster_id()
    );
    let refused = client(&bed)?.get(&url).send().await?;
    ensure!(refused.status() == 401, "{refused:?}");

    let token = exchange(&bed, &projected(&bed, ACCOUNT, AUDIENCE).await?).await?;
    let answer = client(&bed)?.get(&url).bearer_auth(&token).send().await?;
    ensure!(answer.status() == 200, "{answer:?}");
    let pool: Value = answer.json().await?;
    ensure!(pool["properties"]["count"] == 1, "{pool}");
    Ok(())
}

/// A token like a service account's, of which only the key, its id and the time of its end are as given.
fn signed(key: &EncodingKey, id: &str, expiry: u64) -> anyhow::Result<String> {
    let claims = json!({
        "iss": DEFAULT_ISSUER, "aud": [AUDIENCE], "sub": format!("system:serviceaccount:default:{ACCOUNT}"),
        "iat": 1, "nbf": 1, "exp": expiry,
    });
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
    Ok(jsonwebtoken::encode(&header, &claims, key)?)
}

/// The key that signs the service account tokens of a control plane.
fn real_key(control_plane: &ControlPlane) -> anyhow::Result<EncodingKey> {
    let pem = std::fs::read(Path::new(control_plane.folder()).join("service-account.key"))?;
    Ok(EncodingKey::from_rsa_pem(&pem)?)
}

pub async fn tokens_that_do_not_match_are_refused(lanes: Lanes) -> anyhow::Result<()> {
    let bed = cluster(&lanes).await?;
    let good = projected(&bed, ACCOUNT, AUDIENCE).await?;
    let id = jsonwebtoken::decode_header(&good)?.kid.context("the token names no key")?;
    let real = real_key(bed.control_plane())?;
    let pem = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?.serialize_pem();
    let foreign = EncodingKey::from_rsa_pem(pem.as_bytes())?;
    let soon = get_current_timestamp() + 600;
    let (header, rest) = good.split_once('.').context("the token has one part")?;
    let none =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &json!({"exp": soon}), &EncodingKey::from_secret(b"x"))?;

    // A token that was signed here with the real key is as good as one of the API server.
    exchange(&bed, &signed(&real, &id, soon)?).await?;
    for (what, token, code) in [
        ("another subject", projected(&bed, OTHER_ACCOUNT, AUDIENCE).await?, 700_213),
        ("another audience", projected(&bed, ACCOUNT, "https://kubernetes.default.svc").await?, 700_212),
        ("an expired one", signed(&real, &id, get_current_timestamp() - 1)?, 700_024),
        ("one of a foreign key under the real one's name", signed(&foreign, &id, soon)?, 700_027),
        ("one of a foreign key", signed(&foreign, "mine", soon)?, 7_000_272),
        ("another issuer", none, 700_211),
        ("no token", "nonsense".to_owned(), 50_027),
        ("a changed one", format!("{header}.{}", rest.replacen('.', "x.", 1)), 50_027),
    ] {
        let Err(error) = exchange(&bed, &token).await else {
            anyhow::bail!("{what} was taken");
        };
        let text = format!("{error:?}");
        ensure!(text.contains(&format!("AADSTS{code}: ")), "{what}: {text}");
    }
    exchange(&bed, &good).await?;
    Ok(())
}
