//! How each process of the control plane is started: its flags and files; never starts one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::assets::{Assets, Binary};
use crate::supervise::Launch;

/// The state of a control plane is thrown away, so an orderly end is not waited for long.
const GRACE: Duration = Duration::from_millis(500);

/// Files of a control plane by their role, all in one folder.
pub(super) struct Files<'a>(pub(super) &'a Path);

impl Files<'_> {
    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    pub(super) fn server_certificate(&self) -> PathBuf {
        self.0.join("server.crt")
    }

    pub(super) fn server_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    pub(super) fn service_account_key(&self) -> PathBuf {
        self.0.join("service-account.key")
    }

    pub(super) fn audit_policy(&self) -> PathBuf {
        self.0.join("audit-policy.yaml")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    pub(super) fn stages(&self) -> PathBuf {
        self.0.join("stages.yaml")
    }

    pub(super) fn scheduler_configuration(&self) -> PathBuf {
        self.0.join("scheduler.yaml")
    }

    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.0.join(format!("{user}.kubeconfig"))
    }

    fn launch(&self, assets: &Assets, binary: Binary, arguments: Vec<OsString>) -> Launch {
        let name = binary.file_name().to_owned();
        let log = self.0.join(format!("{name}.log"));
        Launch { program: assets.path(binary).to_owned(), log, name, arguments, environment: Vec::new(), grace: GRACE }
    }

    pub(super) fn etcd(&self, assets: &Assets, client_port: u16, peer_port: u16) -> Launch {
        let client = format!("http://127.0.0.1:{client_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let arguments = vec![
            flag("data-dir", self.0.join("etcd")),
            flag("listen-client-urls", &client),
            flag("advertise-client-urls", &client),
            flag("listen-peer-urls", &peer),
            flag("initial-advertise-peer-urls", &peer),
            flag("initial-cluster", format!("default={peer}")),
            "--unsafe-no-fsync".into(),
        ];
        self.launch(assets, Binary::Etcd, arguments)
    }

    pub(super) fn api_server(&self, assets: &Assets, port: u16, etcd_port: u16, issuer: &str) -> Launch {
        let arguments = vec![
            flag("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", port.to_string()),
            flag("tls-cert-file", self.server_certificate()),
            flag("tls-private-key-file", self.server_key()),
            flag("client-ca-file", self.authority()),
            flag("service-account-issuer", issuer),
            flag("service-account-key-file", self.service_account_key()),
            flag("service-account-signing-key-file", self.service_account_key()),
            flag("authorization-mode", "RBAC"),
            flag("service-cluster-ip-range", "10.0.0.0/16"),
            flag("allow-privileged", "true"),
            // A loopback address can't be an endpoint of the kubernetes service, and nothing here runs in a pod.
            flag("endpoint-reconciler-type", "none"),
            flag("audit-policy-file", self.audit_policy()),
            flag("audit-log-path", self.audit_log()),
            flag("audit-log-mode", "blocking"),
            // One file for as long as a control plane lives: its readers remember where a story began.
            flag("audit-log-maxsize", "100000"),
        ];
        self.launch(assets, Binary::ApiServer, arguments)
    }

    pub(super) fn controller_manager(&self, assets: &Assets) -> Launch {
        let arguments = vec![
            flag("kubeconfig", self.kubeconfig("controller-manager")),
            flag("service-account-private-key-file", self.service_account_key()),
            flag("root-ca-file", self.authority()),
            // Each controller signs in as itself, so that the audit log tells who deleted a pod.
            flag("use-service-account-credentials", "true"),
            flag("leader-elect", "false"),
            flag("node-monitor-period", "500ms"),
            // kwok 0.8 stops renewing the leases of nodes when others come and go: after the default of less than a minute
            // these would be NotReady, and so would their pods for good. A node that is to fail says so by its condition.
            flag("node-monitor-grace-period", "24h"),
            // Requests a second of each controller: by default the taint manager evicts seven pods a second.
            flag("kube-api-qps", "200"),
            flag("kube-api-burst", "400"),
            flag("secure-port", "0"),
        ];
        self.launch(assets, Binary::ControllerManager, arguments)
    }

    pub(super) fn scheduler(&self, assets: &Assets) -> Launch {
        let arguments = vec![flag("config", self.scheduler_configuration()), flag("secure-port", "0")];
        self.launch(assets, Binary::Scheduler, arguments)
    }

    pub(super) fn kwok(&self, assets: &Assets) -> Launch {
        let arguments = vec![
            flag("kubeconfig", self.kubeconfig("kwok")),
            flag("config", self.stages()),
            flag("manage-all-nodes", "true"),
            flag("node-lease-duration-seconds", "40"),
            flag("cidr", "10.244.0.0/16"),
        ];
        self.launch(assets, Binary::Kwok, arguments)
    }

    /// The scheduler's configuration: a pod that found no place is tried again after a second, so that tests need not
    /// wait ten.
    pub(super) fn scheduler_configuration_text(&self) -> String {
        let configuration = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": false},
            "clientConnection": {"kubeconfig": self.kubeconfig("scheduler"), "qps": 200, "burst": 400},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 1,
        });
        configuration.to_string()
    }
}

fn flag(name: &str, value: impl AsRef<std::ffi::OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}
