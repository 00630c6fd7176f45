//! The policies as somebody sees them who watches them. Never asks twice: what is waited for must come by itself.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use nodepool_operator::api::{ConditionStatus, NodePoolPolicy, NodePoolPolicyStatus};

const DEADLINE: Duration = Duration::from_mins(2);

/// A watch of all policies.
pub(crate) struct Watch(BoxStream<'static, Result<NodePoolPolicy, watcher::Error>>);

impl Watch {
    pub(crate) fn new(client: &Client) -> Self {
        let api: Api<NodePoolPolicy> = Api::all(client.clone());
        Self(watcher(api, watcher::Config::default()).applied_objects().boxed())
    }

    /// Waits until a version of the policy comes that `fits`; tells when it came.
    pub(crate) async fn until(
        &mut self,
        name: &str,
        what: &str,
        fits: impl Fn(&NodePoolPolicy) -> bool,
    ) -> anyhow::Result<SystemTime> {
        let wait = async {
            while let Some(policy) = self.0.next().await {
                let policy = policy.context("the watch of the policies fails")?;
                if policy.name_any() == name && fits(&policy) {
                    return Ok(SystemTime::now());
                }
            }
            bail!("the watch of the policies has ended")
        };
        let waited = tokio::time::timeout(DEADLINE, wait).await;
        waited.with_context(|| format!("policy {name} was not {what} within {DEADLINE:?}"))?
    }

    /// Waits until a status about this generation comes that `fits`; tells when it came.
    pub(crate) async fn until_status(
        &mut self,
        applied: &NodePoolPolicy,
        what: &str,
        fits: impl Fn(&NodePoolPolicyStatus) -> bool,
    ) -> anyhow::Result<SystemTime> {
        let generation = applied.metadata.generation;
        let about_it = |policy: &NodePoolPolicy| {
            policy.status.as_ref().is_some_and(|status| status.observed_generation == generation && fits(status))
        };
        self.until(&applied.name_any(), what, about_it).await
    }
}

/// Whether a condition is what it should be.
pub(crate) fn is(status: &NodePoolPolicyStatus, type_: &str, wanted: ConditionStatus) -> bool {
    status.condition(type_).is_some_and(|condition| condition.status == wanted)
}
