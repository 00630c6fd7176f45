//! One request to ARM and its answer: sent, timed and counted. Never judges an answer, never follows a redirect, and never
//! logs a body, a token or a URL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Pipeline, PipelineSendOptions, RawResponse, Request, RetryOptions,
};
use tokio::time::Instant;
use tracing::Instrument as _;
use url::Url;

use super::budget::{self, Budget};
use super::error::ArmError;
use super::options::{ArmOptions, ArmOptionsError, authorization, transport};
use super::telemetry::{Kind, Outcome, Telemetry};

/// The id that joins what Azure logs about one request.
const CORRELATION: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
/// The id that the operator gives to a request, known even if no answer comes.
const CLIENT_REQUEST: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// Where an answer names the operation that carries out a write.
const OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");
/// The longest wait that is taken from an answer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A request to make.
pub(super) struct Call<'a> {
    /// What it is for.
    pub(super) kind: Kind,
    /// The pool that it is about.
    pub(super) pool: Option<&'a str>,
    /// The request.
    pub(super) request: Request,
}

/// Sends requests to one ARM.
pub(super) struct Exchange {
    /// Repeats what was not answered, or with a passing error.
    repeating: Pipeline,
    /// Sends once.
    single: Pipeline,
    endpoint: Url,
    read_timeout: Duration,
    write_timeout: Duration,
    budget: Arc<Budget>,
    telemetry: Telemetry,
}

impl Exchange {
    /// An exchange that has sent nothing yet.
    pub(super) fn new(
        options: &ArmOptions,
        budget: Arc<Budget>,
        telemetry: Telemetry,
    ) -> Result<Self, ArmOptionsError> {
        let transport = transport(options.ca_file.as_deref())?;
        // After those that sign: an attempt that could not be signed was not made.
        let mut policies = authorization(options, &transport)?;
        policies.push(Arc::new(CountAttempts));
        let pipeline = |retry: RetryOptions| {
            let client_options =
                ClientOptions { retry, transport: Some(transport.clone()), ..ClientOptions::default() };
            let (name, version) = (option_env!("CARGO_PKG_NAME"), option_env!("CARGO_PKG_VERSION"));
            Pipeline::new(name, version, client_options, Vec::new(), policies.clone(), None)
        };
        let reads = ExponentialRetryOptions {
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(5),
            ..ExponentialRetryOptions::default()
        };
        Ok(Self {
            repeating: pipeline(RetryOptions::exponential(reads)),
            single: pipeline(RetryOptions::none()),
            endpoint: options.endpoint.clone(),
            read_timeout: options.read_timeout,
            write_timeout: options.write_timeout,
            budget,
            telemetry,
        })
    }

    /// Makes a request and returns whatever is answered. Only reads of resources are repeated.
    pub(super) async fn make(&self, call: Call<'_>) -> Result<Answer, ArmError> {
        let Call { kind, pool, mut request } = call;
        let (pipeline, limit) = match kind {
            Kind::ReadCluster | Kind::ReadPool => (&self.repeating, self.read_timeout),
            Kind::ReadOperation => (&self.single, self.read_timeout),
            Kind::WritePool => (&self.single, self.write_timeout),
        };
        let (attempts, began) = (Attempts::default(), Instant::now());
        let context = Context::new().with_value(attempts.clone());
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let sent = tokio::time::timeout(limit, pipeline.send(&context, &mut request, Some(options)));
        let result = match sent.instrument(tracing::info_span!("arm", kind = kind.name(), pool)).await {
            Ok(Ok(response)) => Ok(Answer::of(&response)),
            Ok(Err(error)) => Err(ArmError::unanswered(self.endpoint.as_str(), error)),
            Err(_) => {
                let detail = format!("nothing came within {} s", limit.as_secs_f64());
                Err(ArmError::Lost { endpoint: self.endpoint.to_string(), detail })
            }
        };
        let error = match &result {
            Ok(answer) => answer.error(),
            Err(_) => None,
        };
        let attempts = attempts.0.load(Ordering::Relaxed);
        self.telemetry.record(&Outcome {
            kind,
            pool,
            status: result.as_ref().ok().map(|answer| answer.status),
            error: error.as_ref().or(result.as_ref().err()),
            took: began.elapsed(),
            attempts,
            correlation: result.as_ref().ok().and_then(|answer| answer.correlation.as_deref()),
            client_request: request.headers().get_optional_str(&CLIENT_REQUEST),
        });
        // The first attempt was paid for before it was made.
        let repeated = match kind {
            Kind::ReadCluster => Some(budget::Request::ReadCluster),
            Kind::ReadPool => Some(budget::Request::ReadPool),
            Kind::ReadOperation | Kind::WritePool => None,
        };
        if let Some(request) = repeated {
            self.budget.spend(&request, attempts.saturating_sub(1));
        }
        result
    }
}

/// What ARM answered.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Vec<u8>,
    /// How long to wait, when ARM says so.
    pub(super) retry_after: Option<Duration>,
    /// The id by which Azure's support finds the request.
    correlation: Option<String>,
    /// The URL of the operation that carries out a write.
    pub(super) operation: Option<String>,
}

impl Answer {
    fn of(response: &RawResponse) -> Self {
        let header = |name: &HeaderName| response.headers().get_optional_str(name);
        let seconds = header(&RETRY_AFTER).and_then(|text| text.parse::<u64>().ok());
        Self {
            status: u16::from(response.status()),
            body: response.body().as_ref().to_vec(),
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
            correlation: header(&CORRELATION).map(str::to_owned),
            operation: header(&OPERATION).map(str::to_owned),
        }
    }

    /// The error that it is, if it is one.
    fn error(&self) -> Option<ArmError> {
        if (200..300).contains(&self.status) {
            return None;
        }
        Some(ArmError::answered(self.status, &self.body, self.retry_after).correlated(self.correlation.clone()))
    }

    /// The answer if it is no error.
    pub(super) fn accepted(self) -> Result<Self, ArmError> {
        self.error().map_or(Ok(self), Err)
    }
}

/// How often a request was sent.
#[derive(Debug, Clone, Default)]
struct Attempts(Arc<AtomicU32>);

/// Counts how often a request is sent: it stands behind the policy that repeats.
#[derive(Debug)]
struct CountAttempts;

#[async_trait]
impl Policy for CountAttempts {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if let Some(Attempts(attempts)) = context.value() {
            attempts.fetch_add(1, Ordering::Relaxed);
        }
        match next.split_first() {
            Some((first, rest)) => first.send(context, request, rest).await,
            None => Err(azure_core::Error::with_message(ErrorKind::Other, "nothing sends the request")),
        }
    }
}
