//! Killed at any point and started again: no accepted operation is lost, each ends, and no lock stays.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{VERSION, install_provider};

const ROUNDS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(20);
const POOLS: [&str; 3] = ["apps", "batch", "system"];
/// Slow enough that a kill finds operations in flight: an update takes 16 ms, a create 0.4 s.
const SCALE: &str = "--time-scale=500";

/// The program while it runs; killed when dropped.
struct Program {
    child: Child,
    endpoint: String,
    /// Kept open, because the program ends when nobody hears it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    async fn start(state: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aks-emulator"))
            .args(["--no-nodes", SCALE, "--state-file"])
            .arg(state)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the program ended before it listened");
        let endpoint = line.strip_prefix("endpoint: ").unwrap().trim_end_matches('/').to_owned();
        Self { child, endpoint, _output: lines }
    }

    fn pools(&self) -> String {
        format!(
            "{}/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/local/providers/\
             Microsoft.ContainerService/managedClusters/local/agentPools",
            self.endpoint
        )
    }
}

/// Numbers that look random and are the same in each run.
fn number(round: u64, step: u64, below: u64) -> u64 {
    let mut mixed = (round * 1009 + step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 20) % below
}

/// Writes until the connection breaks; the paths of all operations that were accepted.
async fn write_until_it_breaks(client: &Client, pools: &str, round: u64, so_far: &watch::Sender<u64>) -> Vec<String> {
    let mut accepted = Vec::new();
    for step in 0.. {
        let pool = POOLS[usize::try_from(number(round, step, 3)).unwrap()];
        let url = format!("{pools}/{pool}?api-version={VERSION}");
        let request = match number(round, step + 500, 5) {
            0 if pool != "system" => client.request(Method::DELETE, url),
            1 => client.put(url).json(&json!({"properties": {"count": 1 + number(round, step, 5)}})),
            2 => client.put(url).json(&json!({"properties": {"count": "many"}})),
            _ => client.put(url).json(&json!({"properties": {"count": 2, "nodeLabels": {"step": step.to_string()}}})),
        };
        let Ok(answer) = request.send().await else {
            break;
        };
        if let Some(url) = answer.headers().get("azure-asyncoperation") {
            let url = url.to_str().unwrap();
            accepted.push(url[url.find("/subscriptions").unwrap()..].to_owned());
            so_far.send_modify(|number| *number += 1);
        }
    }
    accepted
}

async fn get(client: &Client, url: &str) -> (u16, Value) {
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn killed_at_any_point_it_goes_on_where_it_was() {
    install_provider();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let client = Client::builder().no_proxy().build().unwrap();
    let mut accepted = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut program = Program::start(&state).await;
        let (so_far, mut writes_so_far) = watch::channel(0);
        let pools = program.pools();
        let writes = tokio::spawn({
            let client = client.clone();
            async move { write_until_it_breaks(&client, &pools, round, &so_far).await }
        });
        // Somewhere in the request after so many, or in the operations that they began.
        let wanted = 1 + number(round, 0, 4);
        timeout(PATIENCE, writes_so_far.wait_for(|number| *number >= wanted)).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(number(round, 1, 40))).await;
        program.child.kill().await.unwrap();
        accepted.extend(writes.await.unwrap());
    }
    assert!(accepted.len() > 10, "{} operations", accepted.len());

    let program = Program::start(&state).await;
    for path in &accepted {
        ends(&client, &format!("{}{path}", program.endpoint)).await;
    }
    for pool in quiet_pools(&client, &program).await {
        let url = format!("{}/{pool}?api-version={VERSION}", program.pools());
        let free = client.put(url).json(&json!({})).send().await.unwrap();
        assert_eq!(free.status(), 200, "{pool}");
    }
}

/// The names of all pools, as soon as nothing runs on any. Operations whose answer was lost to a kill run too.
async fn quiet_pools(client: &Client, program: &Program) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, list) = get(client, &format!("{}?api-version={VERSION}", program.pools())).await;
        let pools = list["value"].as_array().unwrap();
        if pools.iter().all(|pool| pool["properties"]["provisioningState"] == "Succeeded") {
            return pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect();
        }
        assert!(Instant::now() < deadline, "{list}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ends(client: &Client, url: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = get(client, url).await;
        assert_eq!(status, 200, "{url} is lost: {body}");
        if body["endTime"].is_string() {
            return;
        }
        assert!(Instant::now() < deadline, "{body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
