//! The operator signs in to Azure as it would in a cluster: over TLS, at an ARM that takes no request without a token.

use aks_emulator::{Authentication, FederatedCredential, Identity, PoolSpec, Tls};
use anyhow::{Context as _, ensure};
use nodepool_operator::api::condition;
use serde_json::json;
use tempfile::TempDir;
use testbed::{KubeSystem, Lane, Operator, Testbed, azure, wait_for};

use super::support::{DEADLINE, QUICK, Scene, Story, binary, message, policy, story};

pub const CLIENT: &str = "44444444-5555-6666-7777-888888888888";
pub const TENANT: &str = "22222222-3333-4444-5555-666666666666";
pub const SECRET: &str = "a-secret-that-nobody-may-read";

/// An identity with the role that the operator is to have.
pub fn identity() -> anyhow::Result<Identity> {
    Ok(Identity::new(CLIENT).role(&azure::role()?))
}

pub fn stories() -> Vec<Story> {
    vec![
        story("sign_in_with_the_service_account_and_act_within_the_documented_role", workload),
        story("sign_in_with_a_client_secret", client_secret),
        story("say_which_action_is_missing_on_which_scope", role_without_write),
        story("say_why_azure_takes_no_token_of_this_service_account", other_subject),
    ]
}

/// A cluster whose ARM takes only this identity, and the files that a pod would have.
pub struct Signed {
    pub bed: Testbed,
    pub files: TempDir,
}

impl Signed {
    pub async fn start(lane: Lane, identity: Identity) -> anyhow::Result<Self> {
        let builder = Testbed::builder(lane).kube_system(KubeSystem::None).emulator(|settings| {
            settings.tls = Some(Tls::default());
            settings.authentication = Authentication::Required;
        });
        let builder = builder.cluster(|cluster| cluster.identities = vec![identity]);
        let bed = builder.pool(PoolSpec::system("system", 2)).pool(PoolSpec::user("apps", 1)).start().await?;
        let files = tempfile::tempdir()?;
        let authority = bed.emulator.authority_pem().context("the emulator has no authority")?;
        std::fs::write(files.path().join("ca.crt"), authority)?;
        std::fs::write(files.path().join("secret"), SECRET)?;
        let token = Operator::projected_token(bed.control_plane(), "api://AzureADTokenExchange").await?;
        std::fs::write(files.path().join("token"), token)?;
        Ok(Self { bed, files })
    }

    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_string_lossy().into_owned()
    }

    /// Starts the operator with the settings that every way needs, by the variables that a pod has.
    async fn operator(self, way: &str) -> anyhow::Result<(Scene, TempDir)> {
        self.operator_with(way, &[]).await
    }

    /// The same with further variables, which count more.
    pub async fn operator_with(self, way: &str, variables: &[(&str, &str)]) -> anyhow::Result<(Scene, TempDir)> {
        let endpoint = self.bed.emulator.endpoint().as_str();
        let options = self.bed.operator_options(binary()).signing_in_at(endpoint).arguments(&QUICK);
        let options = options
            .environment("AZURE_AUTH", way)
            .environment("AZURE_AUTHORITY_HOST", endpoint)
            .environment("AZURE_TENANT_ID", TENANT)
            .environment("AZURE_CLIENT_ID", CLIENT)
            .environment("AZURE_FEDERATED_TOKEN_FILE", &self.file("token"))
            .environment("AZURE_CLIENT_SECRET_FILE", &self.file("secret"))
            .environment("AZURE_CA_FILE", &self.file("ca.crt"));
        let options = variables.iter().fold(options, |options, (name, value)| options.environment(name, value));
        let operator = self.bed.start_operator(options).await?;
        Ok((Scene::of(self.bed, operator), self.files))
    }
}

pub fn of_the_operator() -> FederatedCredential {
    FederatedCredential::service_account("nodepool-operator", "nodepool-operator")
}

/// Nothing that opens a door is in what the operator wrote.
pub fn keeps_secrets(scene: &Scene, files: &TempDir) -> anyhow::Result<()> {
    let log = scene.operator.log();
    let assertion = std::fs::read_to_string(files.path().join("token"))?;
    for secret in [SECRET, &assertion, "Bearer ey", "client_assertion"] {
        ensure!(!log.contains(secret), "the log holds a credential");
    }
    Ok(())
}

pub async fn acts_and_is_let(scene: Scene, files: TempDir) -> anyhow::Result<Scene> {
    scene.apply(policy("apps", json!({"labels": {"team": "shop"}, "count": 2}))).await?;
    scene.ready("apps").await?;
    let refused: Vec<_> = scene
        .bed
        .emulator
        .journal()
        .by_user_agent("nodepool-operator")
        .iter()
        .filter(|exchange| exchange.status.is_some_and(|status| status >= 400))
        .cloned()
        .collect();
    ensure!(refused.is_empty(), "{refused:?}");
    ensure!(scene.in_arm("apps", "count") == 2);
    keeps_secrets(&scene, &files)?;
    Ok(scene)
}

async fn workload(lane: Lane) -> anyhow::Result<Scene> {
    let identity = identity()?.federated(of_the_operator());
    let (scene, files) = Signed::start(lane, identity).await?.operator("workload").await?;
    acts_and_is_let(scene, files).await
}

async fn client_secret(lane: Lane) -> anyhow::Result<Scene> {
    let identity = identity()?.secret(SECRET);
    let (scene, files) = Signed::start(lane, identity).await?.operator("secret").await?;
    acts_and_is_let(scene, files).await
}

async fn role_without_write(lane: Lane) -> anyhow::Result<Scene> {
    let write = "Microsoft.ContainerService/managedClusters/agentPools/write";
    let mut identity = identity()?.federated(of_the_operator());
    identity.actions.retain(|action| action != write);
    let (scene, files) = Signed::start(lane, identity).await?.operator("workload").await?;
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    let status = scene.stalled("apps", "WriteFailed").await?;
    let said = message(&status, condition::STALLED);
    let scope = format!("{}/agentPools/apps", scene.bed.emulator.cluster_id());
    ensure!(said.contains("AuthorizationFailed") && said.contains(&format!("the action {write} on {scope}")), "{said}");
    ensure!(said.contains("the operator tries again"), "{said}");
    keeps_secrets(&scene, &files)?;
    Ok(scene.in_which_rights_are_missing())
}

async fn other_subject(lane: Lane) -> anyhow::Result<Scene> {
    let other = FederatedCredential::service_account("nodepool-operator", "default");
    let (scene, files) =
        Signed::start(lane, Identity::new(CLIENT).federated(other)).await?.operator("workload").await?;
    says_why(scene, files, &["AADSTS700213", "compare its issuer, subject and audience"]).await
}

/// Waits until the log has all of this, and sees that nothing was written.
pub async fn says_why(scene: Scene, files: TempDir, parts: &[&str]) -> anyhow::Result<Scene> {
    scene.apply(policy("apps", json!({"count": 2}))).await?;
    wait_for("the log to say why", DEADLINE, async || {
        let log = scene.operator.log();
        let told = parts.iter().all(|part| log.contains(part));
        Ok(if told { Ok(()) } else { Err(scene.operator.log_tail(5)) })
    })
    .await?;
    ensure!(scene.writes().is_empty());
    keeps_secrets(&scene, &files)?;
    Ok(scene)
}
