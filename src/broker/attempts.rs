//! One fetch, attempt by attempt: a token, a call, and again where that is safe and somebody still waits.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    domain::Clock,
    quota::{Abandoned, Fetch, Grant},
    tencent::{
        client::Progress,
        error::{CallError, Class},
    },
};

/// Calls until an attempt succeeds, fails for good, or has failed `max_retries` times more than once.
///
/// Every attempt takes a token of its own. A refusal for the upstream's own limit is not counted as an attempt: the
/// bucket has learnt from it, and those who wait are not failed while their deadlines allow.
///
/// # Errors
///
/// [`Abandoned`] when the last waiter left before a token came.
pub(super) async fn attempt<T>(
    fetch: &mut Fetch,
    clock: &Clock,
    max_retries: u32,
    call: impl AsyncFn(&mut Grant) -> Result<T, CallError>,
) -> Result<Result<T, CallError>, Abandoned> {
    let mut retries = 0;
    loop {
        let mut grant = fetch.granted().await?;
        let error = match call(&mut grant).await {
            Ok(value) => return Ok(Ok(value)),
            Err(error) => error,
        };
        let pause = error.backoff(retries, random_bits());
        if error.class() == Some(Class::RateLimited) {
            grant.refused_upstream(clock.monotonic());
        } else if !error.is_retryable() || retries >= max_retries {
            return Ok(Err(error));
        } else {
            retries += 1;
        }
        drop(grant);
        sleep(pause).await;
        fetch.requeue(clock.monotonic())?;
    }
}

/// Tells the token how its call goes, for that decides when it comes back.
pub(super) fn note(grant: &mut Grant, progress: Progress) {
    match progress {
        Progress::HandedOver(at) => grant.handed_over(at),
        Progress::Connecting(at) => grant.connecting(at),
        Progress::Answered { at, .. } => grant.answered(at),
    }
}

/// Where the system gives no randomness the pause is the longest one.
fn random_bits() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

/// The longest that one attempt may take when nobody's deadline is nearer.
pub(super) const NO_LIMIT: Duration = Duration::MAX;
