//! The gate that every write to the API server passes: it holds a permit, and ends with it. Never holds reads up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower::{BoxError, Layer, Service};

use super::Leadership;

/// Lets requests through that only read, and writes only while this process leads.
#[derive(Debug, Clone)]
pub struct WriteGate {
    leadership: Leadership,
    /// How long a write may take.
    limit: Duration,
}

impl WriteGate {
    /// A gate for writes that may take so long.
    #[must_use]
    pub const fn new(leadership: Leadership, limit: Duration) -> Self {
        Self { leadership, limit }
    }
}

impl<S> Layer<S> for WriteGate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

/// A service behind a gate.
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: WriteGate,
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Gated<S>
where
    S: Service<Request<In>, Response = Response<Out>, Error = BoxError>,
    S::Future: Send + 'static,
    Out: Send + 'static,
{
    type Response = Response<Out>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Out>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        if request.method().is_safe() {
            return Box::pin(self.inner.call(request));
        }
        let limit = self.gate.limit;
        match self.gate.leadership.permit(limit) {
            Ok(permit) => {
                let answer = self.inner.call(request);
                Box::pin(async move { permit.within(limit, answer).await? })
            }
            Err(refused) => Box::pin(std::future::ready(Err(refused.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::Method;
    use tokio::sync::watch;
    use tower::{ServiceExt as _, service_fn};

    use super::super::NotLeading;
    use super::super::permit::Standing;
    use super::*;

    #[tokio::test]
    async fn only_reads_pass_while_another_replica_leads() {
        let (stand, standing) = watch::channel(Standing::Waiting);
        let passed = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&passed);
        let server = service_fn(move |_: Request<()>| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok::<_, BoxError>(Response::new(())))
        });
        let gate = WriteGate::new(Leadership::following(standing), Duration::from_secs(1)).layer(server);
        let ask = async |method: Method| {
            let request = Request::builder().method(method).body(()).unwrap();
            gate.clone().oneshot(request).await.map(drop)
        };
        assert!(ask(Method::GET).await.is_ok());
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let refused = ask(method).await.unwrap_err();
            assert!(refused.is::<NotLeading>(), "{refused}");
        }
        assert_eq!(passed.load(Ordering::SeqCst), 1);
        stand.send(Standing::Sole).unwrap();
        assert!(ask(Method::PATCH).await.is_ok());
        assert_eq!(passed.load(Ordering::SeqCst), 2);
    }
}
