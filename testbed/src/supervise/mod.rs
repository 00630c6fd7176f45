//! Processes that end with the process that started them; never decides what is started.
//!
//! Every process of the testbed is started by a supervisor: the executable at hand, started again with a hidden first
//! argument. The supervisor ends its component (SIGTERM, then SIGKILL after a grace) as soon as its standard input
//! reaches its end. That happens when the [`Component`] is dropped, and also when the process that holds it dies in
//! whatever way, since the kernel then closes the pipe. On Linux a component also dies when its supervisor is killed;
//! elsewhere a SIGKILL of the supervisor itself leaves the component behind.
//!
//! So each executable that uses the testbed calls [`run_if_asked`] before anything else.

mod component;
mod memory;
mod processor;
mod supervisor;

pub use component::{Component, Launch};
pub use memory::Memory;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

/// First argument of a supervisor: log file, grace in milliseconds, program and its arguments follow.
const SUPERVISE: &str = "--testbed-supervise";
/// First argument of the process that turns into the component: the supervisor's id, program and its arguments follow.
const BECOME: &str = "--testbed-become";

static ASKED: AtomicBool = AtomicBool::new(false);

/// Does a supervisor's work and never returns if this process was started as one; otherwise returns at once.
///
/// Must be the first call in `main` of every executable that uses the testbed. In a test binary this needs `harness =
/// false`.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == SUPERVISE => std::process::exit(supervisor::supervise(arguments)),
        Some(first) if first == BECOME => std::process::exit(supervisor::become_component(arguments)),
        _ => ASKED.store(true, Ordering::SeqCst),
    }
}

/// Whether this executable can be started again as a supervisor. Without this check one that does not call
/// [`run_if_asked`] would start itself over and over.
fn can_supervise() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// What the kernel tells of the only child of a process in one of its files.
fn about_child_of(parent: u32, file: &str) -> anyhow::Result<String> {
    let read = |path: String| std::fs::read_to_string(&path).with_context(|| format!("{path} can't be read"));
    let children = read(format!("/proc/{parent}/task/{parent}/children"))?;
    let child = children.split_whitespace().next().context("there is no such process")?;
    read(format!("/proc/{child}/{file}"))
}
