//! Measures the operator on a real control plane with an ARM that answers at once: latency, requests, memory, restart.
//! Never fails for being slow: it prints what it found beside the target. Arguments name parts: latency, memory, hour,
//! large.

mod hour;
mod large;
mod latency;
mod rest;
mod samples;
mod scene;
mod small;
mod table;
mod watch;

use anyhow::Context as _;
use scene::Scene;
use table::Table;

fn main() -> anyhow::Result<()> {
    testbed::supervise::run_if_asked();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no async runtime")?
        .block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let mut scene = Scene::begin().await?;
    let mut table = Table::default();
    let measured = parts(&mut scene, &mut table).await;
    if measured.is_err() {
        scene.bed.control_plane().keep();
    }
    // What was found is worth something, whatever came after.
    table.print()?;
    measured
}

async fn parts(scene: &mut Scene, table: &mut Table) -> anyhow::Result<()> {
    // Cargo adds flags of its own.
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("latency") {
        latency::measure(scene, table).await?;
    }
    if wanted("memory") {
        small::measure(scene, table).await?;
    }
    if wanted("hour") {
        hour::measure(scene, table).await?;
    }
    if wanted("large") {
        large::measure(scene, table).await?;
    }
    Ok(())
}
