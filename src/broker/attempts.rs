//! One fetch, attempt by attempt: a token, a call, and again where that is safe and somebody still waits.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{behalf::Behalf, upstreams::Upstream};
use crate::{
    domain::{Clock, Region, SpanId},
    metrics::Metrics,
    quota::{Abandoned, Fetch, Grant, Leash},
    tencent::{
        ApiAction,
        client::Progress,
        credentials::{CredentialStore, Credentials},
        error::{CallError, Class, UpstreamRequestId},
    },
    traces::{Span, Step},
};

/// What the attempts of one fetch have in common.
pub(super) struct Course<'a> {
    /// The endpoint that is called.
    pub(super) upstream: &'a Upstream,
    /// The region that is asked about.
    pub(super) region: &'a Region,
    /// What is called there.
    pub(super) action: ApiAction,
    /// Whose request it is.
    pub(super) behalf: &'a Behalf,
    /// Attempts after the first.
    pub(super) max_retries: u32,
    /// What the calls are signed with.
    pub(super) credentials: &'a CredentialStore,
    /// The clock.
    pub(super) clock: &'a Clock,
    /// What is counted.
    pub(super) metrics: &'a Metrics,
}

/// An attempt that was made: what came of it, and what it took.
struct Attempt<T> {
    /// How many there have been, this included.
    number: u32,
    outcome: Result<T, CallError>,
    took: Duration,
    waited: Duration,
    span: Option<SpanId>,
}

