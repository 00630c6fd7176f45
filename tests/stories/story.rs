//! A story: a name, what happens, and where it is told. Never knows what one is about.

use std::future::Future;
use std::pin::Pin;

use testbed::{Lane, Lanes};

use super::support::Scene;

type Telling = Pin<Box<dyn Future<Output = anyhow::Result<Option<Scene>>>>>;

/// A story: a name and what happens.
pub struct Story {
    name: &'static str,
    /// Whether something is absent that the story needs.
    is_ignored: bool,
    tell: Box<dyn FnOnce(Lane) -> Telling + Send>,
}

/// A story that is told by `tell` and ends with its scene, if it has one.
pub fn story<F, S>(name: &'static str, tell: impl FnOnce(Lane) -> F + Send + 'static) -> Story
where
    F: Future<Output = anyhow::Result<S>> + 'static,
    S: Into<Option<Scene>>,
{
    Story {
        name,
        is_ignored: false,
        tell: Box::new(move |lane| Box::pin(async move { tell(lane).await.map(Into::into) })),
    }
}

impl Story {
    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The same, told only where `variable` of the environment says with what.
    pub fn told_where_set(mut self, variable: &str) -> Self {
        self.is_ignored = std::env::var_os(variable).is_none_or(|value| value.is_empty());
        self
    }

    /// Whether something is absent that it needs. The runner says so.
    pub fn is_ignored(&self) -> bool {
        self.is_ignored
    }

    /// Tells the story on a control plane of its own, and looks at what every story must leave behind.
    pub async fn tell(self, lanes: Lanes) -> anyhow::Result<()> {
        match (self.tell)(lanes.lease().await?).await? {
            Some(scene) => scene.ends_well().await,
            None => Ok(()),
        }
    }
}
