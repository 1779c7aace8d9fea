//! The credentials in force, for all workers, and what keeps them so.
//!
//! Calls read a snapshot and never fetch. One [`Refresher`] on the main thread does: before keys end, when their file
//! changes, when a call fails for its key, and when the operator says so. An attempt that fails takes nothing away.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{Credentials, CredentialsError, Settings, asks::Asks, chain::Chain, env, schedule::Schedule};
use crate::{
    domain::Clock,
    outbound::{self, TlsRoots},
};

/// The longest that a connection, and one question to whoever hands out keys, may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest that a failed call waits for new keys: a second for its turn, and three questions, for the role's name,
/// its key, and a role on top.
const LONGEST_WAIT: Duration = Duration::from_secs(7);

/// How often the file is looked at. Kubernetes swaps mounted secrets without a signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The credentials in force, for all workers.
pub struct CredentialStore {
    current: ArcSwap<Credentials>,
    asks: Mutex<Asks>,
    /// Tells the refresher that somebody waits.
    wake: Notify,
    /// The number of the last attempt that ended.
    ended: watch::Sender<u64>,
    can_change: bool,
}

/// Keeps the credentials of a store in force until it is dropped.
pub struct Refresher {
    store: Arc<CredentialStore>,
    chain: Chain,
    http: awc::Client,
    clock: Clock,
}

/// What a successful attempt brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Other keys are in force.
    Renewed,
    /// The source still has the same.
    Same,
}

impl CredentialStore {
    /// The first credentials, and what keeps them in force. It belongs on the thread on which the refresher is to run:
    /// an HTTP client cannot change threads.
    ///
    /// # Errors
    /// Where there are none: the error names all that was looked for. Without credentials at its start the gateway must
    /// not start.
    pub async fn start(
        settings: &Settings,
        roots: &TlsRoots,
        clock: &Clock,
    ) -> Result<(Arc<Self>, Refresher), CredentialsError> {
        let http = outbound::client(roots, TIMEOUT, TIMEOUT);
        let (chain, credentials) = Chain::choose(settings, env::variable, &http, clock).await?;
        let store = Arc::new(Self::new(credentials, chain.can_change()));
        Ok((Arc::clone(&store), Refresher { store, chain, http, clock: clock.clone() }))
    }

    fn new(credentials: Arc<Credentials>, can_change: bool) -> Self {
        Self {
            current: ArcSwap::new(credentials),
            asks: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            can_change,
        }
    }

    /// The snapshot to sign one call with.
    pub fn current(&self) -> Arc<Credentials> {
        self.current.load_full()
    }

    /// Whether other keys could ever come into force without a restart.
    pub fn can_change(&self) -> bool {
        self.can_change
    }

    /// Has the source looked at soon, whether anything has changed or not.
    pub fn reload(&self) {
        self.asks().demand();
        self.wake.notify_one();
    }

    /// Whether other keys than `used` are in force. Where they are not, the source is looked at, once for all who ask
    /// at the same time and at most once a second, and the answer is what came of that. It waits no longer than some
    /// seconds.
    pub async fn renew(&self, used: &Credentials) -> bool {
        let is_newer = || !self.current.load().are_the_same_as(used);
        if is_newer() || !self.can_change {
            return is_newer();
        }
        let mut ended = self.ended.subscribe();
        let attempt = self.asks().ask();
        self.wake.notify_one();
        // Whether time ran out or the refresher went away: the keys are what they are.
        let _ = timeout(LONGEST_WAIT, ended.wait_for(|ended| *ended >= attempt || is_newer())).await;
        is_newer()
    }

    fn asks(&self) -> MutexGuard<'_, Asks> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes new keys into force, unless they are the old ones.
    fn take(&self, credentials: Arc<Credentials>) -> Change {
        let is_same = self.current.load().are_the_same_as(&credentials);
        self.current.store(credentials);
        if is_same { Change::Same } else { Change::Renewed }
    }
}

impl Refresher {
    /// Keeps the credentials in force, and tells how each attempt went. It ends when it is dropped.
    pub async fn run(&self, told: impl Fn(&Result<Change, CredentialsError>)) -> Infallible {
        let Self { store, chain, http, clock } = self;
        let mut schedule = Schedule::default();
        schedule.renewed(store.current().expires_at(), clock.wall(), luck());
        loop {
            self.until_due(&schedule).await;
            store.asks().begin(clock.monotonic());
            let outcome = chain.fetch(http).await.map(|credentials| store.take(credentials));
            match &outcome {
                Ok(_) => schedule.renewed(store.current().expires_at(), clock.wall(), luck()),
                Err(error) if error.may_pass() => schedule.failed(clock.monotonic(), luck()),
                Err(_) => schedule.gave_up(),
            }
            let ended = store.asks().end(outcome == Ok(Change::Renewed));
            store.ended.send_replace(ended);
            told(&outcome);
        }
    }

    async fn until_due(&self, schedule: &Schedule) {
        let Self { store, chain, clock, .. } = self;
        loop {
            let now = clock.monotonic();
            let due_in = store.asks().due_in(now);
            let sleep = schedule.sleep(clock.wall(), now).min(due_in.unwrap_or(Duration::MAX));
            if sleep.is_zero() {
                return;
            }
            let Some(file) = chain.file() else {
                let _ = timeout(sleep, store.wake.notified()).await;
                continue;
            };
            let _ = timeout(sleep.min(LOOK_EVERY), store.wake.notified()).await;
            let file = Arc::clone(file);
            // A disk that does not answer must not stop this thread, which grants the tokens of the quota.
            if spawn_blocking(move || file.has_changed()).await.unwrap_or(false) {
                return;
            }
        }
    }
}

/// Uniform in 0..1. It only spreads load, so a machine without randomness gets the middle.
fn luck() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialStore")
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refresher")
    }
}

#[cfg(test)]
impl CredentialStore {
    /// A store that never changes.
    pub(in crate::tencent) fn of_test(
        secret_id: &str,
        secret_key: &str,
        token: Option<&str>,
        expires_at: Option<std::time::SystemTime>,
    ) -> Arc<Self> {
        let token = token.map(secrecy::SecretString::from);
        let credentials =
            Credentials::new(&secret_id.into(), &secret_key.into(), token.as_ref(), |_| String::new()).unwrap();
        Arc::new(Self::new(Arc::new(Credentials { expires_at, ..credentials }), false))
    }
}
