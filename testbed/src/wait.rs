//! Waiting for conditions with a deadline; never for luck.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::bail;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value, and returns it.
///
/// `look` answers `Ok(Ok(value))` when what is waited for is there, `Ok(Err(state))` with what it saw instead, and
/// `Err` when waiting on makes no sense.
///
/// # Errors
/// When `look` fails, or has not given a value within `deadline`: the message says what was waited for and what was
/// last seen.
pub async fn wait_for<T, S: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Result<T, S>>,
) -> anyhow::Result<T> {
    let until = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) if Instant::now() > until => bail!("waited {deadline:?} for {what}; last seen: {state}"),
            Ok(Err(_)) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => return Err(error.context(format!("waiting for {what} was given up"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_the_first_value() {
        let mut left = 2;
        let value = wait_for("a countdown", Duration::from_secs(5), async || {
            left -= 1;
            Ok(if left == 0 { Ok("now") } else { Err(left) })
        });
        assert_eq!(value.await.unwrap(), "now");
    }

    #[tokio::test]
    async fn an_expired_wait_says_what_for_and_what_was_seen() {
        let wait = wait_for("the moon", Duration::ZERO, async || Ok(Err::<(), _>("clouds")));
        let error = wait.await.unwrap_err().to_string();
        assert!(error.contains("the moon") && error.contains("clouds"), "{error}");
    }
}
