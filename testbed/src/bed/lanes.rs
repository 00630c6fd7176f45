//! A few control planes, leased to one story at a time; never started before somebody needs one.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ControlPlane;
use crate::control_plane::Options;

/// Says how many control planes run side by side.
pub const LANES_VARIABLE: &str = "NODEPOOL_TESTBED_LANES";

/// Control planes for stories that run side by side. They end when the last clone and the last [`Lane`] are dropped.
#[derive(Clone)]
pub struct Lanes {
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<ControlPlane>>>,
    options: Options,
    count: usize,
}

impl Lanes {
    /// At most `count` control planes, at least one.
    #[must_use]
    pub fn new(count: usize, options: Options) -> Self {
        let count = count.max(1);
        Self { free: Arc::new(Semaphore::new(count)), idle: Arc::default(), options, count }
    }

    /// As many as `NODEPOOL_TESTBED_LANES` says, by default one.
    ///
    /// # Errors
    /// When the variable is not a number.
    pub fn from_environment(options: Options) -> anyhow::Result<Self> {
        let count = match std::env::var(LANES_VARIABLE) {
            Err(_) => 1,
            Ok(text) => text
                .parse()
                .with_context(|| format!("{LANES_VARIABLE}={text:?} is not a number of control planes, such as 2"))?,
        };
        Ok(Self::new(count, options))
    }

    /// How many there are at most.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the logs of every control plane that is idle now. For a story that returned an error; a panic keeps them
    /// by itself.
    pub fn keep_logs(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(ControlPlane::keep);
    }

    /// Waits for a control plane of one's own. What an earlier story left is still on it; [`Testbed`](super::Testbed)
    /// takes that away.
    ///
    /// # Errors
    /// When one has to be started and can't be.
    pub async fn lease(&self) -> anyhow::Result<Lane> {
        let permit = self.free.clone().acquire_owned().await.context("the lanes were closed")?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let control_plane = match idle {
            Some(control_plane) if control_plane.check().is_ok() => control_plane,
            // One that broke under an earlier story must not fail the next.
            _ => ControlPlane::start(self.options.clone()).await?,
        };
        Ok(Lane { control_plane: Some(control_plane), home: Some((self.idle.clone(), permit)) })
    }
}

/// A control plane leased to one story; dropping it gives it back.
pub struct Lane {
    control_plane: Option<ControlPlane>,
    home: Option<(Arc<Mutex<Vec<ControlPlane>>>, OwnedSemaphorePermit)>,
}

impl From<ControlPlane> for Lane {
    /// One that belongs to nobody else; it ends with the lane.
    fn from(control_plane: ControlPlane) -> Self {
        Self { control_plane: Some(control_plane), home: None }
    }
}

impl Deref for Lane {
    type Target = ControlPlane;

    #[expect(clippy::expect_used, reason = "only drop takes the control plane out")]
    fn deref(&self) -> &ControlPlane {
        self.control_plane.as_ref().expect("a lane has its control plane until it is dropped")
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let (Some(control_plane), Some((idle, permit))) = (self.control_plane.take(), self.home.take()) {
            if std::thread::panicking() {
                control_plane.keep();
            }
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(control_plane);
            drop(permit);
        }
    }
}
