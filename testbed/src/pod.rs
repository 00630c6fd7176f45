//! The operator as a kubelet would run the container of a Pod: its arguments, its environment and its account, as a process
//! of this machine or from an image. Only what one outside of a cluster can't have is another; never what the Pod says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, ServiceAccount};
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use url::Url;

use crate::container::{self, Mounts, Rights};
use crate::operator::{GRACE, NAME, STARTED, new_folder, request_token};
use crate::supervise::Launch;
use crate::{ControlPlane, Door, Image, Operator};

/// The annotation of a service account by which the webhook of workload identity knows its identity.
const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// The label of the pods that the webhook looks at.
const USE: &str = "azure.workload.identity/use";
/// Addresses to listen on. Many processes share this machine, so that each gets ports of its own.
const ADDRESSES: [&str; 2] = ["METRICS_ADDRESS", "HEALTH_ADDRESS"];

/// Where a pod finds what its service account is.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where the webhook of workload identity mounts the token for Azure.
const AZURE: &str = "/var/run/secrets/azure/tokens";

/// What the webhook of workload identity puts into pods that ask for it, beside the client id of their account.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The tenant.
    pub tenant: String,
    /// The authority that gives tokens.
    pub authority: String,
}

impl Operator {
    /// Starts the process of the Pod's container, behind the API server's door.
    ///
    /// # Errors
    /// When the Pod asks for something that this kubelet can't give, or the process can't be started.
    pub async fn start_pod(
        control_plane: &ControlPlane,
        api: &Door,
        program: &Path,
        pod: &Pod,
        webhook: &Webhook,
    ) -> anyhow::Result<Self> {
        let kubelet = Kubelet::begin(control_plane, pod)?;
        let prepared = kubelet.prepare(webhook).await?;
        let mut environment = prepared.environment;
        // A process sees the machine's files, where the container has mounts.
        for value in environment.values_mut() {
            for (mounted, folder) in &prepared.mounts {
                if let Some(file) = value.strip_prefix(mounted.as_str()) {
                    *value = format!("{}{file}", folder.display());
                }
            }
        }
        // In a cluster the address of the API server and a token come with every pod.
        let kubeconfig = kubelet.folder.join("kubeconfig");
        control_plane.write_token_kubeconfig(&kubeconfig, api.url().as_str(), &kubelet.token(&[]).await?)?;
        environment.insert("KUBECONFIG".to_owned(), kubeconfig.to_string_lossy().into_owned());
        let launch = Launch {
            name: NAME.to_owned(),
            program: program.to_owned(),
            arguments: prepared.arguments.into_iter().map(OsString::from).collect(),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            log: kubelet.folder.join("operator.log"),
            grace: GRACE,
        };
        Self::launched(kubelet.client, pod.name_any(), launch)
    }

    /// Starts the Pod's container from an image, with the files, the variables and the rights that the Pod says, at the API
    /// server itself as every pod finds it.
    ///
    /// # Errors
    /// When the Pod asks for something that this kubelet can't give, or the container can't be started.
    pub async fn start_container(
        control_plane: &ControlPlane,
        image: &Image,
        pod: &Pod,
        webhook: &Webhook,
    ) -> anyhow::Result<Self> {
        let kubelet = Kubelet::begin(control_plane, pod)?;
        let mut prepared = kubelet.prepare(webhook).await?;
        kubelet.join_cluster(control_plane, &mut prepared).await?;
        let rights = rights(pod, kubelet.container()?)?;
        let from_image = container::Container {
            name: &pod.name_any(),
            image,
            arguments: &prepared.arguments,
            environment: &prepared.environment,
            mounts: &prepared.mounts,
            rights,
        };
        let launch = from_image.launch(&kubelet.folder)?;
        Self::launched(kubelet.client, pod.name_any(), launch)
    }
}

/// The rights that a Pod gives its container. What a restricted Pod must say is not guessed.
fn rights(pod: &Pod, container: &Container) -> anyhow::Result<Rights> {
    let own = container.security_context.as_ref().context("the container has no securityContext")?;
    let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let shared = shared.context("the Pod has no securityContext")?;
    Ok(Rights {
        user: own.run_as_user.or(shared.run_as_user).context("the Pod has no runAsUser")?,
        group: own.run_as_group.or(shared.run_as_group).context("the Pod has no runAsGroup")?,
        read_only_root: own.read_only_root_filesystem.unwrap_or_default(),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
    })
}

/// What a Pod's container is run with.
struct Prepared {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    mounts: Mounts,
}

struct Kubelet<'a> {
    client: Client,
    pod: &'a Pod,
    folder: PathBuf,
}

impl<'a> Kubelet<'a> {
    fn begin(control_plane: &ControlPlane, pod: &'a Pod) -> anyhow::Result<Self> {
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        Ok(Self { client: control_plane.client(), pod, folder: new_folder(control_plane, number)? })
    }

