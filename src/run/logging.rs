//! What is logged and how: set at the start, and changed while the operator runs. Never ends the process for what is asked later.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// An object a line, for machines.
    Json,
    /// Words, for people.
    Text,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
#[error("--log {filter:?} is not a filter such as info or nodepool_operator=debug: {detail}")]
pub(super) struct LogError {
    filter: String,
    detail: String,
}

/// The log of this process.
pub(super) struct Log {
    /// What `--log` says.
    at_start: String,
    /// What was asked for since, whether it could be followed or not.
    asked: Option<String>,
    handle: Handle<EnvFilter, Registry>,
}

impl Log {
    /// Begins to log.
    ///
    /// # Errors
    /// `filter` is none, or something else logs already.
    pub(super) fn start(filter: &str, format: LogFormat) -> Result<Self, LogError> {
        let error = |detail: String| LogError { filter: filter.to_owned(), detail };
        let (layer, handle) = reload::Layer::new(parse(filter).map_err(error)?);
        let output = match format {
            LogFormat::Json => fmt::layer().json().with_writer(io::stderr).boxed(),
            LogFormat::Text => fmt::layer().with_ansi(false).with_writer(io::stderr).boxed(),
        };
        let started = tracing_subscriber::registry().with(layer).with(output).try_init();
        started.map_err(|problem| error(problem.to_string()))?;
        Ok(Self { at_start: filter.to_owned(), asked: None, handle })
    }

    /// Logs what is asked for from now on, or what `--log` says if nothing is. What can't be understood is told once.
    pub(super) fn follow(&mut self, asked: Option<String>) {
        if self.asked == asked {
            return;
        }
        let wanted = asked.as_deref().unwrap_or(&self.at_start);
        match parse(wanted) {
            Ok(filter) => {
                tracing::info!(filter = wanted, "what is logged changes");
                if let Err(error) = self.handle.reload(filter) {
                    tracing::warn!(%error, "what is logged could not be changed");
                }
            }
            Err(detail) => tracing::warn!(
                log = wanted,
                detail,
                "spec.log of the NodePoolInventory cluster is not a filter such as info or nodepool_operator=debug; what is \
                 logged stays as it was"
            ),
        }
        self.asked = asked;
    }
}

/// kube logs lost watches as dumps of Rust values; the operator says the same in words.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("kube_runtime=error,{filter}")).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_levels_of_targets() {
        for filter in ["info", "nodepool_operator=debug", "warn,nodepool_operator::run=trace", "off"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["nodepool_operator=loud", "a=b=c", "info,x=12"] {
            assert!(parse(filter).is_err(), "{filter}");
        }
    }
}
