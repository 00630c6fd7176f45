//! The operator's process as a kubelet would run the container of a Pod: its arguments, its environment and its account.
//! Only what a process outside of a cluster can't have is another; never what the Pod says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, ServiceAccount};
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::operator::{GRACE, NAME, STARTED, new_folder, request_token};
use crate::supervise::Launch;
use crate::{ControlPlane, Door, Operator};

/// The annotation of a service account by which the webhook of workload identity knows its identity.
const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// The label of the pods that the webhook looks at.
const USE: &str = "azure.workload.identity/use";
/// Addresses to listen on. Many processes share this machine, so that each gets ports of its own.
const ADDRESSES: [&str; 2] = ["METRICS_ADDRESS", "HEALTH_ADDRESS"];

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
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let kubelet = Kubelet { client: control_plane.client(), pod, folder: new_folder(control_plane, number)? };
        let container = kubelet.container()?;
        let mut environment = kubelet.environment(container).await?;
        kubelet.mutate(webhook, &mut environment).await?;
        // In a cluster the address of the API server and a token come with every pod.
        let kubeconfig = kubelet.folder.join("kubeconfig");
        control_plane.write_token_kubeconfig(&kubeconfig, api.url().as_str(), &kubelet.token(&[]).await?)?;
        environment.insert("KUBECONFIG".to_owned(), kubeconfig.to_string_lossy().into_owned());
        for (name, value) in &mut environment {
            if ADDRESSES.contains(&name.as_str()) && !value.is_empty() {
                "127.0.0.1:0".clone_into(value);
            }
        }
        let arguments = container.args.iter().flatten().map(OsString::from).collect();
        let launch = Launch {
            name: NAME.to_owned(),
            program: program.to_owned(),
            arguments,
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            log: kubelet.folder.join("operator.log"),
            grace: GRACE,
        };
        Self::launched(kubelet.client, pod.name_any(), launch)
    }
}

struct Kubelet<'a> {
    client: Client,
    pod: &'a Pod,
    folder: PathBuf,
}

impl Kubelet<'_> {
    fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }

    fn container(&self) -> anyhow::Result<&Container> {
        let containers = self.pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        containers.first().with_context(|| format!("pod {} has no container", self.pod.name_any()))
    }

    async fn environment(&self, container: &Container) -> anyhow::Result<BTreeMap<String, String>> {
        let mounts = self.mounts(container).await?;
        let mut environment = BTreeMap::new();
        for variable in container.env.iter().flatten() {
            let mut value = self.value(variable)?;
            for (mounted, folder) in &mounts {
                if let Some(file) = value.strip_prefix(mounted.as_str()) {
                    value = format!("{}{file}", folder.display());
                }
            }
            environment.insert(variable.name.clone(), value);
        }
        Ok(environment)
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
    async fn mounts(&self, container: &Container) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace());
        let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut mounts = BTreeMap::new();
        for volume in volumes {
            let Some(source) = &volume.config_map else { continue };
            let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == volume.name);
            let mount = mount.with_context(|| format!("volume {} is mounted nowhere", volume.name))?;
            let folder = self.folder.join(&volume.name);
            std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
            let map = maps.get(&source.name).await.with_context(|| format!("ConfigMap {} is missing", source.name))?;
            for item in source.items.iter().flatten() {
                let text = map.data.as_ref().and_then(|data| data.get(&item.key));
                let text = text.with_context(|| format!("ConfigMap {} has no key {}", source.name, item.key))?;
                std::fs::write(folder.join(&item.path), text).context("a file of a ConfigMap can't be written")?;
            }
            mounts.insert(mount.mount_path.clone(), folder);
        }
        Ok(mounts)
    }

    /// What the webhook of workload identity does with a pod that asks for it. What is set stays.
    async fn mutate(&self, webhook: &Webhook, environment: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
        if self.pod.labels().get(USE).is_none_or(|asked| asked != "true") {
            return Ok(());
        }
        let account = self.accounts().get(&self.account()).await.context("the Pod's service account can't be read")?;
        let token = self.folder.join("azure-token");
        std::fs::write(&token, self.token(&["api://AzureADTokenExchange"]).await?)
            .with_context(|| format!("{} can't be written", token.display()))?;
        for (name, value) in [
            ("AZURE_CLIENT_ID", account.annotations().get(CLIENT_ID).cloned().unwrap_or_default()),
            ("AZURE_TENANT_ID", webhook.tenant.clone()),
            ("AZURE_AUTHORITY_HOST", webhook.authority.clone()),
            ("AZURE_FEDERATED_TOKEN_FILE", token.to_string_lossy().into_owned()),
        ] {
            environment.entry(name.to_owned()).or_insert(value);
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
