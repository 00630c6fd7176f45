//! Shows what the emulator carries: requests per second and memory at 100 pools and 5,000 nodes, and what keeping the
//! state costs each change. Never fails for being slow.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const POOLS: usize = 100;
const NODES_EACH: usize = 50;
/// Connections that ask at the same time.
const CLIENTS: usize = 4;
/// How long each kind of request is made.
const TIME: Duration = Duration::from_secs(3);
const VERSION: &str = "2025-10-01";
const CLUSTER: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/local/providers/\
    Microsoft.ContainerService/managedClusters/local";

/// The program, killed when dropped.
struct Program {
    child: Child,
    cluster: String,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    async fn start(folder: &Path, state: Option<&Path>) -> anyhow::Result<Self> {
        let description = folder.join("cluster.json");
        let pools: Vec<Value> = (0..POOLS)
            .map(|number| {
                let mode = if number == 0 { "System" } else { "User" };
                json!({"name": format!("pool{number}"), "mode": mode, "count": NODES_EACH, "labels": {"tier": "web"}})
            })
            .collect();
        std::fs::write(&description, json!({"pools": pools}).to_string())?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-emulator"));
        command.arg("--no-nodes").arg("--cluster").arg(&description).env("RUST_LOG", "error");
        if let Some(state) = state {
            command.arg("--state-file").arg(state);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line = output.next_line().await?.context("the program ended before it listened")?;
        let endpoint = line.strip_prefix("endpoint: ").context("the program says no endpoint")?;
        let cluster = format!("{}{CLUSTER}", endpoint.trim_end_matches('/'));
        Ok(Self { child, cluster, _output: output })
    }

    /// Memory of the process, in MiB.
    fn memory(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("the program has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024)
    }
}

/// GETs a path from all clients for a while; how many were answered per second.
async fn gets_per_second(client: &Client, url: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, url) = (client.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut count = 0_u32;
                while started.elapsed() < TIME {
                    let answer = client.get(&url).send().await?;
                    ensure!(answer.status() == 200, "{url} answered {}", answer.status());
                    answer.bytes().await?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for one in asking {
        count += one.await??;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// PUTs each pool once, one after the other; milliseconds for each.
async fn put_each(client: &Client, program: &Program) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut count = 0_u32;
    for number in 0..POOLS {
        let url = format!("{}/agentPools/pool{number}?api-version={VERSION}", program.cluster);
        let answer = client.put(&url).json(&json!({"properties": {"tags": {"a": "b"}}})).send().await?;
        ensure!(answer.status() == 200, "{url} answered {}", answer.status());
        answer.bytes().await?;
        count += 1;
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0 / f64::from(count))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let client = Client::builder().no_proxy().build()?;
    let folder = tempfile::tempdir()?;
    let mut out = std::io::stdout();
    let program = Program::start(folder.path(), None).await?;
    writeln!(out, "{POOLS} pools, {} nodes, {CLIENTS} clients\n", POOLS * NODES_EACH)?;
    writeln!(out, "memory after the start              {:>8} MiB", program.memory()?)?;
    let list = format!("{}/agentPools?api-version={VERSION}", program.cluster);
    let pool = format!("{}/agentPools/pool7?api-version={VERSION}", program.cluster);
    let cluster = format!("{}?api-version={VERSION}", program.cluster);
    for (name, url) in [("GET of a pool", &pool), ("GET of all pools", &list), ("GET of the cluster", &cluster)] {
        writeln!(out, "{name:<35} {:>8.0} a second", gets_per_second(&client, url).await?)?;
    }
    writeln!(out, "memory after that, journal included {:>8} MiB", program.memory()?)?;
    let without = put_each(&client, &program).await?;
    let state = folder.path().join("state.json");
    let kept = Program::start(folder.path(), Some(&state)).await?;
    let with = put_each(&client, &kept).await?;
    writeln!(out, "PUT without a state file            {without:>8.2} ms")?;
    writeln!(out, "PUT with a state file               {with:>8.2} ms")?;
    writeln!(out, "state file                          {:>8} KiB", std::fs::metadata(&state)?.len() / 1024)?;
    Ok(())
}
