//! What wakes the loop. Never loses a call, and never wakes more than once for many calls.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Wakes the loop when something that it would see has changed.
#[derive(Default)]
pub struct Wake {
    notify: Notify,
    policy_changed_at: Mutex<Option<Instant>>,
}

impl Wake {
    /// A node, pod or disruption budget has changed in a way that a rule would see.
    pub fn facts_changed(&self) {
        self.notify.notify_one();
    }

    /// Somebody has written a policy.
    pub fn policy_changed(&self) {
        *self.policy_changed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.notify.notify_one();
    }

    /// When somebody last wrote a policy.
    pub fn policy_changed_at(&self) -> Option<Instant> {
        *self.policy_changed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a call; returns at once if there was one since the last wait.
    pub async fn called(&self) {
        self.notify.notified().await;
    }
}
