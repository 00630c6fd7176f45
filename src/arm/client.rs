//! Requests to ARM, one at a time. Never retries a write, never follows a redirect, never logs a body or a token.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{Method, Request};
use nodepool_kernel::{Approved, Cluster, Step};
use prometheus_client::registry::Registry;
use serde_json::json;

use super::answer::Answer;
use super::budget::{self, Budget, Urgency};
use super::document::{PoolDocument, cluster};
use super::error::ArmError;
use super::exchange::{Call, Exchange};
use super::operation::{Operation, Progress, Response, next};
use super::options::{ArmOptions, ArmOptionsError};
use super::telemetry::{Kind, Telemetry};
use super::upgrades::{Offer, offered};
use super::write::{Accepted, PoolWrite};
use crate::leadership::Permit;

/// A client for one managed cluster.
pub struct ArmClient {
    exchange: Exchange,
    budget: Arc<Budget>,
    telemetry: Telemetry,
    options: ArmOptions,
}

impl ArmClient {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The options contradict each other, or the environment lacks what the sign-in needs.
    pub fn new(options: ArmOptions) -> Result<Self, ArmOptionsError> {
        let (budget, telemetry) = (Arc::new(Budget::new(options.request_share)), Telemetry::new());
        let exchange = Exchange::new(&options, Arc::clone(&budget), telemetry.clone())?;
        Ok(Self { exchange, budget, telemetry, options })
    }

    /// How long a write may take before its outcome counts as unknown.
    #[must_use]
    pub const fn write_timeout(&self) -> Duration {
        self.options.write_timeout
    }

    /// Offers the counters of all requests, and what is left of the budgets, to be read.
    pub fn register(&self, registry: &mut Registry) {
        self.telemetry.register(&self.budget, registry);
    }

