//! The flags for what AKS does inside the cluster by itself. Never starts anything.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    /// Leave autoscaled pools as they are.
    #[arg(long, env = "AKS_EMULATOR_NO_AUTOSCALER")]
    pub(crate) no_autoscaler: bool,
    /// Let everybody edit, through Kubernetes, the labels and taints that nodes have from their pools.
    #[arg(long, env = "AKS_EMULATOR_NO_ADMISSION_RULE")]
    pub(crate) no_admission_rule: bool,
}
