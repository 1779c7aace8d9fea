//! The store that replicas share: one Redis or Valkey, its connection, and whether it is there.
//!
//! It runs scripts and carries short notices; what they mean is the business of the rooms above. It never makes a
//! request wait for a store that is known to be away, and never says more of a failure than its kind: an error of the
//! store's may repeat what it was sent.

mod address;
mod breaker;
mod connection;
mod keeper;
mod notices;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

pub use address::{Address, InvalidAddress};
pub use connection::{Server, SetupError};
pub use keeper::Keeper;
pub use notices::{Notice, Notices};

use crate::domain::Clock;
use breaker::Breaker;

/// What every key of ours begins with; a hash tag follows, so that the keys of one script stand in one slot.
pub const PREFIX: &str = "rbg:";

/// What `[shared]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the store is.
    pub address: Address,
    /// The user of its access list; its default user where none is named.
    pub username: Option<String>,
    /// The file with the user's password. Read for each connection.
    pub password_file: Option<PathBuf>,
    /// The certificate authorities that may vouch for it, in place of the built-in ones. Read for each connection.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key. Read for each connection.
    pub client_certificate: Option<ClientCertificate>,
    /// The keys that values are sealed with. Without them no value is put there.
    pub encryption_key_file: Option<PathBuf>,
    /// How many gateways share it: the part of the quota that one falls back to is one of so many.
    pub replicas: NonZeroU32,
    /// The longest that one trip may take.
    pub timeout: Duration,
}

/// The files of a certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, PEM, our own first.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
}

/// The store. Clones share it, and may be used on any thread.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// Whether the store is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not, or not known to be.
    Away {
        /// Since when.
        since: Instant,
    },
    /// It answers, and lets us write.
    Up {
        /// Since when.
        since: Instant,
        /// Which connection this is, counted from 1: another number is another connection.
        generation: u64,
        /// The server at its other end, as it named itself then.
        server: Server,
    },
}

/// A script for the store, sent by its hash; the store is taught it when it does not know it.
#[derive(Clone)]
pub struct Script(Arc<redis::Script>, Arc<str>);

/// Why a trip to the store brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is away; nothing was sent.
    #[error("the store is away")]
    Away,
    /// There was no answer in time. What was asked for may have been done, and may yet be.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The connection broke. What was asked for may have been done.
    #[error("the connection to the store broke")]
    Broken,
    /// The store is in no state to do it: read-only, full, loading, or it does not let us.
    #[error("the store does not serve us: {0}")]
    Unfit(Unfit),
    /// The answer is not what the script answers: somebody else wrote there, or the script failed.
    #[error("the store answered what it should not")]
    Unexpected,
}

/// In what way a store that answers is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is a replica, or lost the one it copies.
    ReadOnly,
    /// Its memory is full, and nothing may be evicted; or it cannot persist and refuses writes for that.
    RefusesWrites,
    /// It loads its data, or runs a script of somebody's that does not end.
    Busy,
    /// It does not know us, or not let us do this.
    NotPermitted,
    /// It is a node of a cluster, which is not supported yet.
    Cluster,
}

struct Shared {
    settings: Settings,
    clock: Clock,
    inner: Mutex<Inner>,
    state: watch::Sender<State>,
    /// Tells the keeper that the connection is gone.
    gone: Notify,
    notices: Notices,
}

struct Inner {
    breaker: Breaker,
    line: Option<Line>,
    generation: u64,
}

/// A connection that is in use.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    generation: u64,
}

impl Store {
    /// A store that is away until the keeper has reached it: [`Keeper::run`] has to be spawned.
    pub fn new(settings: Settings, clock: Clock) -> (Self, Keeper) {
        let state = watch::Sender::new(State::Away { since: clock.monotonic() });
        let inner = Mutex::new(Inner { breaker: Breaker::new(), line: None, generation: 0 });
        let notices = Notices::default();
        let shared = Arc::new(Shared { settings, clock, inner, state, gone: Notify::new(), notices });
        (Self(Arc::clone(&shared)), Keeper::new(shared))
    }

    /// Whether it is there at the moment.
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// Whether it is there at the moment, without the rest.
    pub fn is_up(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Up { .. })
    }

    /// Tells of every change of the state.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// The settings that it was made from.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What is said on a channel from now on, over all connections. To be asked for before the keeper runs.
    pub fn listen(&self, channel: &str) -> tokio::sync::broadcast::Receiver<Notice> {
        self.0.notices.listen(channel)
    }

    /// Runs a script: one trip, or two where the store does not know it yet. Bounded by `shared.timeout`.
    ///
    /// # Errors
    ///
    /// At once where the store is away. After another error the script may have run all the same.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[impl AsRef<[u8]>],
        args: &[impl AsRef<[u8]>],
    ) -> Result<T, StoreError> {
        let command = script.command(true, keys, args);
        let mut line = self.0.line()?;
        let trip = async {
            match command.query_async::<redis::Value>(&mut line.connection).await {
                // By its text: the store keeps it, as it would after loading it, and it is one trip less.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    script.command(false, keys, args).query_async(&mut line.connection).await
                }
                outcome => outcome,
            }
        };
        self.0.finish(line.generation, timeout(self.0.settings.timeout, trip).await.ok())
    }
}

