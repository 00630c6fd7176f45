//! The crate's requests on the pools of one cluster, and the errors it gives. Never a request of its own.

use std::time::{Duration, Instant};

use azure_core::error::{ErrorKind, HttpError};
use azure_core::{Error, StatusCode};
use azure_mgmt_containerservice::package_preview_2023_01::models::{
    AgentPool, ManagedClusterAgentPoolProfileProperties as Properties,
};
use azure_mgmt_containerservice::package_preview_2023_01::{Client, agent_pools};

use crate::connection::{CLUSTER, GROUP, SUBSCRIPTION, connect};
use crate::{Outcome, Problem, same};

/// The crate's client for the pools under test.
pub struct Pools {
    pub client: Client,
}

impl Pools {
    pub fn connect() -> Result<Self, Problem> {
        Ok(Self { client: connect()? })
    }

    pub fn requests(&self) -> agent_pools::Client {
        self.client.agent_pools_client()
    }

    pub async fn get(&self, name: &str) -> azure_core::Result<AgentPool> {
        nudged(self.requests().get(SUBSCRIPTION, GROUP, CLUSTER, name).into_future()).await
    }

    pub async fn properties(&self, name: &str) -> Result<Properties, Problem> {
        self.get(name).await?.properties.ok_or_else(|| format!("pool {name} has no properties").into())
    }

    pub async fn put(&self, name: &str, pool: AgentPool) -> azure_core::Result<AgentPool> {
        nudged(self.requests().create_or_update(SUBSCRIPTION, GROUP, CLUSTER, name, pool).into_future()).await
    }

    /// Begins a PUT of these properties only; the rest stays as it is.
    pub async fn begin(&self, name: &str, properties: Properties) -> azure_core::Result<AgentPool> {
        self.put(name, AgentPool { properties: Some(properties), ..AgentPool::default() }).await
    }

    /// Begins a PUT of these properties only, and reads the pool until the state.
    pub async fn change(&self, name: &str, properties: Properties) -> Result<Properties, Problem> {
        self.begin(name, properties).await?;
        self.until(name, "Succeeded").await
    }

    /// Reads the pool until its state is this, which must be the next one that lasts.
    pub async fn until(&self, name: &str, state: &str) -> Result<Properties, Problem> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let properties = self.properties(name).await?;
            let now = properties.provisioning_state.clone().unwrap_or_default();
            let lasting = matches!(now.as_str(), "Succeeded" | "Failed" | "Canceled");
            if lasting || Instant::now() > deadline {
                same("state", state, &now)?;
                return Ok(properties);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn delete(&self, name: &str) -> Outcome {
        // The answer can't be read, so its operation can't be followed.
        let _: agent_pools::delete::Response =
            self.requests().delete(SUBSCRIPTION, GROUP, CLUSTER, name).send().await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.get(name).await {
                Ok(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(100)).await,
                got => return refused(got, StatusCode::NotFound, "NotFound", name),
            }
        }
    }
}

/// Polls a request again and again. The crate waits before another try in a thread, which wakes the task just before
/// it ends; a task that is faster finds it still there, and nothing would wake it again.
async fn nudged<T>(mut request: impl Future<Output = T> + Unpin) -> T {
    loop {
        if let Ok(answer) = tokio::time::timeout(Duration::from_millis(200), &mut request).await {
            return answer;
        }
    }
}

/// Checks what the crate's own error says.
pub fn refused<T>(got: Result<T, Error>, status: StatusCode, code: &str, part: &str) -> Outcome {
    let Err(error) = got else {
        return Err(format!("expected an error {code}, got none").into());
    };
    let expected = ErrorKind::HttpResponse { status, error_code: Some(code.to_owned()) };
    same("kind of the error", &expected, error.kind())?;
    let message = error.as_http_error().and_then(HttpError::error_message).unwrap_or_default();
    if message.contains(part) {
        Ok(())
    } else {
        Err(format!("expected a message with {part:?}, got {message:?}").into())
    }
}