impl Course<'_> {
    /// Calls until an attempt succeeds, fails for good, or has failed `max_retries` times more than once. `id_of` finds
    /// the upstream's own id of the call in its answer.
    ///
    /// Every attempt takes a token of its own. A refusal for the upstream's own limit is not counted as an attempt:
    /// the bucket has learnt from it, and those who wait are not failed while their deadlines allow. Nor is one for a
    /// key that has been rotated away: once a fetch, newer credentials are had and tried. Nothing is sent to an
    /// endpoint whose circuit is open, or with a key that has ended; the token goes back.
    ///
    /// # Errors
    ///
    /// [`Abandoned`] when the last waiter left before a token came.
    pub(super) async fn run<T>(
        &self,
        fetch: &mut Fetch,
        id_of: fn(&T) -> &UpstreamRequestId,
        call: impl AsyncFn(&mut Grant) -> Result<T, CallError>,
    ) -> Result<Result<T, CallError>, Abandoned> {
        let mut retries = 0;
        let mut may_renew = true;
        let mut number = 0;
        loop {
            let span = self.behalf.trace.step(Step::Queue);
            let mut grant = fetch.granted().await?;
            drop(span);
            let used = self.credentials.current();
            let leash = grant.leash();
            let call = self.attempt(number + 1, &mut grant, &used, id_of, &call);
            let Some(attempt) = self.on_leash(&leash, call).await else {
                // Nothing was sent, or over a connection that was still being opened as far as anybody knew: no attempt,
                // since nothing of it is known.
                tracing::debug!(action = self.action.as_str(), "the call's token was taken back");
                drop(grant);
                fetch.requeue(self.clock.monotonic())?;
                continue;
            };
            number += 1;
            let now = self.clock.monotonic();
            self.log(&attempt, id_of);
            let error = match attempt.outcome {
                Ok(value) => return Ok(Ok(value)),
                Err(error @ CallError::CircuitOpen(_)) => return Ok(Err(error)),
                Err(error) => error,
            };
            if error.class() == Some(Class::RateLimited) {
                // The bucket pauses for everybody, so standing in line again is pause enough.
                grant.refused_upstream(now);
                drop(grant);
            } else if error.concerns_credentials() && may_renew {
                drop(grant);
                may_renew = false;
                if !self.credentials.renew(&used).await {
                    return Ok(Err(error));
                }
            } else if !error.is_retryable() || retries >= self.max_retries || self.upstream.check(now).is_err() {
                return Ok(Err(error));
            } else {
                drop(grant);
                sleep(error.backoff(retries, random_bits())).await;
                retries += 1;
            }
            fetch.requeue(self.clock.monotonic())?;
        }
    }

    async fn attempt<T>(
        &self,
        number: u32,
        grant: &mut Grant,
        used: &Credentials,
        id_of: fn(&T) -> &UpstreamRequestId,
        call: impl AsyncFn(&mut Grant) -> Result<T, CallError>,
    ) -> Attempt<T> {
        let began = self.clock.monotonic();
        let refused =
            |error| Attempt { number, outcome: Err(error), took: Duration::ZERO, waited: grant.waited(), span: None };
        if used.have_expired(self.clock.wall()) {
            return refused(CallError::CredentialsExpired);
        }
        let entry = match self.upstream.enter(began) {
            Ok(entry) => entry,
            Err(open) => return refused(open.into()),
        };
        self.metrics.waited(self.action.as_str(), grant.waited().as_secs_f64());
        let span = self.behalf.trace.call(self.action.as_str());
        let outcome = call(grant).await;
        let now = self.clock.monotonic();
        let kind = outcome.as_ref().err().map_or("ok", CallError::kind);
        self.metrics.upstream_request(self.action.as_str(), kind, (now - began).as_secs_f64());
        entry.learn(outcome.as_ref().err(), now);
        self.describe(&span, number, &outcome, id_of);
        Attempt { number, outcome, took: now - began, waited: grant.waited(), span: span.id() }
    }

    /// Goes on with an attempt while its call may leave, or has left; `None` where it may not any more. A call that opens
    /// its connection for long may lose the right to leave meanwhile, so that this is asked before every step.
    async fn on_leash<T>(&self, leash: &Leash, attempt: impl Future<Output = T>) -> Option<T> {
        let mut attempt = pin!(attempt);
        poll_fn(|context| {
            if leash.holds(self.clock.monotonic()) {
                attempt.as_mut().poll(context).map(Some)
            } else {
                Poll::Ready(None)
            }
        })
        .await
    }

    /// The attempt in the words of OpenTelemetry's conventions for calls by HTTP.
    fn describe<T>(
        &self,
        span: &Span,
        number: u32,
        outcome: &Result<T, CallError>,
        id_of: fn(&T) -> &UpstreamRequestId,
    ) {
        span.note_with("server.address", || Arc::clone(&self.upstream.host));
        span.note_with("cloud.region", || self.region.to_shared());
        span.note_with("gateway.upstream_request_id", || Arc::<str>::from(said_id(outcome, id_of)));
        if number > 1 {
            span.note("http.request.resend_count", number - 1);
        }
        let status = match outcome {
            // The API says what went wrong in the body of a good answer.
            Ok(_) | Err(CallError::Refused { .. }) => Some(200),
            Err(CallError::Status(status)) => Some(*status),
            Err(_) => None,
        };
        if let Some(status) = status {
            span.note("http.response.status_code", status);
        }
        if let Err(error) = outcome {
            span.fail(error.kind());
        }
    }

    /// One line an attempt. A refusal of our own credentials is for the operator to mend.
    fn log<T>(&self, attempt: &Attempt<T>, id_of: fn(&T) -> &UpstreamRequestId) {
        let Attempt { number, outcome, took, waited, span } = attempt;
        let upstream_request_id = Some(said_id(outcome, id_of)).filter(|id| !id.is_empty());
        let error = outcome.as_ref().err();
        // One shape for all of them, so that a search by any field finds every call; a macro, for levels are constants.
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    request_id = self.behalf.request_id.as_str(),
                    trace_id = self.behalf.trace_id.map(tracing::field::display),
                    span_id = span.map(tracing::field::display),
                    action = self.action.as_str(),
                    region = self.region.as_str(),
                    outcome = error.map_or("ok", CallError::kind),
                    attempt = number,
                    duration_ms = took.as_secs_f64() * 1000.0,
                    waited_ms = waited.as_secs_f64() * 1000.0,
                    upstream_request_id,
                    error = error.map(tracing::field::display),
                    cause = error.and_then(std::error::Error::source).map(tracing::field::display),
                    $text
                )
            };
        }
        match error {
            None => line!(info, "the upstream answered"),
            Some(error) if error.class() == Some(Class::Denied) => {
                line!(error, "the upstream refuses the gateway's credentials");
            }
            Some(CallError::CredentialsExpired) => line!(error, "the upstream was not called"),
            Some(CallError::CircuitOpen(_)) => line!(debug, "the upstream was not called"),
            Some(_) => line!(warn, "a call to the upstream failed"),
        }
    }
}

/// The upstream's own id of a call; empty where it said none.
fn said_id<T>(outcome: &Result<T, CallError>, id_of: fn(&T) -> &UpstreamRequestId) -> &str {
    match outcome {
        Ok(value) => id_of(value).as_str(),
        Err(error) => error.request_id().map_or("", |id| id.as_str()),
    }
}

impl Course<'_> {
    /// Tells the token how its call goes, for that decides when it comes back.
    pub(super) fn note(&self, grant: &mut Grant, progress: Progress) {
        match progress {
            Progress::HandedOver(at) => grant.handed_over(at),
            Progress::Connecting(at) => grant.connecting(at),
            Progress::Answered { at, date } => {
                grant.answered(at);
                if let Some(date) = date {
                    self.metrics.clock_skew(seconds_ahead(date, self.clock.wall()));
                }
            }
        }
    }
}

/// By how many seconds `theirs` is ahead of `ours`. The upstream's `Date` has whole seconds, so less than one is noise.
fn seconds_ahead(theirs: SystemTime, ours: SystemTime) -> f64 {
    match theirs.duration_since(ours) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

/// Where the system gives no randomness the pause is the longest one.
fn random_bits() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

/// The longest that one attempt may take when nobody's deadline is nearer.
pub(super) const NO_LIMIT: Duration = Duration::MAX;
