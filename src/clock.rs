//! The time of day, as the API server tells it with each of its answers: what is compared with the ages of nodes and pods, which are
//! of its clock, hangs on no clock of the machine that the operator happens to run on. Never sets a clock, and never measures how
//! long something takes.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::DATE;
use http::{HeaderMap, Request, Response};
use jiff::Timestamp;
use nodepool_kernel::Time;
use tower::{BoxError, Layer, Service};

/// So far off the time may be: less than what rules leave for clocks that are apart.
const TOLERANCE: Duration = Duration::from_secs(2);

/// An answer that took longer says too little about the present time to set a clock by it.
const PROMPT: Duration = Duration::from_secs(2);

/// What `Date` leaves out.
const SECOND: Duration = Duration::from_secs(1);

/// A moment by the API server's clock and by the one that only measures how long something takes.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    time: Timestamp,
    at: Instant,
}

impl Anchor {
    fn time(&self, at: Instant) -> Timestamp {
        self.time.checked_add(at.saturating_duration_since(self.at)).unwrap_or(self.time)
    }

    /// The anchor after an answer with this `Date` to a request that was sent and answered at these moments. The same one, if
    /// what it tells fits.
    fn after(self, date: Timestamp, sent: Instant, answered: Instant) -> Self {
        let took = answered.saturating_duration_since(sent);
        let told = self.time(answered);
        let earliest = date.checked_sub(TOLERANCE).unwrap_or(date);
        let latest = date.checked_add(SECOND + took + TOLERANCE).unwrap_or(date);
        if took > PROMPT || (earliest <= told && told <= latest) {
            return self;
        }
        Self { time: date.checked_add((SECOND + took) / 2).unwrap_or(date), at: answered }
    }
}

/// Nothing before somebody asks, or the API server has answered.
static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);

/// The present time, in milliseconds. Until the API server has answered it is what this machine's clock says.
#[must_use]
pub fn now() -> Time {
    let mut anchor = ANCHOR.lock().unwrap_or_else(PoisonError::into_inner);
    let at = Instant::now();
    let anchor = anchor.get_or_insert_with(|| Anchor { time: Timestamp::now(), at });
    Time::from_millis(anchor.time(at).as_millisecond())
}

fn hear(headers: &HeaderMap, sent: Instant) {
    let answered = Instant::now();
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else { return };
    let mut held = ANCHOR.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Timestamp::now();
    let before = held.unwrap_or(Anchor { time: own, at: answered });
    let after = before.after(date.timestamp(), sent, answered);
    *held = Some(after);
    drop(held);
    let off = own.as_second().saturating_sub(after.time(answered).as_second());
    if after.time != before.time {
        tracing::warn!(seconds_ahead = off, "the clock of this machine is not that of the API server, which counts");
    }
}

/// Listens to the `Date` of every answer.
#[derive(Debug, Clone, Copy)]
pub struct Listening;

impl<S> Layer<S> for Listening {
    type Service = Heard<S>;

    fn layer(&self, inner: S) -> Heard<S> {
        Heard { inner }
    }
}

/// A service whose answers are listened to.
#[derive(Debug, Clone)]
pub struct Heard<S> {
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for Heard<S>
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
        let sent = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            hear(answer.headers(), sent);
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_answer_sets_the_clock_that_it_contradicts_and_no_other() {
        let began = Instant::now();
        let anchor = Anchor { time: at(1_000), at: began };
        let (sent, answered) = (began + Duration::from_secs(10), began + Duration::from_millis(10_200));
        for (date, expected) in [
            (at(1_010), 1_010_200),
            (at(1_009), 1_010_200),
            (at(1_008), 1_010_200),
            (at(1_012), 1_010_200),
            (at(1_013), 1_013_600),
            (at(1_006), 1_006_600),
            (at(8_210), 8_210_600),
            (at(-6_190), -6_189_400),
        ] {
            let told = anchor.after(date, sent, answered).time(answered);
            assert_eq!(told.as_millisecond(), expected, "{date}");
        }
    }

    #[test]
    fn an_answer_that_took_long_sets_no_clock() {
        let began = Instant::now();
        let anchor = Anchor { time: at(1_000), at: began };
        let late = began + Duration::from_mins(1);
        assert_eq!(
            anchor.after(at(1_000), began, late).time(late),
            at(1_060),
            "it waited in a process that stood still"
        );
        assert_eq!(anchor.after(at(9_000), began, late).time(late), at(1_060));
    }

    #[test]
    fn the_date_of_an_answer_is_understood() {
        let date = jiff::fmt::rfc2822::parse("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date.timestamp(), at(784_111_777));
        let mut headers = HeaderMap::new();
        hear(&headers, Instant::now());
        headers.insert(DATE, "yesterday".parse().unwrap());
        hear(&headers, Instant::now());
        let off = Time::from_millis(Timestamp::now().as_millisecond()).since(now()).as_millis();
        assert!(off < 1_000, "what is not understood sets no clock: {off} ms");
    }
}
