//! The transport below the pipeline: bodies are read to their end, or up to a limit. Never retries, and never takes the
//! beginning of a document for the whole.

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::StreamExt as _;

use super::answer::correlation;

/// The most bytes of a body that are kept. The document of a cluster with the hundred pools that AKS allows takes some
/// hundred kilobytes.
pub(super) const LIMIT: usize = 8 << 20;

/// An HTTP client whose bodies end: what is longer than [`LIMIT`] is longer by one piece and no more.
#[derive(Debug)]
pub(super) struct Bounded(pub(super) reqwest::Client);

/// An answer of success that broke off.
#[derive(Debug, thiserror::Error)]
#[error("the answer ({status}) broke off")]
pub(super) struct BrokenOff {
    /// The HTTP status.
    status: u16,
    /// The id by which Azure's support finds the request.
    pub(super) correlation: Option<String>,
    #[source]
    cause: azure_core::Error,
}

#[async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, mut body) = self.0.execute_request(request).await?.deconstruct();
        let mut read = Vec::new();
        while read.len() <= LIMIT {
            match body.next().await {
                None => break,
                Some(Ok(piece)) => read.extend_from_slice(&piece),
                // What an error means is known from its status.
                Some(Err(_)) if !status.is_success() => break,
                Some(Err(cause)) => {
                    let broken = BrokenOff { status: status.into(), correlation: correlation(&headers), cause };
                    return Err(azure_core::Error::new(ErrorKind::Io, broken));
                }
            }
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, read))
    }
}
