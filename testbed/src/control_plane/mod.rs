//! A real Kubernetes control plane of its own: etcd, API server, controllers, scheduler and kwok; never shares a port
//! or a folder with another.

mod components;
pub(crate) mod credentials;
mod folder;
mod probe;
mod start;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use kube::Client;

use crate::assets::{Assets, Binary};
use crate::supervise::Component;
use components::Files;
use credentials::{Authority, User, kubeconfig, write};

/// A service account issuer as AKS reports one: region, tenant, cluster.
pub const DEFAULT_ISSUER: &str = concat!(
    "https://westeurope.oic.prod-aks.azure.com/",
    "00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000002/"
);

/// What may differ between control planes.
#[derive(Debug, Clone)]
pub struct Options {
    /// The executables; `None` finds them, and builds them when they are nowhere.
    pub assets: Option<Assets>,
    /// The service account issuer that the API server reports and puts into tokens.
    pub issuer: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { assets: None, issuer: DEFAULT_ISSUER.to_owned() }
    }
}

/// A running control plane. It ends, and its folder is removed, when this value is dropped; the folder with the logs is
/// kept after a panic or [`keep`](Self::keep).
///
/// Its clients belong to the async runtime in which they were made: stories that share a control plane share one
/// runtime.
pub struct ControlPlane {
    components: Mutex<Vec<Component>>,
    folder: tempfile::TempDir,
    keep: AtomicBool,
    authority: Authority,
    assets: Assets,
    issuer: String,
    url: String,
    client: Client,
}

impl ControlPlane {
    /// Starts one and returns when it has scheduled a pod that then ran.
    ///
    /// # Errors
    /// When an executable is missing and can't be built, or a component ends early or is not ready in time; the message
    /// has the end of that component's log.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        start::start(options).await
    }

    /// A client with all rights, known to the audit log as `testbed-admin`.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with all rights that is known to the API server and its audit log as `user`.
    ///
    /// # Errors
    /// When its certificate can't be made.
    pub fn client_of(&self, user: &str) -> anyhow::Result<Client> {
        let text = self.kubeconfig_text(user)?;
        client_from(&text, user)
    }

    /// The way to the API server as a user with all rights, for who makes a client.
    ///
    /// # Errors
    /// When its certificate can't be made.
    pub fn config_of(&self, user: &str) -> anyhow::Result<kube::Config> {
        let text = self.kubeconfig_text(user)?;
        config_from(&text, user)
    }

    /// The API server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority that vouches for the API server, as PEM.
    #[must_use]
    pub fn authority_certificate(&self) -> &str {
        self.authority.certificate()
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig with all rights.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        Files(self.folder.path()).kubeconfig("admin")
    }

    /// The real kubectl, signed in with all rights. A run ends when its handle is dropped.
    #[must_use]
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.assets.path(Binary::Kubectl));
        command.env("KUBECONFIG", self.kubeconfig()).stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// The executables that it runs on, kubectl among them.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The service account issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The API server's audit log, a JSON event a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        Files(self.folder.path()).audit_log()
    }

    /// The folder with the logs of all components.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder with the logs when the control plane ends, and prints where it is.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::SeqCst);
    }

    /// Fails, with the end of its log, if a component has ended.
    ///
    /// # Errors
    /// When one has.
    pub fn check(&self) -> anyhow::Result<()> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.iter_mut().try_for_each(start::still_runs)
    }

    /// Ends everything but the API server and its store: from now on nodes and pods are what somebody writes. For more of
    /// them than this machine could play kubelets for.
    pub fn stand_still(&self) {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let stores = [Binary::Etcd, Binary::ApiServer].map(Binary::file_name);
        components.retain(|component| stores.contains(&component.name()));
    }

    fn kubeconfig_text(&self, user: &str) -> anyhow::Result<String> {
        let pair = self.authority.client(user, &["system:masters"])?;
        kubeconfig(&self.url, self.authority.certificate(), &User::Certificate(&pair))
    }

    /// A client for another address of the API server (a door) that signs in with `token`.
    pub(crate) fn client_with_token(&self, server: &str, token: &str) -> anyhow::Result<Client> {
        client_from(&kubeconfig(server, self.authority.certificate(), &User::Token(token))?, "the token")
    }

    /// Writes a kubeconfig for another address of the API server (a door) that signs in with `token`.
    pub(crate) fn write_token_kubeconfig(&self, path: &Path, server: &str, token: &str) -> anyhow::Result<()> {
        write(path, &kubeconfig(server, self.authority.certificate(), &User::Token(token))?)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let mut components = std::mem::take(&mut *self.components.lock().unwrap_or_else(PoisonError::into_inner));
        // All end at once; the drop that follows waits for each.
        components.iter_mut().for_each(Component::begin_to_end);
        drop(components);
        if std::thread::panicking() || self.keep.load(Ordering::SeqCst) {
            self.folder.disable_cleanup(true);
            folder::mark_kept(self.folder.path());
            eprintln!("testbed: the control plane's logs are kept in {}", self.folder.path().display());
        }
    }
}

fn client_from(kubeconfig: &str, user: &str) -> anyhow::Result<Client> {
    Client::try_from(config_from(kubeconfig, user)?).with_context(|| format!("no client could be made for {user}"))
}

fn config_from(kubeconfig: &str, user: &str) -> anyhow::Result<kube::Config> {
    let read = kube::config::Kubeconfig::from_yaml(kubeconfig).context("the testbed's kubeconfig can't be read")?;
    // All that it reads is in the text, so that nothing is waited for.
    futures::executor::block_on(kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()))
        .with_context(|| format!("the kubeconfig of {user} can't be used"))
}
