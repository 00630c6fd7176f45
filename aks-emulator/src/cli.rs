//! The flags of the program and what they come to. Never starts anything.

mod cluster;
mod sign_in;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use aks_emulator::{Chaos, ClusterSpec, PoolSpec, Settings, Switches};
use anyhow::Context;
use clap::Parser;
use url::Url;

/// A local AKS: the ARM agentPools API of one managed cluster, as recorded from the service.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "AKS_EMULATOR_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Base of the URLs in answers; by default the Host of each request.
    #[arg(long, env = "AKS_EMULATOR_PUBLIC_URL")]
    public_url: Option<Url>,
    /// How many times as fast as the service operations run; 1 is real time.
    #[arg(long, env = "AKS_EMULATOR_TIME_SCALE", default_value_t = 1.0)]
    time_scale: f64,
    /// Let time stand still but for `POST /admin/clock {"advanceSeconds": N}`.
    #[arg(long, env = "AKS_EMULATOR_MANUAL_CLOCK")]
    manual_clock: bool,
    /// File that keeps the state; if it exists, it is resumed and the description of the cluster is ignored.
    #[arg(long, env = "AKS_EMULATOR_STATE_FILE")]
    state_file: Option<PathBuf>,
    /// Print an example of a cluster's description, and end.
    #[arg(long)]
    pub(crate) print_example_cluster: bool,
    /// YAML or JSON file that describes the cluster; see --print-example-cluster.
    #[arg(long, env = "AKS_EMULATOR_CLUSTER", conflicts_with_all = ["subscription", "resource_group", "name", "location", "pools"])]
    cluster: Option<PathBuf>,
    /// Subscription id.
    #[arg(long, env = "AKS_EMULATOR_SUBSCRIPTION")]
    subscription: Option<String>,
    /// Resource group of the cluster.
    #[arg(long, env = "AKS_EMULATOR_RESOURCE_GROUP")]
    resource_group: Option<String>,
    /// Name of the cluster.
    #[arg(long, env = "AKS_EMULATOR_NAME")]
    name: Option<String>,
    /// Azure region.
    #[arg(long, env = "AKS_EMULATOR_LOCATION")]
    location: Option<String>,
    /// Service account issuer that the cluster reports.
    #[arg(long, env = "AKS_EMULATOR_ISSUER_URL")]
    issuer_url: Option<String>,
    /// A pool as NAME:MODE:COUNT, such as system:System:3; may be repeated. By default one system and one user pool.
    #[arg(long = "pool", value_name = "NAME:MODE:COUNT")]
    pools: Vec<PoolArgument>,
    /// Kubeconfig of the API server whose Node objects follow the pools.
    // Not KUBECONFIG: nobody should find Node objects in a cluster that a shell happened to point to.
    #[arg(long, env = "AKS_EMULATOR_KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Run without Kubernetes: pools have nodes in name only. Wins over --kubeconfig.
    #[arg(long, env = "AKS_EMULATOR_NO_NODES")]
    pub(crate) no_nodes: bool,
    /// An api-version to accept beside the generally available ones; may be repeated.
    #[arg(long = "api-version-also", value_name = "VERSION")]
    api_versions_also: Vec<String>,
    /// Refuse with 429 what exceeds the published request budgets. A number lets them fill that many times as fast;
    /// they follow --time-scale either way.
    #[arg(long, env = "AKS_EMULATOR_REQUEST_BUDGETS", value_name = "FACTOR", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    request_budgets: Option<f64>,
    /// Let random faults happen to requests: throttling, 500, 502, 504, lost connections, delays. The same seed and
    /// sequence of requests give the same faults.
    #[arg(long, env = "AKS_EMULATOR_FAULTS_SEED", value_name = "SEED")]
    faults_seed: Option<u64>,
    /// Share of the requests that a random fault happens to, from 0 to 1.
    #[arg(
        long,
        env = "AKS_EMULATOR_FAULT_RATE",
        value_name = "SHARE",
        default_value_t = 0.1,
        requires = "faults_seed"
    )]
    fault_rate: f64,
    /// Where the service's behaviour is not confirmed, what to do: NAME=on or NAME=off; may be repeated. Names: etags,
    /// omission-retains-collections, count-applies-when-autoscaled, delete-drains, scale-in-asks-budgets,
    /// delete-machines-asks-budgets, list-ends-with-empty-page, leftover-errors, operation-urls-forbidden,
    /// versions-wait-for-nodes, node-pools-skip-minors, repeated-node-image-reimages.
    #[arg(long = "switch", value_name = "NAME=on|off")]
    switches: Vec<SwitchArgument>,
    /// Ask clients to look at operations after this many seconds. The service was recorded asking for nothing, upon
    /// which Azure's libraries look every 30 seconds.
    #[arg(long, env = "AKS_EMULATOR_RETRY_AFTER", value_name = "SECONDS")]
    retry_after: Option<u64>,
    #[command(flatten)]
    inside: cluster::ClusterArguments,
    #[command(flatten)]
    pub(crate) sign_in: sign_in::SignInArguments,
}

impl Arguments {
    pub(crate) fn settings(&self) -> Settings {
        let mut switches = Switches::default();
        for switch in &self.switches {
            *(switch.field)(&mut switches) = switch.on;
        }
        Settings {
            listen: self.listen,
            public_url: self.public_url.clone(),
            time_scale: self.time_scale,
            manual_clock: self.manual_clock,
            state_file: self.state_file.clone(),
            api_versions_also: self.api_versions_also.clone(),
            request_budgets: self.request_budgets,
            autoscaler: !self.inside.no_autoscaler,
            admission_rule: !self.inside.no_admission_rule,
            chaos: self.faults_seed.map(|seed| Chaos { seed, rate: self.fault_rate }),
            retry_after: self.retry_after,
            tls: self.sign_in.tls(),
            authentication: self.sign_in.authentication(),
            token_lifetime: self.sign_in.token_lifetime(),
            switches,
            ..Settings::default()
        }
    }

