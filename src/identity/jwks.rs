//! Each issuer's key set, kept fresh in the background and through the issuer's outages.
//!
//! Requests read the set from an [`ArcSwapOption`] and never fetch; one [`Refresher`] on the main thread does. Only a
//! token with an unknown key waits for it, in bounded time and number. A fetch that fails, whatever way it fails, never
//! takes a set away; only time does, when it was not confirmed for `auth.jwks_max_stale`.

mod fetch;
mod schedule;

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::{ArcSwapOption, Guard};
use futures_util::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};

pub(super) use self::fetch::{FetchError, read_secret};
use self::{
    fetch::Origin,
    schedule::{Answer, Schedule, Step},
};
use super::{IssuerSettings, Settings, key_set::KeySet, revocation::Revocations};
use crate::{
    domain::Clock,
    outbound::{self, TlsRoots},
};

/// The longest that a request with an unknown key waits.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// How often a file of keys is read. Mounted files change without a word.
const FILE_REFRESH: Duration = Duration::from_secs(1);

/// How often the list of revocations is read: what is added to it takes effect within a second.
/// What is taken out of it waits longer, see [`revocation::LOOKS_AT_REST`](super::revocation::LOOKS_AT_REST).
const REVOCATIONS_TICK: Duration = Duration::from_millis(500);

/// One issuer's keys, shared by the requests that read them and the refresher that replaces them.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: Arc<str>,
    current: ArcSwapOption<KeySet>,
    /// When this was made.
    born: Instant,
    /// When the set stops counting unless a fetch succeeds before, in milliseconds after `born`.
    counts_until_ms: AtomicU64,
    max_stale: Duration,
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
    /// What the last fetch failed of, so that the log tells of a change and not of each attempt.
    failure: Option<String>,
}

/// A file that is read again and again, and takes effect when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The keys of an issuer.
    KeyFile,
    /// The list of revocations.
    Revocations,
}

impl Reloaded {
    /// Both.
    pub const ALL: [Self; 2] = [Self::KeyFile, Self::Revocations];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyFile => "key_files",
            Self::Revocations => "revocations",
        }
    }
}

/// Fetches the key sets of all issuers, and reads the list of revocations, until it is dropped.
#[derive(Debug)]
pub struct Refresher {
    issuers: Vec<(Arc<Keys>, Origin)>,
    revocations: Arc<Revocations>,
    roots: TlsRoots,
    clock: Clock,
}

