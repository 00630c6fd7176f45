//! Components end with whoever holds them, whatever happens to it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use testbed::supervise::{Component, Launch};
use testbed::{Lanes, wait_for};

/// Tells a copy of this executable to hold a component, and in which folder.
const HOLD: &str = "TESTBED_TEST_HOLD";
const DEADLINE: Duration = Duration::from_mins(2);

fn launch(folder: &Path, script: &str) -> Launch {
    Launch {
        name: "sleeper".to_owned(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("FOLDER".into(), folder.into())],
        log: folder.join("sleeper.log"),
        grace: Duration::from_secs(1),
    }
}

/// A component that can be seen, and whose supervisor as well.
const SLEEPER: &str = r#"
echo $PPID > "$FOLDER/supervisor"
echo $$ > "$FOLDER/component.new"
mv "$FOLDER/component.new" "$FOLDER/component"
exec sleep 600
"#;

/// In the copy of this executable that is to be killed: holds a component for ever.
pub fn hold_a_component_if_asked() {
    let Some(folder) = std::env::var_os(HOLD) else { return };
    let _component = Component::start(launch(Path::new(&folder), SLEEPER)).unwrap();
    loop {
        std::thread::park();
    }
}

async fn id_in(file: &Path) -> anyhow::Result<Pid> {
    wait_for("the component to be up", DEADLINE, async || {
        let id = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
        Ok(id.ok_or("it is not there yet"))
    })
    .await
}

async fn ends(id: Pid) -> anyhow::Result<()> {
    wait_for("the process to end", DEADLINE, async || {
        Ok(if test_kill_process(id).is_err() { Ok(()) } else { Err("it runs") })
    })
    .await
}

pub async fn components_die_with_their_holder(_: Lanes) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut holder = Command::new(std::env::current_exe()?)
        .env(HOLD, folder.path())
        .stdin(Stdio::null())
        .spawn()
        .context("no copy of this executable")?;
    let component = id_in(&folder.path().join("component")).await?;
    let supervisor = id_in(&folder.path().join("supervisor")).await?;
    ensure!(test_kill_process(component).is_ok(), "it runs");
    holder.kill()?;
    holder.wait()?;
    ends(component).await?;
    ends(supervisor).await
}

pub async fn components_die_with_their_supervisor(_: Lanes) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut held = Component::start(launch(folder.path(), SLEEPER))?;
    let component = id_in(&folder.path().join("component")).await?;
    kill_process(id_in(&folder.path().join("supervisor")).await?, Signal::KILL)?;
    held.wait(DEADLINE).await?;
    ends(component).await
}

pub async fn an_early_end_shows_the_log(_: Lanes) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut component = Component::start(launch(folder.path(), "echo no such flag; exit 3"))?;
    ensure!(component.wait(DEADLINE).await? == 3, "its exit code is told");
    ensure!(component.log_tail(1) == "no such flag", "{}", component.log());
    let mut missing = Component::start(Launch { program: "/no/such/program".into(), ..launch(folder.path(), "") })?;
    ensure!(
        missing.wait(DEADLINE).await? == 127 && missing.log().contains("/no/such/program could not be started"),
        "{}",
        missing.log()
    );
    Ok(())
}
