//! One fetch, attempt by attempt: a token, a call, and again where that is safe and somebody still waits.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::upstreams::Upstream;
use crate::{
    domain::Clock,
    metrics::Metrics,
    quota::{Abandoned, Fetch, Grant, Leash},
    tencent::{
        ApiAction,
        client::Progress,
        credentials::{CredentialStore, Credentials},
        error::{CallError, Class},
    },
};

/// What the attempts of one fetch have in common.
pub(super) struct Course<'a> {
    /// The endpoint that is called.
    pub(super) upstream: &'a Upstream,
    /// What is called there.
    pub(super) action: ApiAction,
    /// Attempts after the first.
    pub(super) max_retries: u32,
    /// What the calls are signed with.
    pub(super) credentials: &'a CredentialStore,
    /// The clock.
    pub(super) clock: &'a Clock,
    /// What is counted.
    pub(super) metrics: &'a Metrics,
}

impl Course<'_> {
    /// Calls until an attempt succeeds, fails for good, or has failed `max_retries` times more than once.
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
        call: impl AsyncFn(&mut Grant) -> Result<T, CallError>,
    ) -> Result<Result<T, CallError>, Abandoned> {
        let mut retries = 0;
        let mut may_renew = true;
        loop {
            let mut grant = fetch.granted().await?;
            let used = self.credentials.current();
            let leash = grant.leash();
            let Some(outcome) = self.on_leash(&leash, self.attempt(&mut grant, &used, &call)).await else {
                // Nothing was sent, so that this was no attempt.
                tracing::debug!(action = self.action.as_str(), "the call's token was taken back");
                drop(grant);
                fetch.requeue(self.clock.monotonic())?;
                continue;
            };
            let now = self.clock.monotonic();
            let error = match outcome {
                Ok(value) => {
                    tracing::debug!(action = self.action.as_str(), "the upstream answered");
                    return Ok(Ok(value));
                }
                Err(error @ CallError::CircuitOpen(_)) => return Ok(Err(error)),
                Err(error) => error,
            };
            self.log(&error);
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
        grant: &mut Grant,
        used: &Credentials,
        call: impl AsyncFn(&mut Grant) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if used.have_expired(self.clock.wall()) {
            return Err(CallError::CredentialsExpired);
        }
        let began = self.clock.monotonic();
        let pass = self.upstream.enter(began)?;
        self.metrics.waited(self.action.as_str(), grant.waited().as_secs_f64());
        let outcome = call(grant).await;
        let now = self.clock.monotonic();
        let kind = outcome.as_ref().err().map_or("ok", CallError::kind);
        self.metrics.upstream_request(self.action.as_str(), kind, (now - began).as_secs_f64());
        self.upstream.learn(&pass, outcome.as_ref().err(), now);
        outcome
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

    /// One line an attempt that failed. A refusal of our own credentials is for the operator to mend.
    fn log(&self, error: &CallError) {
        let action = self.action.as_str();
        let upstream_request_id = error.request_id().map(|id| id.as_str());
        if error.class() == Some(Class::Denied) {
            tracing::error!(action, upstream_request_id, %error, "the upstream refuses the gateway's credentials");
        } else if *error == CallError::CredentialsExpired {
            tracing::error!(action, %error, "the upstream was not called");
        } else {
            let cause = std::error::Error::source(error).map(tracing::field::display);
            tracing::warn!(action, upstream_request_id, %error, cause, "a call to the upstream failed");
        }
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
