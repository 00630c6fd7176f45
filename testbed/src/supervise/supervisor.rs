//! What the supervisor process does: starts one component, waits, ends it; never outlives it.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::BECOME;
use super::component::executable;

/// Exit code when the component could not be started; the reason is in its log.
const COULD_NOT_START: i32 = 127;

/// Runs the component named by `arguments` and returns the exit code for this process: the component's, or 128 plus the
/// number of the signal that ended it.
pub(super) fn supervise(arguments: impl Iterator<Item = OsString>) -> i32 {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the supervisor's runtime could not be built")
        .and_then(|runtime| runtime.block_on(run(arguments)));
    outcome.unwrap_or_else(|error| {
        eprintln!("testbed supervisor: {error:#}");
        COULD_NOT_START
    })
}

/// Replaces this process by the component, which the kernel then kills when the supervisor dies. Returns only on
/// failure.
pub(super) fn become_component(mut arguments: impl Iterator<Item = OsString>) -> i32 {
    let supervisor = arguments.next();
    let Some(program) = arguments.next() else {
        eprintln!("testbed supervisor: no program was named");
        return COULD_NOT_START;
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("testbed supervisor: the component can't be tied to its supervisor: {error}");
        return COULD_NOT_START;
    }
    // The supervisor may have died before the kernel was asked: then nobody would end the component.
    let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string());
    if parent.map(OsString::from) != supervisor {
        return COULD_NOT_START;
    }
    let error = std::process::Command::new(&program).args(arguments).exec();
    eprintln!("testbed supervisor: {} could not be started: {error}", program.display());
    COULD_NOT_START
}

async fn run(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<i32> {
    let log = arguments.next().context("no log file was named")?;
    let grace = arguments.next().context("no grace was named")?;
    let grace =
        Duration::from_millis(grace.to_string_lossy().parse().context("the grace is not a number of milliseconds")?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut child = start(&log, arguments)?;
    let mut commands = commands();
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            command = commands.recv() => match command.as_deref() {
                Some("kill") => child.start_kill()?,
                Some("terminate") => send(&child, Signal::TERM),
                Some("pause") => send(&child, Signal::STOP),
                Some("continue") => send(&child, Signal::CONT),
                _ => return end(&mut child, grace).await,
            },
            _ = terminate.recv() => return end(&mut child, grace).await,
            _ = interrupt.recv() => return end(&mut child, grace).await,
            _ = hangup.recv() => return end(&mut child, grace).await,
        }
    }
}

fn start(log: &OsString, component: impl Iterator<Item = OsString>) -> anyhow::Result<Child> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("log {} can't be written", log.display()))?;
    Command::new(executable()?)
        .arg(BECOME)
        .arg(std::process::id().to_string())
        .args(component)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("the component could not be started")
}

/// Lines of the standard input; the channel closes at its end.
fn commands() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn end(child: &mut Child, grace: Duration) -> anyhow::Result<i32> {
    send(child, Signal::TERM);
    // One that is paused hears nothing.
    send(child, Signal::CONT);
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return Ok(exit_code(status?));
    }
    child.start_kill()?;
    Ok(exit_code(child.wait().await?))
}

fn send(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended in between; waiting for it tells.
        let _ = rustix::process::kill_process(id, signal);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