    async fn prepare(&self, webhook: &Webhook) -> anyhow::Result<Prepared> {
        let container = self.container()?;
        let mut prepared = Prepared {
            arguments: container.args.clone().unwrap_or_default(),
            environment: self.environment(container)?,
            mounts: self.mounts(container).await?,
        };
        self.mutate(webhook, &mut prepared).await?;
        for (name, value) in &mut prepared.environment {
            if ADDRESSES.contains(&name.as_str()) && !value.is_empty() {
                "127.0.0.1:0".clone_into(value);
            }
        }
        Ok(prepared)
    }

    /// What every pod has: the API server's address and authority, and a token of its account.
    async fn join_cluster(&self, control_plane: &ControlPlane, prepared: &mut Prepared) -> anyhow::Result<()> {
        let address = Url::parse(control_plane.url()).context("the API server's address is no URL")?;
        let (host, port) = address.host_str().zip(address.port()).context("the API server's address has no port")?;
        prepared.environment.insert("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned());
        prepared.environment.insert("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string());
        let token = self.token(&[]).await?;
        let files = [
            ("ca.crt", control_plane.authority_certificate()),
            ("namespace", &self.namespace()),
            ("token", token.as_str()),
        ];
        prepared.mounts.insert(ACCOUNT.to_owned(), self.mounted("account", &files)?);
        Ok(())
    }

    /// A folder with these files.
    fn mounted(&self, name: &str, files: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
        }
        Ok(folder)
    }

    fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }

    fn container(&self) -> anyhow::Result<&Container> {
        let containers = self.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        containers.first().with_context(|| format!("pod {} has no container", self.pod.name_any()))
    }

    fn environment(&self, container: &Container) -> anyhow::Result<BTreeMap<String, String>> {
        let variables = container.env.iter().flatten();
        variables.map(|variable| Ok((variable.name.clone(), self.value(variable)?))).collect()
    }

    fn value(&self, variable: &EnvVar) -> anyhow::Result<String> {
        let Some(source) = &variable.value_from else { return Ok(variable.value.clone().unwrap_or_default()) };
        let field = source.field_ref.as_ref().map(|field| field.field_path.as_str());
        match field {
            Some("metadata.name") => Ok(self.pod.name_any()),
            Some("metadata.namespace") => Ok(self.namespace()),
            _ => bail!("variable {} comes from something that this kubelet does not know: {source:?}", variable.name),
        }
    }

    /// The folders with the files of `ConfigMap` objects, by where the container has them.
    async fn mounts(&self, container: &Container) -> anyhow::Result<Mounts> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace());
        let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut mounts = BTreeMap::new();
        for volume in volumes {
            let Some(source) = &volume.config_map else { continue };
            let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == volume.name);
            let mount = mount.with_context(|| format!("volume {} is mounted nowhere", volume.name))?;
            let map = maps.get(&source.name).await.with_context(|| format!("ConfigMap {} is missing", source.name))?;
            let mut files = Vec::new();
            for item in source.items.iter().flatten() {
                let text = map.data.as_ref().and_then(|data| data.get(&item.key));
                let text = text.with_context(|| format!("ConfigMap {} has no key {}", source.name, item.key))?;
                files.push((item.path.as_str(), text.as_str()));
            }
            let folder = self.mounted(&volume.name, &files)?;
            mounts.insert(mount.mount_path.clone(), folder);
        }
        Ok(mounts)
    }

    /// What the webhook of workload identity does with a pod that asks for it. What is set stays.
    async fn mutate(&self, webhook: &Webhook, prepared: &mut Prepared) -> anyhow::Result<()> {
        if self.pod.labels().get(USE).is_none_or(|asked| asked != "true") {
            return Ok(());
        }
        let account = self.accounts().get(&self.account()).await.context("the Pod's service account can't be read")?;
        let token = self.token(&["api://AzureADTokenExchange"]).await?;
        prepared.mounts.insert(AZURE.to_owned(), self.mounted("azure", &[("azure-identity-token", &token)])?);
        for (name, value) in [
            ("AZURE_CLIENT_ID", account.annotations().get(CLIENT_ID).cloned().unwrap_or_default()),
            ("AZURE_TENANT_ID", webhook.tenant.clone()),
            ("AZURE_AUTHORITY_HOST", webhook.authority.clone()),
            ("AZURE_FEDERATED_TOKEN_FILE", format!("{AZURE}/azure-identity-token")),
        ] {
            prepared.environment.entry(name.to_owned()).or_insert(value);
        }
        Ok(())
    }

    fn accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn account(&self) -> String {
        self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
    }

    /// A token of the Pod's account that ends with the Pod.
    async fn token(&self, audiences: &[&str]) -> anyhow::Result<String> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "name": self.pod.name_any(), "uid": self.pod.uid()});
        let spec = json!({"audiences": audiences, "expirationSeconds": 86_400, "boundObjectRef": pod});
        request_token(&self.accounts(), &self.account(), spec).await
    }
}
