//! The operator as a process of its own, with the rights that its manifests give it and nothing more; never in this
//! process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::manifests::{apply, apply_definition};
use crate::supervise::{Component, Launch, Memory};
use crate::wait::wait_for;
use crate::{ControlPlane, Door};

/// The namespace and the name of the operator's service account.
pub(crate) const NAME: &str = "nodepool-operator";

/// The operator's user, as audit logs name it.
pub const OPERATOR_USER: &str = "system:serviceaccount:nodepool-operator:nodepool-operator";

/// Time for the step in hand when it is told to end.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// The group of the operator's own objects.
const GROUP: &str = "aks.nodepool.dev";

/// How long a namespace may take to go with all that is in it.
const REMOVAL: Duration = Duration::from_mins(2);

pub(crate) static STARTED: AtomicUsize = AtomicUsize::new(0);

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// The operator's executable.
    pub binary: PathBuf,
    /// The checkout whose manifests are installed; by default this one.
    pub checkout: PathBuf,
    /// Resource id of the cluster that it is told it runs in.
    pub cluster_resource_id: String,
    /// ARM's endpoint, reached with a sign-in that the arguments describe. Without one it is the ARM door, and no sign-in.
    pub arm: Option<String>,
    /// The API server's address. Without one it is the API server's door.
    pub api_server: Option<String>,
    /// Arguments after those that the testbed gives: `run`, the resource id, the endpoint and, at the door, no sign-in.
    pub arguments: Vec<String>,
    /// Environment variables beside `KUBECONFIG`, those of the pod and the addresses that it listens on.
    pub environment: Vec<(String, String)>,
}

impl OperatorOptions {
    /// With nothing beyond what is needed.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, cluster_resource_id: impl Into<String>) -> Self {
        Self {
            binary: binary.into(),
            checkout: this_checkout(),
            cluster_resource_id: cluster_resource_id.into(),
            arm: None,
            api_server: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The same at an ARM that asks for a sign-in, past the door.
    #[must_use]
    pub fn signing_in_at(mut self, arm: &str) -> Self {
        self.arm = Some(arm.to_owned());
        self
    }

    /// The same at the API server itself, past its door.
    #[must_use]
    pub fn at_api_server(mut self, url: &str) -> Self {
        self.api_server = Some(url.to_owned());
        self
    }

    /// The same with further arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The same with a further environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running operator. It is told to end when this value is dropped.
pub struct Operator {
    client: Client,
    pod: String,
    launch: Launch,
    component: Component,
}

impl Operator {
    /// Installs what the operator needs, as [`install`] does, and starts it behind both doors.
    ///
    /// # Errors
    /// When something can't be installed or the process can't be started. Whether it works shows in the cluster and in
    /// its log.
    pub async fn start(
        control_plane: &ControlPlane,
        api: &Door,
        arm: &Door,
        options: OperatorOptions,
    ) -> anyhow::Result<Self> {
        let client = control_plane.client();
        install_from(&client, &options.checkout).await?;
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let folder = new_folder(control_plane, number)?;
        let kubeconfig = folder.join("kubeconfig");
        let token = token(&client, &[]).await?;
        let server = options.api_server.as_deref().unwrap_or(api.url().as_str());
        control_plane.write_token_kubeconfig(&kubeconfig, server, &token)?;
        let pod = format!("{NAME}-{number}");
        let launch = launch(&pod, &folder, &kubeconfig, arm, options);
        Self::launched(client, pod, launch)
    }

    /// Started so, with whatever is installed, as the process of this pod.
    pub(crate) fn launched(client: Client, pod: String, launch: Launch) -> anyhow::Result<Self> {
        let component = Component::start(launch.clone())?;
        Ok(Self { client, pod, launch, component })
    }

    /// Whether this is the name under which it holds the lease: that of its pod, and something for each process.
    #[must_use]
    pub fn is_called(&self, holder: &str) -> bool {
        holder.strip_prefix(&self.pod).is_some_and(|process| process.starts_with('_'))
    }

    /// The lease by which replicas agree on which of them works.
    #[must_use]
    pub fn lease(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), NAME)
    }

    /// A token of the operator's service account for another audience, as kubelet would project it into the pod.
    ///
    /// # Errors
    /// When the operator's objects can't be installed, or the API server grants no token.
    pub async fn projected_token(control_plane: &ControlPlane, audience: &str) -> anyhow::Result<String> {
        let client = control_plane.client();
        install(&client).await?;
        token(&client, &[audience]).await
    }

    /// Everything that it wrote so far, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        self.component.log()
    }

    /// The file that it writes to.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        self.component.log_file()
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.component.log_tail(lines)
    }

    /// What it keeps in memory.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        self.component.memory()
    }

    /// The processor time that its present process took.
    ///
    /// # Errors
    /// When it does not run.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        self.component.processor_time()
    }

    /// Its exit code if it has ended: its own, or 128 plus the number of the signal that ended it.
    ///
    /// # Errors
    /// When its state can't be read.
    pub fn exited(&mut self) -> anyhow::Result<Option<i32>> {
        self.component.exited()
    }

    /// Sends SIGTERM, waits and returns the exit code.
    ///
    /// # Errors
    /// When it has not ended after 20 seconds.
    pub async fn terminate(&mut self) -> anyhow::Result<i32> {
        self.component.terminate(GRACE).await
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// When the end is not seen in time.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.component.kill().await.map(drop)
    }

    /// Sends SIGSTOP: it does nothing until it goes on.
    pub fn pause(&mut self) {
        self.component.pause();
    }

    /// Sends SIGCONT.
    pub fn go_on(&mut self) {
        self.component.go_on();
    }

    /// Waits until it ends by itself and returns its exit code.
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        self.component.wait(deadline).await
    }

    /// Starts it again as before, after it has ended or been ended; one that runs is told to end first. A lease that it left
    /// behind counts as run out.
    ///
    /// # Errors
    /// When the one that runs does not end, or the new one can't be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.exited()?.is_none() {
            self.terminate().await?;
        }
        let left = self.lease().get_opt(NAME).await?.and_then(|lease| lease.spec?.holder_identity);
        if left.is_some_and(|holder| self.is_called(&holder)) {
            self.lease().delete(NAME, &DeleteParams::default()).await?;
        }
        self.component = Component::start(self.launch.clone())?;
        Ok(())
    }
}