    /// Takes the budget for a read of the cluster.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_read(&self) -> Result<(), ArmError> {
        self.afford(&[(budget::Request::ReadCluster, 1)], Urgency::Urgent)
    }

    /// Takes the budget for a step: the cluster and so many pools are read, then `pool` is written.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_step(&self, pool: &str, pools_read: usize, urgency: Urgency) -> Result<(), ArmError> {
        let pools_read = u32::try_from(pools_read).unwrap_or(u32::MAX);
        let write = budget::Request::WritePool(pool.to_owned());
        let reads = [(budget::Request::ReadCluster, 1), (budget::Request::ReadPool, pools_read)];
        self.afford(&[&reads[..], &[(write, 1)]].concat(), urgency)
    }

    /// Takes the budget for a removal, or for the upgrade of a node image: the cluster and so many pools are read, then comes
    /// a request that counts as a read of a pool does.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_removal(&self, pools_read: usize) -> Result<(), ArmError> {
        let pools = u32::try_from(pools_read).unwrap_or(u32::MAX).saturating_add(1);
        self.afford(&[(budget::Request::ReadCluster, 1), (budget::Request::ReadPool, pools)], Urgency::Ordinary)
    }

    /// Takes the budget for a read of one pool.
    ///
    /// # Errors
    /// [`ArmError::OverBudget`] while there is none.
    pub fn afford_pool(&self) -> Result<(), ArmError> {
        self.afford(&[(budget::Request::ReadPool, 1)], Urgency::Urgent)
    }

    fn afford(&self, requests: &[(budget::Request, u32)], urgency: Urgency) -> Result<(), ArmError> {
        self.budget.take(requests, urgency).map_err(|after| ArmError::OverBudget { after })
    }

    /// The cluster with all its pools, in one request.
    ///
    /// # Errors
    /// No answer, an error, or an answer that is not a managed cluster.
    pub async fn cluster(&self) -> Result<Cluster, ArmError> {
        let answer = self.get(Kind::ReadCluster, None, &self.options.cluster.to_string()).await?;
        cluster(&self.options.cluster, &answer.document()?).map_err(|detail| answer.malformed(detail))
    }

    /// One pool.
    ///
    /// # Errors
    /// No answer, an error (404 when there is no such pool), or an answer that is not a pool.
    pub async fn pool(&self, name: &str) -> Result<PoolDocument, ArmError> {
        let answer = self.get(Kind::ReadPool, Some(name), &self.pool_path(name)).await?;
        PoolDocument::of(name, answer.document()?).map_err(|detail| answer.malformed(detail))
    }

    /// What AKS offers a pool: versions, and the latest node image.
    ///
    /// # Errors
    /// No answer, an error, or an answer that is no list of upgrades.
    pub async fn upgrades(&self, name: &str) -> Result<Offer, ArmError> {
        let path = format!("{}/upgradeProfiles/default", self.pool_path(name));
        let answer = self.get(Kind::ReadUpgrades, Some(name), &path).await?;
        offered(&answer.document()?).map_err(|detail| answer.malformed(detail))
    }

    /// Writes a pool, once. Only an approved step can be written.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn put_pool(
        &self,
        approved: &Approved<Step>,
        write: &PoolWrite,
        permit: Permit,
    ) -> Result<Accepted, ArmError> {
        let pool = &approved.get().pool;
        let mut request = self.request(&self.pool_path(pool), Method::Put);
        request.insert_header("content-type", "application/json");
        if let Some(tag) = &write.if_match {
            request.insert_header("if-match", tag.clone());
        }
        if write.if_none_match {
            request.insert_header("if-none-match", "*");
        }
        request.set_body(write.body.to_string().into_bytes());
        let call = Call { kind: Kind::WritePool, pool: Some(pool), request, permit: Some(permit) };
        let answer = self.exchange.make(call).await?.accepted()?;
        // A page of something in between is no word of ARM that the write was accepted.
        PoolDocument::of(pool, answer.document()?).map_err(|detail| answer.malformed(detail))?;
        Ok(self.taken(pool, &answer))
    }

    /// Deletes a pool, once, if it is still the one of that eTag. Disruption budgets are never set aside. Only an approved step
    /// can delete.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn delete_pool(
        &self,
        approved: &Approved<Step>,
        if_match: Option<&str>,
        permit: Permit,
    ) -> Result<Accepted, ArmError> {
        let pool = &approved.get().pool;
        let mut request = self.request(&self.pool_path(pool), Method::Delete);
        if let Some(tag) = if_match {
            request.insert_header("if-match", tag.to_owned());
        }
        let call = Call { kind: Kind::DeletePool, pool: Some(pool), request, permit: Some(permit) };
        let answer = self.exchange.make(call).await?.accepted()?;
        // A page of something in between is no word of ARM that the deletion was accepted.
        if !matches!(answer.status(), 202 | 204) {
            return Err(answer.malformed(format!("a deletion is not answered with {}", answer.status())));
        }
        Ok(self.taken(pool, &answer))
    }

    /// Removes these machines of a pool, once. Azure neither cordons nor drains them. Only an approved step can remove any.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn delete_machines(
        &self,
        approved: &Approved<Step>,
        machines: &[String],
        permit: Permit,
    ) -> Result<Accepted, ArmError> {
        let pool = &approved.get().pool;
        let mut request = self.request(&format!("{}/deleteMachines", self.pool_path(pool)), Method::Post);
        request.insert_header("content-type", "application/json");
        request.set_body(json!({ "machineNames": machines }).to_string().into_bytes());
        let call = Call { kind: Kind::DeleteMachines, pool: Some(pool), request, permit: Some(permit) };
        let answer = self.exchange.make(call).await?.accepted()?;
        // A page of something in between is no word of ARM that the removal was accepted.
        if answer.status() != 202 {
            return Err(answer.malformed(format!("a removal of machines is not answered with {}", answer.status())));
        }
        Ok(self.taken(pool, &answer))
    }

    /// Brings the nodes of a pool to the latest image, once. Only an approved step can.
    ///
    /// # Errors
    /// An error, or no answer; [`ArmError::outcome_unknown`] tells whether it may have had an effect all the same.
    pub async fn upgrade_node_image(&self, approved: &Approved<Step>, permit: Permit) -> Result<Accepted, ArmError> {
        let pool = &approved.get().pool;
        let request = self.request(&format!("{}/upgradeNodeImageVersion", self.pool_path(pool)), Method::Post);
        let call = Call { kind: Kind::UpgradeImage, pool: Some(pool), request, permit: Some(permit) };
        let answer = self.exchange.make(call).await?.accepted()?;
        // A page of something in between is no word of ARM that the upgrade was accepted.
        PoolDocument::of(pool, answer.document()?).map_err(|detail| answer.malformed(detail))?;
        Ok(self.taken(pool, &answer))
    }

    /// What the answer to a write tells of it.
    fn taken(&self, pool: &str, answer: &Answer) -> Accepted {
        Accepted { operation: self.operation_of(pool, answer), correlation: answer.correlation() }
    }

    /// The operation that an answer names, if it may be asked.
    fn operation_of(&self, pool: &str, answer: &Answer) -> Option<Operation> {
        let operation = answer.operation().map(|url| Operation::at(url, &self.options.endpoint)).transpose();
        let operation = operation.unwrap_or_else(|error| {
            tracing::warn!(pool, %error, "how the operation goes is seen from the pool alone");
            None
        });
        operation.map(|operation| operation.of_pool(pool))
    }

    /// Asks once how an operation goes. What went wrong with the request is in the result: the operation runs on.
    pub async fn poll(&self, operation: &Operation) -> Progress {
        let absent = |error: &ArmError, retry_after| {
            let why = error.to_string();
            next(operation, &Response::Absent { why: &why, retry_after })
        };
        if let Err(after) = self.budget.take(&[(budget::Request::ReadOperation, 1)], Urgency::Urgent) {
            return absent(&ArmError::OverBudget { after }, Some(after));
        }
        let request = accepting_json(Request::new(operation.url().clone(), Method::Get));
        let call = Call { kind: Kind::ReadOperation, pool: operation.pool(), request, permit: None };
        match self.exchange.make(call).await {
            Ok(answer) => {
                let (status, body, retry_after) = (answer.status(), answer.body(), answer.retry_after());
                next(operation, &Response::Answered { status, body, retry_after })
            }
            Err(error) => absent(&error, None),
        }
    }

    fn pool_path(&self, name: &str) -> String {
        format!("{}/agentPools/{name}", self.options.cluster)
    }

    fn request(&self, path: &str, method: Method) -> Request {
        let mut url = self.options.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().clear().append_pair("api-version", &self.options.api_version);
        accepting_json(Request::new(url, method))
    }

    async fn get(&self, kind: Kind, pool: Option<&str>, path: &str) -> Result<Answer, ArmError> {
        let request = self.request(path, Method::Get);
        self.exchange.make(Call { kind, pool, request, permit: None }).await?.accepted()
    }
}

fn accepting_json(mut request: Request) -> Request {
    request.insert_header("accept", "application/json");
    request
}
