//! Brings up one control plane, component by component, each waited for by a condition; never leaves a part running
//! when another fails.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::Client;

use super::components::Files;
use super::credentials::{Authority, Pair, User, kubeconfig, service_account_key, write};
use super::{ControlPlane, Options, client_from};
use crate::assets::{Assets, Places};
use crate::supervise::{Component, Launch};

/// Long enough for a machine that builds something else at the same time.
const DEADLINE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A port that was free may be taken before its component binds it.
const ATTEMPTS: usize = 4;

pub(super) async fn start(options: Options) -> anyhow::Result<ControlPlane> {
    // Refused when another provider was installed, which then serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let assets = match options.assets {
        Some(assets) => assets,
        None => find_assets().await?,
    };
    let folder = super::folder::make()?;
    let files = Files(folder.path());
    let authority = write_files(&files)?;
    let (etcd, etcd_port) = start_etcd(&files, &assets).await?;
    let (api_server, url, client) = start_api_server(&files, &assets, &authority, etcd_port, &options.issuer).await?;
    let mut components = vec![etcd, api_server];
    for launch in [files.controller_manager(&assets), files.scheduler(&assets), files.kwok(&assets)] {
        components.push(Component::start(launch)?);
    }
    super::probe::schedules_a_pod(&client, DEADLINE, || components.iter_mut().try_for_each(still_runs)).await?;
    let components = Mutex::new(components);
    Ok(ControlPlane {
        components,
        folder,
        keep: AtomicBool::new(false),
        authority,
        assets,
        issuer: options.issuer,
        url,
        client,
    })
}

async fn find_assets() -> anyhow::Result<Assets> {
    let places = Places::of_environment()?;
    tokio::task::spawn_blocking(move || Assets::find_or_build(&places, &mut |line| eprintln!("testbed: {line}")))
        .await
        .context("the search for the control plane's executables was cut short")?
}

fn write_files(files: &Files<'_>) -> anyhow::Result<Authority> {
    let authority = Authority::new()?;
    write(&files.authority(), authority.certificate())?;
    authority.server()?.write(&files.server_certificate(), &files.server_key())?;
    write(&files.service_account_key(), &service_account_key()?)?;
    write(&files.audit_policy(), include_str!("audit-policy.yaml"))?;
    write(&files.stages(), include_str!("stages.yaml"))?;
    write(&files.scheduler_configuration(), &files.scheduler_configuration_text())?;
    Ok(authority)
}

async fn start_etcd(files: &Files<'_>, assets: &Assets) -> anyhow::Result<(Component, u16)> {
    for attempt in 1..=ATTEMPTS {
        let (client, peer) = (free_port()?, free_port()?);
        let health = format!("http://127.0.0.1:{client}/health");
        let started = start_until(files.etcd(assets, client, peer), attempt, async || {
            reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success())
        });
        if let Some(etcd) = started.await? {
            return Ok((etcd, client));
        }
    }
    bail!("etcd found its ports taken {ATTEMPTS} times")
}

async fn start_api_server(
    files: &Files<'_>,
    assets: &Assets,
    authority: &Authority,
    etcd_port: u16,
    issuer: &str,
) -> anyhow::Result<(Component, String, Client)> {
    for attempt in 1..=ATTEMPTS {
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let client = write_kubeconfigs(files, authority, &url)?;
        let started = start_until(files.api_server(assets, port, etcd_port, issuer), attempt, async || {
            let request = hyper::Request::get("/readyz").body(Vec::new());
            match request {
                Ok(request) => client.request_text(request).await.is_ok_and(|text| text == "ok"),
                Err(_) => false,
            }
        });
        if let Some(api_server) = started.await? {
            return Ok((api_server, url, client));
        }
    }
    bail!("the API server found its port taken {ATTEMPTS} times")
}

/// Writes a kubeconfig for each that needs one, and returns the administrator's client.
fn write_kubeconfigs(files: &Files<'_>, authority: &Authority, url: &str) -> anyhow::Result<Client> {
    let of = |pair: &Pair| kubeconfig(url, authority.certificate(), &User::Certificate(pair));
    let admin = of(&authority.client("testbed-admin", &["system:masters"])?)?;
    write(&files.kubeconfig("admin"), &admin)?;
    write(&files.kubeconfig("kwok"), &of(&authority.client("testbed-kwok", &["system:masters"])?)?)?;
    write(&files.kubeconfig("controller-manager"), &of(&authority.client("system:kube-controller-manager", &[])?)?)?;
    write(&files.kubeconfig("scheduler"), &of(&authority.client("system:kube-scheduler", &[])?)?)?;
    client_from(&admin, "testbed-admin")
}

/// Starts a component and waits until it is ready. `None` when it found a port taken, and another attempt may help.
async fn start_until(
    launch: Launch,
    attempt: usize,
    ready: impl AsyncFn() -> bool,
) -> anyhow::Result<Option<Component>> {
    forget_earlier_log(&launch.log)?;
    let mut component = Component::start(launch)?;
    let until = Instant::now() + DEADLINE;
    loop {
        if component.exited()?.is_some() && attempt < ATTEMPTS && component.log().contains("address already in use") {
            return Ok(None);
        }
        still_runs(&mut component)?;
        if ready().await {
            return Ok(Some(component));
        }
        if Instant::now() > until {
            bail!(
                "{} is not ready after {DEADLINE:?}; the end of its log:\n{}",
                component.name(),
                component.log_tail(20)
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn forget_earlier_log(log: &Path) -> anyhow::Result<()> {
    if log.exists() {
        std::fs::remove_file(log).with_context(|| format!("{} can't be removed", log.display()))?;
    }
    Ok(())
}

pub(super) fn still_runs(component: &mut Component) -> anyhow::Result<()> {
    match component.exited()? {
        None => Ok(()),
        Some(code) => {
            bail!(
                "{} has ended early with exit code {code}; the end of its log:\n{}",
                component.name(),
                component.log_tail(20)
            )
        }
    }
}

/// A loopback port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no loopback port is free")?;
    Ok(listener.local_addr().context("a bound port is not known")?.port())
}
