//! A fresh AKS cluster on a control plane, described in a few lines: emulator, nodes, kube-system and doors; never
//! starts the operator by itself.

mod kube_system;
mod lanes;
mod reset;

use std::path::PathBuf;
use std::sync::Arc;

use aks_emulator::{ClusterSpec, Emulator, KubernetesNodes, PoolSpec, Settings};
use anyhow::Context as _;

use crate::{Audit, Cluster, ControlPlane, Door, Operator, OperatorOptions, azure};
pub use kube_system::KubeSystem;
pub use lanes::{LANES_VARIABLE, Lane, Lanes};

/// The emulator's user on the API server, as audit logs name it.
pub const EMULATOR_USER: &str = "aks-emulator";

/// How much faster than AKS the emulator is unless told otherwise: a new node takes about a second.
const TIME_SCALE: f64 = 200.0;

/// Describes a cluster.
pub struct Builder {
    lane: Lane,
    spec: ClusterSpec,
    settings: Settings,
    kube_system: KubeSystem,
}

impl Builder {
    /// Adds a pool.
    #[must_use]
    pub fn pool(mut self, pool: PoolSpec) -> Self {
        self.spec.pools.push(pool);
        self
    }

    /// Says what runs in kube-system; by default what runs there on AKS.
    #[must_use]
    pub fn kube_system(mut self, kube_system: KubeSystem) -> Self {
        self.kube_system = kube_system;
        self
    }

    /// Changes how the emulator runs: its time scale, state file and switches.
    #[must_use]
    pub fn emulator(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Changes what ARM says about the cluster, such as its service account issuer.
    #[must_use]
    pub fn cluster(mut self, change: impl FnOnce(&mut ClusterSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Takes away what an earlier story left, starts the cluster, where ARM lets the operator do what its role allows, and returns when its nodes are Ready and kube-system
    /// runs.
    ///
    /// # Errors
    /// When an earlier story's objects do not go, the description can't be used, or the cluster does not settle in
    /// time.
    pub async fn start(mut self) -> anyhow::Result<Testbed> {
        self.spec.identities.push(azure::identity()?);
        reset::reset(&self.lane.client()).await.context("the control plane could not be reset")?;
        let audit = Audit::from_now(self.lane.audit_log());
        let pools = self.spec.pools.clone();
        let nodes = KubernetesNodes::new(self.lane.client_of(EMULATOR_USER)?);
        let emulator = Emulator::start(self.settings, self.spec, Arc::new(nodes))
            .await
            .context("the AKS emulator could not be started")?;
        let cluster = Cluster::new(self.lane.client());
        for pool in &pools {
            cluster.wait_for_ready_nodes(&pool.name, usize::try_from(pool.count)?).await?;
        }
        if self.kube_system == KubeSystem::AsOnAks {
            kube_system::install(&cluster.client()).await?;
            kube_system::wait_until_settled(&cluster).await?;
        }
        let api = Door::to_api_server(&self.lane).await?;
        let arm = Door::to_arm(emulator.endpoint().as_str()).await?;
        Ok(Testbed { api, arm, emulator, cluster, audit, kube_system: self.kube_system, lane: self.lane })
    }
}

/// A cluster for one story: ARM and its nodes, kube-system, and a door to each server for the operator. Everything but
/// the control plane ends when dropped.
pub struct Testbed {
    /// The door between the operator and the API server.
    pub api: Door,
    /// The door between the operator and ARM.
    pub arm: Door,
    /// The AKS side.
    pub emulator: Emulator,
    /// The cluster, as somebody with all rights sees it.
    pub cluster: Cluster,
    /// What was written to the API server since the story began.
    pub audit: Audit,
    kube_system: KubeSystem,
    lane: Lane,
}

impl Testbed {
    /// Describes a cluster on a control plane.
    pub fn builder(lane: impl Into<Lane>) -> Builder {
        let lane = lane.into();
        let spec =
            ClusterSpec { issuer_url: Some(lane.issuer().to_owned()), pools: Vec::new(), ..ClusterSpec::default() };
        Builder { lane, spec, settings: Settings::with_time_scale(TIME_SCALE), kube_system: KubeSystem::default() }
    }

    /// The control plane.
    #[must_use]
    pub fn control_plane(&self) -> &ControlPlane {
        &self.lane
    }

    /// What the operator is started with: its executable and this cluster's resource id. Where kube-system is empty no
    /// add-on is required of it.
    #[must_use]
    pub fn operator_options(&self, binary: impl Into<PathBuf>) -> OperatorOptions {
        let mut options = OperatorOptions::new(binary, self.emulator.cluster_id());
        if self.kube_system == KubeSystem::None {
            options.environment.push(("REQUIRED_ADD_ONS".to_owned(), String::new()));
        }
        options
    }

    /// Starts the operator behind both doors.
    ///
    /// # Errors
    /// As [`Operator::start`].
    pub async fn start_operator(&self, options: OperatorOptions) -> anyhow::Result<Operator> {
        Operator::start(&self.lane, &self.api, &self.arm, options).await
    }

    /// Waits until every pod of kube-system that is wished for runs and its budgets are up to date, as after a change
    /// by hand.
    ///
    /// # Errors
    /// When that is not so within a minute.
    pub async fn wait_until_settled(&self) -> anyhow::Result<()> {
        kube_system::wait_until_settled(&self.cluster).await
    }
}
