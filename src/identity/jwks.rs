//! Each issuer's key set, kept fresh in the background and through the issuer's outages.
//!
//! Requests read the set from an [`ArcSwapOption`] and never fetch; one [`Refresher`] on the main thread does. Only a
//! token with an unknown key waits for it, in bounded time and number. A fetch that fails, whatever way it fails, never
//! takes a set away.

mod fetch;
mod schedule;

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwapOption, Guard};
use futures_util::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use self::{
    fetch::FetchError,
    schedule::{Answer, Schedule, Step},
};
use super::{KeySource, key_set::KeySet};
use crate::{
    domain::Clock,
    outbound::{self, TlsRoots},
};

/// The longest that a request with an unknown key waits.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// One issuer's keys, shared by the requests that read them and the refresher that replaces them.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: Arc<str>,
    current: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    /// Tells the refresher that somebody waits.
    wake: Notify,
    /// The number of the last fetch that ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    last_success: Option<SystemTime>,
    succeeded: u64,
    failed: u64,
}

/// Fetches the key sets of all issuers until it is dropped.
#[derive(Debug)]
pub struct Refresher {
    pub(super) issuers: Vec<(Arc<Keys>, KeySource)>,
    pub(super) roots: TlsRoots,
    pub(super) clock: Clock,
}

impl Keys {
    /// No keys yet, and the first fetch due at once.
    pub(super) fn new(issuer: Arc<str>, refresh: Duration, cooldown: Duration, now: Instant) -> Self {
        Self {
            issuer,
            current: ArcSwapOption::empty(),
            state: Mutex::new(State {
                schedule: Schedule::new(now, refresh, cooldown),
                last_success: None,
                succeeded: 0,
                failed: 0,
            }),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// The key set, unless none was ever loaded.
    pub(super) fn current(&self) -> Guard<Option<Arc<KeySet>>> {
        self.current.load()
    }

    /// When a key set was last fetched and usable.
    pub(super) fn last_success(&self) -> Option<SystemTime> {
        self.lock().last_success
    }

    /// Fetches so far: those that brought a usable set, and those that did not.
    pub(super) fn refreshes(&self) -> (u64, u64) {
        let state = self.lock();
        (state.succeeded, state.failed)
    }

    /// Waits until a key of this id is in the set or the shared fetch for unknown keys has ended, at most
    /// [`MAX_WAIT`]. Returns at once inside the cooldown, and where too many wait already. The caller looks the key up
    /// again, whichever it was.
    pub(super) async fn wait_for(&self, kid: &str, now: Instant) {
        let mut ended = self.ended.subscribe();
        let Answer::WaitFor { fetch } = self.lock().schedule.ask(now) else {
            return;
        };
        let _place = Place(self);
        self.wake.notify_one();
        let is_over = |ended: &u64| *ended >= fetch || self.current().as_ref().is_some_and(|keys| keys.has(kid));
        // Whether time ran out or the sender went away: the set is what it is.
        let _ = timeout(MAX_WAIT, ended.wait_for(is_over)).await;
    }

    /// Takes in how a fetch went, and tells those who wait.
    fn settle(&self, outcome: Result<KeySet, FetchError>, wall: SystemTime, now: Instant, luck: f64) {
        let is_ok = outcome.is_ok();
        match outcome {
            Ok(keys) => self.publish(keys),
            Err(error) => {
                let has_keys = self.current().is_some();
                tracing::warn!(issuer = &*self.issuer, has_keys, %error, "key set not refreshed");
            }
        }
        let mut state = self.lock();
        if is_ok {
            state.last_success = Some(wall);
            state.succeeded += 1;
        } else {
            state.failed += 1;
        }
        let fetch = state.schedule.end(now, is_ok, luck);
        drop(state);
        self.ended.send_replace(fetch);
    }

    /// Replaces the set, unless it is the same: whoever remembers a token by its key set need not forget it.
    pub(super) fn publish(&self, keys: KeySet) {
        if self.current().as_ref().is_some_and(|current| current.is_same_document(&keys)) {
            return;
        }
        for skipped in keys.skipped() {
            tracing::warn!(
                issuer = &*self.issuer,
                kid = skipped.kid.as_deref(),
                why = skipped.why.as_str(),
                "key of a key set is not used"
            );
        }
        tracing::info!(issuer = &*self.issuer, keys = keys.key_count(), "key set loaded");
        self.current.store(Some(Arc::new(keys)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a request that waits, given back however its wait ends.
struct Place<'a>(&'a Keys);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().schedule.leave();
    }
}

impl Refresher {
    /// Fetches the sets of all issuers at once and then keeps each fresh. It belongs on the main thread (its HTTP
    /// client cannot leave it) and ends when it is dropped.
    pub async fn run(self) -> Infallible {
        let client = outbound::client(&self.roots, fetch::TIMEOUT, fetch::TIMEOUT);
        join_all(self.issuers.iter().map(|(keys, source)| keep_fresh(keys, source, &client, &self.clock))).await;
        // Without issuers, which the configuration does not allow, there is nothing to do and all the time to do it.
        std::future::pending().await
    }
}

async fn keep_fresh(keys: &Keys, source: &KeySource, client: &awc::Client, clock: &Clock) -> Infallible {
    loop {
        let step = keys.lock().schedule.next(clock.monotonic());
        match step {
            Step::Fetch => {
                keys.lock().schedule.begin(clock.monotonic());
                let outcome = fetch::fetch(source, client).await;
                keys.settle(outcome, clock.wall(), clock.monotonic(), luck());
            }
            Step::Sleep(pause) => {
                // Either way the schedule is asked again what to do.
                let _ = timeout(pause, keys.wake.notified()).await;
            }
        }
    }
}

/// Uniform in 0..1. It only spreads load, so a machine without randomness gets the middle.
fn luck() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}