/// Applies the operator's namespace, service account and roles as the chart renders them, and the definitions, from the
/// checkout, and waits until the definitions are served.
///
/// # Errors
/// When a manifest can't be read or applied.
pub async fn install(client: &Client) -> anyhow::Result<()> {
    install_from(client, &this_checkout()).await
}

fn this_checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

async fn install_from(client: &Client, root: &Path) -> anyhow::Result<()> {
    apply(client, &read(&root.join("deploy/base/namespace.yaml"))?).await?;
    let definitions = root.join("crds");
    let entries =
        std::fs::read_dir(&definitions).with_context(|| format!("folder {} can't be read", definitions.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            apply_definition(client, &read(&path)?).await?;
        }
    }
    for manifest in ["serviceaccount.yaml", "rbac.yaml"] {
        apply(client, &read(&root.join("deploy/base").join(manifest))?).await?;
    }
    Ok(())
}

/// Takes away all that [`install`] or the chart installs, and waits until it is gone: the namespace with what is in it, the
/// roles of the whole cluster and the definitions.
///
/// # Errors
/// When something is still there in the end, such as a definition whose objects have finalizers.
pub async fn remove(client: &Client) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let all = definitions.list(&ListParams::default()).await.context("definitions can't be listed")?.items;
    let own: Vec<String> = all.into_iter().filter(|it| it.spec.group == GROUP).map(|it| it.name_any()).collect();
    wait_for("what the operator needs to be gone", REMOVAL, async || {
        let mut left = Vec::new();
        left.extend(delete(&roles, NAME).await?);
        left.extend(delete(&bindings, NAME).await?);
        left.extend(delete(&namespaces, NAME).await?);
        for name in &own {
            left.extend(delete(&definitions, name).await?);
        }
        Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
    })
    .await
}

/// Deletes an object, and tells its name if it was still there.
async fn delete<K>(api: &Api<K>, name: &str) -> anyhow::Result<Option<String>>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        // One that is going already.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Some(name.to_owned())),
        other => other.map(|_| Some(name.to_owned())).with_context(|| format!("{name} can't be deleted")),
    }
}

/// A client with the operator's rights that reaches the API server through a door. The operator must be installed.
///
/// # Errors
/// When the API server grants no token.
pub async fn client_through(control_plane: &ControlPlane, door: &Door) -> anyhow::Result<Client> {
    control_plane.client_with_token(door.url().as_str(), &token(&control_plane.client(), &[]).await?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("manifest {} can't be read", path.display()))
}

/// A folder of its own for an operator's process.
pub(crate) fn new_folder(control_plane: &ControlPlane, number: usize) -> anyhow::Result<PathBuf> {
    let folder = control_plane.folder().join(format!("operator-{number}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("folder {} can't be made", folder.display()))?;
    Ok(folder)
}

async fn token(client: &Client, audiences: &[&str]) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAME);
    request_token(&accounts, NAME, json!({"audiences": audiences, "expirationSeconds": 86_400})).await
}

/// A token of a service account, as `spec` of a `TokenRequest` asks for it.
pub(crate) async fn request_token(accounts: &Api<ServiceAccount>, name: &str, spec: Value) -> anyhow::Result<String> {
    let request: TokenRequest = serde_json::from_value(json!({ "spec": spec }))?;
    let granted = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .context("the operator's token was refused")?;
    Ok(granted.status.context("the API server granted no token")?.token)
}

fn launch(pod: &str, folder: &Path, kubeconfig: &Path, arm: &Door, options: OperatorOptions) -> Launch {
    let mut arguments: Vec<OsString> =
        vec!["run".into(), "--cluster-resource-id".into(), options.cluster_resource_id.into(), "--arm-endpoint".into()];
    match options.arm {
        Some(endpoint) => arguments.push(endpoint.into()),
        None => arguments.extend([arm.url().as_str().into(), "--azure-auth".into(), "none".into()]),
    }
    arguments.extend(options.arguments.into_iter().map(OsString::from));
    let mut environment: Vec<(OsString, OsString)> = vec![
        ("KUBECONFIG".into(), kubeconfig.into()),
        ("POD_NAMESPACE".into(), NAME.into()),
        ("POD_NAME".into(), pod.into()),
        // Many run side by side: each has ports of its own, which its log tells.
        ("METRICS_ADDRESS".into(), "127.0.0.1:0".into()),
        ("HEALTH_ADDRESS".into(), "127.0.0.1:0".into()),
    ];
    environment.extend(options.environment.into_iter().map(|(name, value)| (name.into(), value.into())));
    Launch {
        name: NAME.to_owned(),
        program: options.binary,
        arguments,
        environment,
        log: folder.join("operator.log"),
        grace: GRACE,
    }
}
