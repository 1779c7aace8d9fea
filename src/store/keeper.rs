//! The task that keeps the store reachable: connects, notices when it is gone, tries again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use redis::aio::PubSub;
use tokio::time::{sleep, timeout};

use super::{
    Shared, State, StoreError,
    connection::{self, Connected, Materials, SetupError},
};

/// The longest that an attempt to connect may take. No request waits for it.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How often a connection that nobody uses is tried, so that its end is noticed before somebody does.
const PING_EVERY: Duration = Duration::from_secs(1);

/// How often the listening connection is tried: a notice that is lost is made up for by a slow look.
const PING_LISTENER_EVERY: Duration = Duration::from_secs(5);

/// The pause before a listening connection is made anew.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How often it is said again that a store cannot be used.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The task beside the store. Without it the store is away for ever.
pub struct Keeper {
    shared: Arc<Shared>,
    in_use: Option<InUse>,
    complaint: Complaint,
}

/// What was last said of something that cannot be used, and when.
#[derive(Default)]
struct Complaint(Option<(String, Instant)>);

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, in_use: None, complaint: Complaint::default() }
    }

    /// Looks at the files that `[shared]` names: what cannot be used now will not be usable later. Blocks.
    ///
    /// # Errors
    ///
    /// With the first file that cannot be used.
    pub fn check_files(&self) -> Result<(), SetupError> {
        Materials::load(&self.shared.settings).map(drop)
    }

    /// Tries once to reach the store, so that a gateway that can share does so from its first request on.
    pub async fn reach(&mut self) {
        let connected = self.attempt().await;
        self.in_use = connected.map(|connected| self.take(connected));
    }

    /// Keeps the connections. To be run by one task, on a runtime with timers; again after a panic.
    pub async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::join!(self.keep(), listen(&shared));
    }

    async fn keep(&mut self) {
        loop {
            if let Some(in_use) = self.in_use.take() {
                in_use.last(&self.shared).await;
            }
            let pause = self.shared.lock().breaker.pause();
            sleep(pause).await;
            self.reach().await;
        }
    }

    async fn attempt(&mut self) -> Option<Connected> {
        let attempt = timeout(CONNECT_LIMIT, connection::connect(&self.shared.settings)).await;
        match attempt.unwrap_or(Err(SetupError::TimedOut(CONNECT_LIMIT))) {
            Ok(connected) => Some(connected),
            Err(error) => {
                let now = self.shared.clock.monotonic();
                self.shared.lock().breaker.lost(now);
                let store = &self.shared.settings.address;
                self.complaint.of(&error, now, |reason| {
                    tracing::warn!(error = reason, key = error.key(), %store, "the shared store cannot be used");
                });
                None
            }
        }
    }

    fn take(&mut self, connected: Connected) -> InUse {
        self.complaint = Complaint::default();
        let Connected { connection, server, driver } = connected;
        let run_id = server.run_id.clone();
        let generation = self.shared.connected(connection, server);
        tracing::info!(store = %self.shared.settings.address, run_id = run_id.as_deref(), "the shared store is in use");
        InUse { generation, driver }
    }
}

impl Complaint {
    /// Has it said why: when that changes, and then now and again. It is tried more often than an operator wants to
    /// read of it.
    fn of(&mut self, error: &SetupError, now: Instant, say: impl FnOnce(&str)) {
        let reason = error.to_string();
        let is_said =
            |(said, at): &(String, Instant)| *said == reason && now.saturating_duration_since(*at) < COMPLAIN_EVERY;
        if !self.0.as_ref().is_some_and(is_said) {
            say(&reason);
            self.0 = Some((reason, now));
        }
    }
}

/// The connection in use. Dropping it closes the connection.
struct InUse {
    generation: u64,
    driver: tokio::task::JoinHandle<()>,
}

impl InUse {
    /// Returns when the connection is of no use any more, having closed it.
    async fn last(mut self, shared: &Shared) {
        loop {
            tokio::select! {
                _ = &mut self.driver => shared.learn(self.generation, Some(StoreError::Broken)),
                () = shared.gone.notified() => {}
                () = sleep(PING_EVERY) => self.ping(shared).await,
            }
            if shared.lock().line.as_ref().is_none_or(|line| line.generation != self.generation) {
                return;
            }
        }
    }

    /// Tries until the store answers or counts as away.
    async fn ping(&self, shared: &Shared) {
        loop {
            let Ok(mut line) = shared.line() else { return };
            let command = redis::cmd("PING");
            let trip = command.query_async(&mut line.connection);
            let answer = timeout(shared.settings.timeout, trip).await.ok();
            if shared.finish::<redis::Value>(line.generation, answer).is_ok() {
                return;
            }
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Listens to the channels for as long as the store is there. A connection of its own, for one that listens can do
/// nothing else in the protocol that every server speaks.
async fn listen(shared: &Shared) {
    let mut complaint = Complaint::default();
    let mut state = shared.state.subscribe();
    loop {
        if state.wait_for(|state| matches!(state, State::Up { .. })).await.is_err() {
            return;
        }
        let channels = shared.notices.channels();
        if channels.is_empty() {
            return;
        }
        let subscribing = async {
            let mut listener = connection::listen(&shared.settings).await?;
            for channel in &channels {
                let subscribed = listener.subscribe(channel).await;
                subscribed.map_err(|error| SetupError::Server((&error).into()))?;
            }
            Ok::<_, SetupError>(listener)
        };
        match timeout(CONNECT_LIMIT, subscribing).await.unwrap_or(Err(SetupError::TimedOut(CONNECT_LIMIT))) {
            Ok(listener) => {
                complaint = Complaint::default();
                shared.notices.gap();
                hear(shared, listener).await;
            }
            Err(error) => complaint.of(&error, shared.clock.monotonic(), |error| {
                tracing::warn!(error, "notices of other replicas are not heard; a slow look finds them");
            }),
        }
        sleep(LISTEN_AGAIN_AFTER).await;
    }
}

/// Passes on what is said until the connection ends.
async fn hear(shared: &Shared, listener: PubSub) {
    let (mut sink, mut heard) = listener.split();
    loop {
        tokio::select! {
            notice = heard.next() => match notice {
                Some(notice) => shared.notices.said(notice.get_channel_name(), notice.get_payload_bytes()),
                None => return,
            },
            () = sleep(PING_LISTENER_EVERY) => {
                // A generous limit: whoever listens here is in no hurry, and a store that hangs is noticed elsewhere.
                if !matches!(timeout(CONNECT_LIMIT, sink.ping::<redis::Value>()).await, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}