impl Script {
    /// A script of this text.
    pub fn new(text: &'static str) -> Self {
        Self(Arc::new(redis::Script::new(text)), text.into())
    }

    fn command(&self, by_hash: bool, keys: &[impl AsRef<[u8]>], args: &[impl AsRef<[u8]>]) -> redis::Cmd {
        let mut command = redis::cmd(if by_hash { "EVALSHA" } else { "EVAL" });
        command.arg(if by_hash { self.0.get_hash() } else { &*self.1 }).arg(keys.len());
        for part in keys {
            command.arg(part.as_ref());
        }
        for part in args {
            command.arg(part.as_ref());
        }
        command
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> Result<Line, StoreError> {
        self.lock().line.clone().ok_or(StoreError::Away)
    }

    /// What a trip brought, of which the breaker learns.
    fn finish<T: FromRedisValue>(
        &self,
        generation: u64,
        answer: Option<Result<redis::Value, RedisError>>,
    ) -> Result<T, StoreError> {
        let outcome = match answer {
            None => Err(StoreError::TimedOut),
            Some(answer) => answer.map_err(|error| StoreError::from(&error)),
        };
        self.learn(generation, outcome.as_ref().err().copied());
        T::from_redis_value(outcome?).map_err(|_| StoreError::Unexpected)
    }

    /// Learns how a trip over the connection of that generation went.
    fn learn(&self, generation: u64, failure: Option<StoreError>) {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        if inner.line.as_ref().is_none_or(|line| line.generation != generation) {
            return;
        }
        let is_over = match failure {
            None | Some(StoreError::Unexpected | StoreError::Away) => {
                inner.breaker.answered();
                false
            }
            Some(StoreError::TimedOut) => inner.breaker.failed(now),
            Some(StoreError::Broken | StoreError::Unfit(_)) => inner.breaker.lost(now),
        };
        if is_over {
            inner.line = None;
            self.state.send_replace(State::Away { since: now });
            drop(inner);
            if let Some(error) = failure {
                tracing::warn!(%error, "the shared store is away: this replica goes on by itself");
            }
            self.gone.notify_one();
        }
    }

    /// Takes a connection into use.
    fn connected(&self, connection: MultiplexedConnection, server: Server) -> u64 {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        inner.generation += 1;
        let generation = inner.generation;
        inner.breaker.connected(now);
        inner.line = Some(Line { connection, generation });
        // Under the lock, so that whoever finds the connection finds this state, or one that came after.
        self.state.send_replace(State::Up { since: now, generation, server });
        generation
    }
}

impl From<&RedisError> for StoreError {
    fn from(error: &RedisError) -> Self {
        let unfit = match code(error) {
            Some("READONLY" | "MASTERDOWN" | "NOREPLICAS") => Unfit::ReadOnly,
            Some("OOM" | "MISCONF") => Unfit::RefusesWrites,
            Some("LOADING" | "BUSY") => Unfit::Busy,
            Some("NOPERM" | "NOAUTH" | "WRONGPASS" | "DENIED") => Unfit::NotPermitted,
            Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT") => Unfit::Cluster,
            _ if error.kind() == ErrorKind::AuthenticationFailed => Unfit::NotPermitted,
            _ if error.is_timeout() => return Self::TimedOut,
            _ if error.is_io_error() || error.is_unrecoverable_error() => return Self::Broken,
            _ => return Self::Unexpected,
        };
        Self::Unfit(unfit)
    }
}

/// The code of an error. What a command answers inside a script stands, before Redis 7, in the middle of the script's
/// own error: `ERR Error running script (…): @user_script:9: -READONLY You can't write against a read only replica.`
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let inner = error.detail().filter(|_| code == "ERR").and_then(|detail| {
        let said = detail.split_ascii_whitespace().filter_map(|word| word.strip_prefix('-'));
        said.into_iter().find(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
    });
    inner.or(Some(code))
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "it takes no writes, as a replica does",
            Self::RefusesWrites => "it refuses writes: its memory is full, or it cannot persist",
            Self::Busy => "it is busy, loading its data or running a script",
            Self::NotPermitted => "it does not know us, or does not let us do what we need",
            Self::Cluster => "it is a node of a cluster, which is not supported",
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("address", &self.0.settings.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Script").field(&self.0.get_hash()).finish()
    }
}
