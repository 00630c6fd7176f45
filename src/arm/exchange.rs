//! One request to ARM and its answer: sent, timed and counted. Never judges an answer, never follows a redirect, and never
//! logs a body, a token or a URL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::HeaderName;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, Pipeline, PipelineOptions, PipelineSendOptions, Request,
    RetryOptions, StatusCode,
};
use tokio::time::Instant;
use tracing::Instrument as _;
use url::Url;

use super::answer::{Answer, Asked};
use super::budget::{self, Budget};
use super::error::ArmError;
use super::options::{ArmOptions, ArmOptionsError, authorization, transport};
use super::telemetry::{Kind, Outcome, Telemetry};
use crate::leadership::Permit;

/// The id that the operator gives to a request, known even if no answer comes.
const CLIENT_REQUEST: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// What a read is repeated after at once. Not what may say how long to wait (429 and 503), which can be longer than a read
/// may take.
const REPEATED: [StatusCode; 4] =
    [StatusCode::RequestTimeout, StatusCode::InternalServerError, StatusCode::BadGateway, StatusCode::GatewayTimeout];

/// A request to make.
pub(super) struct Call<'a> {
    /// What it is for.
    pub(super) kind: Kind,
    /// The pool that it is about.
    pub(super) pool: Option<&'a str>,
    /// The request.
    pub(super) request: Request,
    /// The right to make it, for a write.
    pub(super) permit: Option<Permit>,
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
            let repeated = PipelineOptions { retry_status_codes: REPEATED.into(), ..PipelineOptions::default() };
            Pipeline::new(name, version, client_options, Vec::new(), policies.clone(), Some(repeated))
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
        let Call { kind, pool, mut request, permit } = call;
        let (pipeline, limit) = match kind {
            Kind::ReadCluster | Kind::ReadPool | Kind::ReadUpgrades => (&self.repeating, self.read_timeout),
            Kind::ReadOperation => (&self.single, self.read_timeout),
            Kind::WritePool | Kind::DeletePool | Kind::DeleteMachines | Kind::UpgradeImage => {
                (&self.single, self.write_timeout)
            }
        };
        let asked = Asked { what: kind.what(pool), endpoint: self.endpoint.clone() };
        let (attempts, began) = (Attempts::default(), Instant::now());
        let context = Context::new().with_value(attempts.clone());
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let sent = pipeline.send(&context, &mut request, Some(options));
        let sent = sent.instrument(tracing::info_span!("arm", kind = kind.name(), pool));
        let answered = match permit {
            Some(permit) => permit.within(limit, sent).await.ok(),
            None => tokio::time::timeout(limit, sent).await.ok(),
        };
        let result = match answered {
            Some(Ok(response)) => Ok(Answer::of(asked, response)),
            Some(Err(error)) => Err(asked.unanswered(error)),
            None => Err(asked.lost(format!("no whole answer came within {} s", limit.as_secs_f64()))),
        };
        let error = match &result {
            Ok(answer) => answer.error(),
            Err(_) => None,
        };
        let correlation = match &result {
            Ok(answer) => answer.correlation(),
            Err(error) => error.correlation().map(str::to_owned),
        };
        let attempts = attempts.0.load(Ordering::Relaxed);
        self.telemetry.record(&Outcome {
            kind,
            pool,
            status: result.as_ref().ok().map(Answer::status),
            error: error.as_ref().or(result.as_ref().err()),
            took: began.elapsed(),
            attempts,
            correlation: correlation.as_deref(),
            client_request: request.headers().get_optional_str(&CLIENT_REQUEST),
        });
        // The first attempt was paid for before it was made.
        let repeated = match kind {
            Kind::ReadCluster => Some(budget::Request::ReadCluster),
            Kind::ReadPool | Kind::ReadUpgrades => Some(budget::Request::ReadPool),
            Kind::ReadOperation | Kind::WritePool | Kind::DeletePool | Kind::DeleteMachines | Kind::UpgradeImage => {
                None
            }
        };
        if let Some(request) = repeated {
            self.budget.spend(&request, attempts.saturating_sub(1));
        }
        result
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