    pub(crate) fn cluster(&self) -> anyhow::Result<ClusterSpec> {
        let mut cluster = match &self.cluster {
            Some(path) => ClusterSpec::read(path).context("--cluster")?,
            None => self.described(),
        };
        if self.issuer_url.is_some() {
            cluster.issuer_url.clone_from(&self.issuer_url);
        }
        Ok(cluster)
    }

    fn described(&self) -> ClusterSpec {
        let mut cluster = ClusterSpec::default();
        for (field, given) in [
            (&mut cluster.subscription, &self.subscription),
            (&mut cluster.resource_group, &self.resource_group),
            (&mut cluster.name, &self.name),
            (&mut cluster.location, &self.location),
        ] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        cluster.pools = self.pools.iter().map(|pool| pool.0.clone()).collect();
        if cluster.pools.is_empty() {
            cluster.pools = vec![PoolSpec::system("system", 3), PoolSpec::user("apps", 2)];
        }
        cluster
    }
}

/// A pool on the command line.
#[derive(Clone, Debug)]
struct PoolArgument(PoolSpec);

impl FromStr for PoolArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "give NAME:MODE:COUNT, such as apps:User:2";
        let mut parts = text.split(':');
        let (Some(name), Some(mode), Some(count), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wanted.to_owned());
        };
        let count = count.parse().map_err(|error| format!("count {count:?}: {error}; {wanted}"))?;
        let mut pool = PoolSpec::user(name, count);
        mode.clone_into(&mut pool.mode);
        Ok(Self(pool))
    }
}

/// A switch on the command line.
#[derive(Clone, Debug)]
struct SwitchArgument {
    field: fn(&mut Switches) -> &mut bool,
    on: bool,
}

impl FromStr for SwitchArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, position) = text.split_once('=').ok_or("give NAME=on or NAME=off".to_owned())?;
        let on = match position {
            "on" => true,
            "off" => false,
            other => return Err(format!("{other:?} is neither on nor off")),
        };
        let field: fn(&mut Switches) -> &mut bool = match name {
            "etags" => |switches| &mut switches.etags,
            "omission-retains-collections" => |switches| &mut switches.omission_retains_collections,
            "count-applies-when-autoscaled" => |switches| &mut switches.count_applies_when_autoscaled,
            "delete-drains" => |switches| &mut switches.delete_drains,
            "scale-in-asks-budgets" => |switches| &mut switches.scale_in_asks_budgets,
            "delete-machines-asks-budgets" => |switches| &mut switches.delete_machines_asks_budgets,
            "list-ends-with-empty-page" => |switches| &mut switches.list_ends_with_empty_page,
            "leftover-errors" => |switches| &mut switches.leftover_errors,
            "operation-urls-forbidden" => |switches| &mut switches.operation_urls_forbidden,
            "versions-wait-for-nodes" => |switches| &mut switches.versions_wait_for_nodes,
            "node-pools-skip-minors" => |switches| &mut switches.node_pools_skip_minors,
            "repeated-node-image-reimages" => |switches| &mut switches.repeated_node_image_reimages,
            other => return Err(format!("no switch is named {other:?}; see --help")),
        };
        Ok(Self { field, on })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_to_settings_and_a_cluster() {
        let arguments = Arguments::parse_from([
            "aks-emulator",
            "--time-scale=100",
            "--name=c",
            "--pool=sys:System:1",
            "--switch=etags=on",
            "--switch=delete-drains=off",
            "--request-budgets",
            "--faults-seed=7",
            "--fault-rate=0.5",
        ]);
        let settings = arguments.settings();
        assert!((settings.time_scale - 100.0).abs() < f64::EPSILON);
        assert_eq!(settings.request_budgets, Some(1.0));
        assert_eq!(settings.chaos, Some(Chaos { seed: 7, rate: 0.5 }));
        assert!(settings.switches.etags && !settings.switches.delete_drains);
        let cluster = arguments.cluster().unwrap();
        assert_eq!((cluster.name.as_str(), cluster.pools.len()), ("c", 1));
    }

    #[test]
    fn bad_flags_name_the_value_and_the_fix() {
        for (flag, expected) in [
            ("--pool=apps", "NAME:MODE:COUNT"),
            ("--pool=apps:User:x", "count \"x\""),
            ("--switch=etag=on", "no switch is named \"etag\""),
            ("--switch=etags=yes", "neither on nor off"),
        ] {
            let error = Arguments::try_parse_from(["aks-emulator", flag]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_describes_a_cluster_and_misspellings_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.yaml");
        let argument = format!("--cluster={}", path.display());
        let read = || Arguments::parse_from(["aks-emulator", argument.as_str()]).cluster();
        std::fs::write(&path, "name: c\npools:\n- {name: system, mode: System, count: 3, autoscaling: [1, 5]}\n")
            .unwrap();
        let cluster = read().unwrap();
        assert_eq!(cluster.pools[0].autoscaling, Some((1, 5)));
        std::fs::write(&path, "name: c\npool: []\n").unwrap();
        let error = format!("{:#}", read().unwrap_err());
        assert!(error.contains("cluster.yaml") && error.contains("pool"), "{error}");
    }
}
