//! The holder's side of a supervised process: starts it, asks it to end, reads its log; never restarts it.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{Memory, SUPERVISE};

/// How often the end of a process is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What to start: a program with its arguments, environment and log file.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The component's name as people know it, for messages.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables set beside those that this process has.
    pub environment: Vec<(OsString, OsString)>,
    /// Where its standard output and error go; appended to if it exists.
    pub log: PathBuf,
    /// Time between SIGTERM and SIGKILL when it is ended.
    pub grace: Duration,
}

/// A running process that ends when this value is dropped, or when the process that holds it dies.
#[derive(Debug)]
pub struct Component {
    name: String,
    log: PathBuf,
    grace: Duration,
    supervisor: Child,
    commands: Option<ChildStdin>,
}

impl Component {
    /// Starts the process under a supervisor.
    ///
    /// # Errors
    /// When this executable did not call [`run_if_asked`](super::run_if_asked), or the supervisor can't be started. A
    /// program that can't be started shows as an early exit with the reason in the log.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        if !super::can_supervise() {
            bail!(
                "{} can't be started: call testbed::supervise::run_if_asked() first in main (a test binary needs \
                 harness = false)",
                launch.name
            );
        }
        let mut supervisor = Command::new(executable()?)
            .arg0(format!("testbed-supervisor-{}", launch.name))
            .arg(SUPERVISE)
            .arg(&launch.log)
            .arg(launch.grace.as_millis().to_string())
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C in a terminal reaches the holder alone, which ends its components in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("the supervisor of {} could not be started", launch.name))?;
        let commands = supervisor.stdin.take();
        Ok(Self { name: launch.name, log: launch.log, grace: launch.grace, supervisor, commands })
    }

    /// The component's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log file.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// What the component wrote so far; empty when there is nothing.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last `lines` lines of the log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// What the component keeps in memory. Linux only.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of_child_of(self.supervisor.id()).with_context(|| format!("the memory of {} can't be read", self.name))
    }

    /// The processor time that the component took so far. Linux only.
    ///
    /// # Errors
    /// When it does not run.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        super::processor::time_of_child_of(self.supervisor.id())
            .with_context(|| format!("the processor time of {} can't be read", self.name))
    }

    /// The exit code if the component has ended: its own, or 128 plus the number of the signal that ended it.
    ///
    /// # Errors
    /// When the supervisor's state can't be read.
    pub fn exited(&mut self) -> anyhow::Result<Option<i32>> {
        let status = self.supervisor.try_wait().with_context(|| format!("the state of {} can't be read", self.name))?;
        Ok(status.map(|status| status.code().unwrap_or(1)))
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    ///
    /// # Errors
    /// When it has not ended within `deadline`; it then runs on.
    pub async fn terminate(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        self.command("terminate");
        self.wait(deadline).await
    }

    /// Sends SIGKILL and waits for the end; returns the exit code (137 unless it had ended before).
    ///
    /// # Errors
    /// When the end is not seen within a few seconds.
    pub async fn kill(&mut self) -> anyhow::Result<i32> {
        self.command("kill");
        self.wait(Duration::from_secs(10)).await
    }

    /// Sends SIGSTOP: the component does nothing until it is continued.
    pub fn pause(&mut self) {
        self.command("pause");
    }

    /// Sends SIGCONT.
    pub fn go_on(&mut self) {
        self.command("continue");
    }

    /// Waits until the component ends by itself; returns the exit code.
    ///
    /// # Errors
    /// When it has not ended within `deadline`.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        let until = Instant::now() + deadline;
        loop {
            if let Some(code) = self.exited()? {
                return Ok(code);
            }
            if Instant::now() > until {
                bail!("{} has not ended within {deadline:?}; the end of its log:\n{}", self.name, self.log_tail(20));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the supervisor to end the component, without waiting. Dropping waits.
    pub fn begin_to_end(&mut self) {
        self.commands = None;
    }

    fn command(&mut self, command: &str) {
        if let Some(commands) = &mut self.commands {
            // A supervisor that is gone has ended its component already.
            let _ = writeln!(commands, "{command}");
        }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.begin_to_end();
        let until = Instant::now() + self.grace + Duration::from_secs(5);
        while matches!(self.supervisor.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = self.supervisor.kill();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// This executable. On Linux by the kernel's link, which holds even after the file was built anew.
pub(super) fn executable() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("this executable's own path is not known")
}