impl Keys {
    /// No keys yet, and the first fetch due at once.
    pub(super) fn new(issuer: &IssuerSettings, settings: &Settings, now: Instant) -> Self {
        // A set must not lapse between two refreshes of an issuer that answers.
        let mut refresh = settings.jwks_refresh.min(settings.jwks_max_stale / 2);
        if Origin::of(issuer).is_file() {
            refresh = refresh.min(FILE_REFRESH);
        }
        let schedule = Schedule::new(now, refresh, settings.jwks_cooldown);
        Self {
            issuer: Arc::clone(&issuer.name),
            current: ArcSwapOption::empty(),
            born: now,
            counts_until_ms: AtomicU64::new(0),
            max_stale: settings.jwks_max_stale,
            state: Mutex::new(State { schedule, last_success: None, succeeded: 0, failed: 0, failure: None }),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// The key set, unless none was ever loaded, or the last that was has not been confirmed for too long.
    pub(super) fn current(&self, now: Instant) -> Guard<Option<Arc<KeySet>>> {
        let age_ms = millis(now.saturating_duration_since(self.born));
        if age_ms >= self.counts_until_ms.load(Ordering::Relaxed) {
            return Guard::from_inner(None);
        }
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

    /// Whether the last fetch brought no usable set.
    pub(super) fn is_failing(&self) -> bool {
        self.lock().failure.is_some()
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
        let is_over = |ended: &u64| *ended >= fetch || self.current.load().as_ref().is_some_and(|keys| keys.has(kid));
        // Whether time ran out or the sender went away: the set is what it is.
        let _ = timeout(MAX_WAIT, ended.wait_for(is_over)).await;
    }

    /// Takes in how a fetch went, and tells those who wait. Says whether a set was replaced by another, or could not be;
    /// nothing where it is what it was, or was the first.
    fn settle(&self, outcome: Result<KeySet, FetchError>, wall: SystemTime, now: Instant, luck: f64) -> Option<bool> {
        let had_keys = self.current.load().is_some();
        let (mut news, failure) = match outcome {
            Ok(keys) => (self.publish(keys, now).then_some(true), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let has_keys = self.current(now).is_some();
        let mut state = self.lock();
        if failure.is_some() && failure != state.failure {
            news = Some(false);
        }
        match (&failure, &state.failure) {
            (Some(error), known) if known.as_ref() != Some(error) => {
                tracing::warn!(issuer = &*self.issuer, has_keys, error, "key set not refreshed");
            }
            (Some(error), _) => tracing::debug!(issuer = &*self.issuer, has_keys, error, "key set not refreshed"),
            (None, Some(_)) => tracing::info!(issuer = &*self.issuer, "key set refreshed again"),
            (None, None) => {}
        }
        let is_ok = failure.is_none();
        state.failure = failure;
        if is_ok {
            state.last_success = Some(wall);
            state.succeeded += 1;
        } else {
            state.failed += 1;
        }
        let fetch = state.schedule.end(now, is_ok, luck);
        drop(state);
        self.ended.send_replace(fetch);
        news.filter(|_| had_keys)
    }

    /// Reads the file of the keys now, where they lie in one: somebody has asked for it. What comes of it counts as if it
    /// had been read when that was due. Blocks on the disk.
    pub(super) fn reload(&self, issuer: &IssuerSettings, now: Instant) -> Option<Result<(), FetchError>> {
        let keys = Origin::of(issuer).read()?;
        Some(keys.map(|keys| {
            self.publish(keys, now);
        }))
    }

    /// Confirms the set if it is the same, else replaces it: whoever remembers a token by its key set need not forget it
    /// for a fetch that brought nothing new. Says whether it was replaced.
    pub(super) fn publish(&self, keys: KeySet, now: Instant) -> bool {
        let counts_until = now.saturating_duration_since(self.born).saturating_add(self.max_stale);
        let is_known = self.current.load().as_ref().is_some_and(|current| current.is_same_document(&keys));
        if !is_known {
            self.replace(keys);
        }
        self.counts_until_ms.store(millis(counts_until), Ordering::Relaxed);
        !is_known
    }

    fn replace(&self, keys: KeySet) {
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The place of a request that waits, given back however its wait ends.
struct Place<'a>(&'a Keys);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().schedule.leave();
    }
}

impl Refresher {
    pub(super) fn new(
        issuers: Vec<(Arc<Keys>, &IssuerSettings)>,
        revocations: Arc<Revocations>,
        roots: TlsRoots,
        clock: Clock,
    ) -> Self {
        let issuers = issuers.into_iter().map(|(keys, issuer)| (keys, Origin::of(issuer))).collect();
        Self { issuers, revocations, roots, clock }
    }

    /// Fetches the sets of all issuers at once and then keeps each fresh, and the list of revocations with them. It
    /// belongs on the main thread (its HTTP client cannot leave it) and ends when it is dropped. `told` hears of files
    /// that have changed, and whether what they say now is in force.
    pub async fn run(&self, told: impl Fn(Reloaded, bool)) -> Infallible {
        let client = self.client();
        let keys = self.issuers.iter().map(|(keys, origin)| keep_fresh(keys, origin, &client, &self.clock, &told));
        tokio::join!(join_all(keys), keep_reading(&self.revocations, &told));
        // Without issuers, which the configuration does not allow, there is nothing to do and all the time to do it.
        std::future::pending().await
    }

    /// Fetches each set once, side by side, for a program that asks one question and ends.
    pub async fn run_once(self) {
        let client = self.client();
        join_all(self.issuers.iter().map(|(keys, origin)| fetch_once(keys, origin, &client, &self.clock))).await;
    }

    fn client(&self) -> awc::Client {
        outbound::client(&self.roots, fetch::TIMEOUT, fetch::TIMEOUT)
    }
}

async fn keep_fresh(
    keys: &Keys,
    origin: &Origin,
    client: &awc::Client,
    clock: &Clock,
    told: &impl Fn(Reloaded, bool),
) -> Infallible {
    loop {
        let step = keys.lock().schedule.next(clock.monotonic());
        match step {
            Step::Fetch => {
                let news = fetch_once(keys, origin, client, clock).await;
                if let Some(is_ok) = news.filter(|_| origin.is_file()) {
                    told(Reloaded::KeyFile, is_ok);
                }
            }
            Step::Sleep(pause) => {
                // Either way the schedule is asked again what to do.
                let _ = timeout(pause, keys.wake.notified()).await;
            }
        }
    }
}

async fn fetch_once(keys: &Keys, origin: &Origin, client: &awc::Client, clock: &Clock) -> Option<bool> {
    keys.lock().schedule.begin(clock.monotonic());
    let outcome = origin.fetch(client).await;
    keys.settle(outcome, clock.wall(), clock.monotonic(), luck())
}

/// Takes over what the file of revocations says whenever it says something else.
async fn keep_reading(revocations: &Arc<Revocations>, told: &impl Fn(Reloaded, bool)) {
    if !revocations.has_file() {
        return;
    }
    let mut tick = interval(REVOCATIONS_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let reading = Arc::clone(revocations);
        // A long list takes milliseconds, in which this thread would grant no token of the quota.
        match tokio::task::spawn_blocking(move || reading.look()).await {
            Ok(Ok(true)) => {
                tracing::info!(entries = revocations.entries(), "revocations reloaded");
                told(Reloaded::Revocations, true);
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "revocations not reloaded; those before stay in force");
                told(Reloaded::Revocations, false);
            }
            Err(_) => tracing::error!("revocations not reloaded: the reader failed"),
        }
    }
}

/// Uniform in 0..1. It only spreads load, so a machine without randomness gets the middle.
fn luck() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}
