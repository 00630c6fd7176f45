//! Whether the operator works, as kubelet asks. Never decides anything about a pool, and never looks by itself: the loops tell.

mod routes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use routes::routes;

/// What the loops tell of themselves. A copy tells the same.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
    /// How late a sign of life may be.
    patience: Duration,
}

#[derive(Debug)]
struct State {
    role: Role,
    /// By when the next sign of life is due.
    due: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// The lease has not been seen yet, and what stands in the way, if that is known.
    Starting { why: Option<String> },
    /// Another replica leads.
    Waiting {
        /// Which one.
        holder: String,
        /// Until when that is fresh enough to take over from.
        until: Instant,
    },
    /// It leads: what it lacks, in words; `None` before the first pass.
    Leading { lacking: Option<Vec<String>> },
    /// It was told to end.
    Stopping,
}

impl Health {
    /// That of a process that has just begun. A sign of life that is later than `patience` means that it hangs.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let state = State { role: Role::Starting { why: None }, due: Instant::now() + patience };
        Self { state: Arc::new(Mutex::new(state)), patience }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The loop that is responsible goes on, and gives the next sign within the patience.
    pub fn lives(&self) {
        self.lives_until(Instant::now());
    }

    /// The loop rests until then.
    pub fn lives_until(&self, next: Instant) {
        self.change(|state| state.due = next + self.patience);
    }

    /// The lease could not be read or written.
    pub fn lacks_the_lease(&self, failure: &str) {
        self.change(|state| {
            if let Role::Starting { why } = &mut state.role {
                *why = Some(failure.to_owned());
            }
        });
    }

    /// Another replica leads; the lease is looked at again before `until`.
    pub fn waits_for(&self, holder: &str, until: Instant) {
        self.change(|state| state.role = Role::Waiting { holder: holder.to_owned(), until });
    }

    /// This replica leads now.
    pub fn leads(&self) {
        self.change(|state| state.role = Role::Leading { lacking: None });
        self.lives();
    }

    /// What the last pass could not see, in words; nothing if it saw all.
    pub fn saw(&self, lacking: Vec<String>) {
        self.change(|state| {
            if let Role::Leading { lacking: known } = &mut state.role {
                *known = Some(lacking);
            }
        });
    }

    /// It is told to end.
    pub fn stops(&self) {
        self.change(|state| state.role = Role::Stopping);
        self.lives();
    }

    fn with<T>(&self, of: impl FnOnce(&State) -> T) -> T {
        of(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the process has begun its work.
    ///
    /// # Errors
    /// What it waits for.
    pub fn started(&self) -> Result<String, String> {
        self.with(|state| match &state.role {
            Role::Starting { why } => Err(starting(why.as_deref())),
            Role::Waiting { .. } | Role::Leading { .. } | Role::Stopping => Ok("it has started".to_owned()),
        })
    }

    /// Whether the loop goes on.
    ///
    /// # Errors
    /// For how long it has not.
    pub fn alive(&self) -> Result<String, String> {
        self.with(|state| {
            let late = Instant::now().saturating_duration_since(state.due);
            if late.is_zero() {
                return Ok("the loop goes on".to_owned());
            }
            let silent = (late + self.patience).as_secs();
            Err(format!("the loop hangs: it gave no sign of life for {silent} s"))
        })
    }

    /// Whether it does what it is there for: it waits its turn, or sees all that decisions rest on.
    ///
    /// # Errors
    /// What it lacks, one thing a line.
    pub fn ready(&self) -> Result<String, String> {
        self.with(|state| match &state.role {
            Role::Starting { why } => Err(starting(why.as_deref())),
            Role::Waiting { until, .. } if *until < Instant::now() => {
                Err("the lease can't be read any more, so that this replica could not take over".to_owned())
            }
            Role::Waiting { holder, .. } => Ok(format!("{holder} leads; this replica waits to take over")),
            Role::Leading { lacking: None } => Err("the first pass has not ended yet".to_owned()),
            Role::Leading { lacking: Some(lacking) } if lacking.is_empty() => {
                Ok("this replica leads and sees everything".to_owned())
            }
            Role::Leading { lacking: Some(lacking) } => Err(lacking.join("\n")),
            Role::Stopping => Err("it was told to end".to_owned()),
        })
    }
}

fn starting(why: Option<&str>) -> String {
    why.map_or_else(
        || "the lease has not been looked at yet".to_owned(),
        |why| format!("the lease could not be read or written: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_while_it_waits_and_when_it_leads_and_sees_all() {
        let health = Health::new(PATIENCE);
        assert!(health.started().is_err() && health.ready().is_err());
        health.lacks_the_lease("leases is forbidden");
        assert_eq!(health.started().unwrap_err(), "the lease could not be read or written: leases is forbidden");
        health.waits_for("other", Instant::now() + PATIENCE);
        assert!(health.started().is_ok());
        assert_eq!(health.ready().unwrap(), "other leads; this replica waits to take over");
        tokio::time::advance(PATIENCE * 2).await;
        assert!(health.ready().is_err());
        health.leads();
        assert_eq!(health.ready().unwrap_err(), "the first pass has not ended yet");
        health.saw(vec!["ARM: no answer".to_owned(), "nodes: forbidden".to_owned()]);
        assert_eq!(health.ready().unwrap_err(), "ARM: no answer\nnodes: forbidden");
        health.saw(Vec::new());
        assert!(health.ready().is_ok());
        health.stops();
        assert_eq!((health.ready().is_err(), health.alive().is_ok()), (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_hangs_when_its_sign_of_life_is_late_and_not_while_it_rests() {
        let health = Health::new(PATIENCE);
        tokio::time::advance(PATIENCE).await;
        assert!(health.alive().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(health.alive().unwrap_err(), "the loop hangs: it gave no sign of life for 11 s");
        health.lives_until(Instant::now() + Duration::from_mins(2));
        tokio::time::advance(Duration::from_secs(130)).await;
        assert!(health.alive().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(health.alive().is_err());
        health.lives();
        assert!(health.alive().is_ok());
    }
}
