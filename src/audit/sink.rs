//! The way to the sink: what all workers share, and the one thread that writes.
//!
//! A record goes through three hands. The worker's [`Desk`] gathers what the requests of one turn of its event loop
//! have to say, and hands it over as one batch; the `Queue` keeps batches in their order; the `Writer` alone owns the
//! key, the chain and the file, writes each batch at once, and tells the desk. So a lock is taken once a batch and a
//! thread woken once a batch, and a sink that stalls holds up nobody but the writer.

mod batch;
mod desk;
mod output;
mod queue;
mod tail;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    Settings, Sink,
    chain::Link,
    fingerprint::{Fingerprints, Remembered},
    key::{Key, KeyError, Keys},
};
use crate::domain::Clock;
use output::Output;
use queue::{Job, Queue};
use tail::Tail;
use writer::Writer;

pub use desk::Desk;

/// The audit of the process. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Shared>);

/// Why a record is not known to be written. The answer must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The sink refused the write.
    #[error("the audit sink refused the record")]
    Refused,
    /// The sink took longer than `audit.timeout`, or did so lately and has not come back.
    #[error("the audit sink is too slow")]
    TooSlow,
}

/// Why the audit did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Standard output cannot be used.
    #[error("standard output cannot be used for the audit: {0}")]
    Stdout(#[source] io::Error),
    /// The system gives no randomness, or no thread.
    #[error("the audit cannot start: {0}")]
    System(#[source] io::Error),
}

impl StartError {
    /// The configuration key that it is about, a dotted path.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Key(_) => Some(KEY_FILE),
            Self::Open(_) => Some(FILE),
            Self::Stdout(_) => Some("audit.sink"),
            Self::System(_) => None,
        }
    }
}

/// Why a file cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says no.
    #[error("{path} cannot be opened for reading and appending: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Two chains in one file would be none.
    #[error("{path} is being written by another process")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is some other file, and better left alone.
    #[error("{path} does not end with audit records")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

/// Why a reload left the old file and the old key in force.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// The key cannot be used.
    #[error("audit.key_file: {0}")]
    Key(#[from] KeyError),
    /// The file cannot be used.
    #[error("audit.file: {0}")]
    Open(#[from] OpenError),
    /// The writer is stuck in the old file, and comes to this when it is not any more.
    #[error("the sink is stalled; key and file are looked for as soon as it goes on")]
    Stalled,
    /// The writer has ended.
    #[error("the audit has ended")]
    Ended,
}

/// The configuration keys that failures are about.
pub const KEY_FILE: &str = "audit.key_file";
const FILE: &str = "audit.file";

/// How long a reload waits for the writer: others wait behind it.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Shared {
    queue: Queue,
    /// The key in force, for fingerprints.
    key: ArcSwap<Key>,
    head: Mutex<Link>,
    /// A desk gave up waiting, and the writer has not come back since.
    stalled: AtomicBool,
    /// The last write failed.
    failing: AtomicBool,
    /// How many desks there are.
    desks: watch::Sender<usize>,
    /// Whether the writer has ended.
    has_ended: watch::Sender<bool>,
    timeout: Duration,
    clock: Clock,
}

impl Audit {
    /// Opens the sink and starts the writer.
    ///
    /// # Errors
    ///
    /// When key, file or thread cannot be had; each that cannot.
    pub fn start(settings: &Settings, clock: Clock) -> Result<Self, Vec<StartError>> {
        let keys = match settings.key_file() {
            Some(path) => Keys::load(path),
            None => Keys::random(),
        };
        // The end of a file cannot be read without a key, but whether there is a file can be said all the same.
        let keys = match (keys, &settings.sink) {
            (Ok(keys), _) => keys,
            (Err(error), Sink::Stdout { .. }) => return Err(vec![error.into()]),
            (Err(error), Sink::File { path, .. }) => {
                let file = Output::can_be_opened(path).err().map(StartError::from);
                return Err(std::iter::once(error.into()).chain(file).collect());
            }
        };
        let opened = match &settings.sink {
            Sink::Stdout { .. } => Output::stdout().map(|output| (output, None)).map_err(StartError::Stdout),
            Sink::File { path, .. } => {
                Output::open(path, &keys).map(|(output, tail)| (output, Some(tail))).map_err(StartError::from)
            }
        };
        let started = opened.and_then(|(output, tail)| Self::over(output, tail.as_ref(), keys, settings, clock));
        started.map_err(|error| vec![error])
    }

    fn over(
        output: Output,
        tail: Option<&Tail>,
        keys: Keys,
        settings: &Settings,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| StartError::System(io::Error::other(error)))?;
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            key: ArcSwap::from_pointee(keys.current().clone()),
            head: Mutex::new(Link::START),
            stalled: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            desks: watch::Sender::new(0),
            has_ended: watch::Sender::new(false),
            timeout: settings.timeout,
            clock,
        });
        let key_file = settings.key_file().map(ToOwned::to_owned);
        let writer = Writer::new(Arc::clone(&shared), output, tail, keys, key_file, u64::from_be_bytes(number));
        let end = WriterEnd(Arc::clone(&shared));
        let work = move || {
            let _end = end;
            writer.run();
        };
        thread::Builder::new().name("audit".to_owned()).spawn(work).map_err(StartError::System)?;
        Ok(Self(shared))
    }

    /// A worker's way to the sink. It must stay on the thread of the worker.
    pub fn desk(&self) -> Desk {
        Desk::new(Arc::clone(&self.0))
    }

    /// Whether records cannot be written at the moment, as far as is known. It ends by itself: what could not be
    /// written is tried again and again.
    pub fn is_failing(&self) -> bool {
        self.0.is_stalled() || self.0.failing.load(Ordering::Relaxed)
    }

    /// Waits until the writer has ended: it was closed, or it has panicked, and nothing is written any more. A record
    /// that comes later is refused.
    pub async fn writer_has_ended(&self) {
        let mut has_ended = self.0.has_ended.subscribe();
        // The sender is in what this audit holds, so it does not go away.
        let _ = has_ended.wait_for(|has_ended| *has_ended).await;
    }

    /// The last record that the kernel has; `None` before the first. Whoever keeps it elsewhere can prove later that
    /// the end was not cut off.
    pub fn head(&self) -> Option<Link> {
        let link = *self.0.head.lock().unwrap_or_else(PoisonError::into_inner);
        (link.seq > 0).then_some(link)
    }

    /// The fingerprints of these URLs under the key in force.
    pub fn fingerprints<'a>(&self, urls: impl IntoIterator<Item = &'a str>) -> Fingerprints {
        Fingerprints::of(&self.0.key.load(), urls)
    }

    /// The same for URLs that are given again and again.
    pub fn remembered_fingerprints<'a, I: IntoIterator<Item = &'a str>>(
        &self,
        remembered: &Remembered,
        urls: impl FnOnce() -> I,
    ) -> Fingerprints {
        let key = self.0.key.load();
        remembered.get(&key, || Fingerprints::of(&key, urls()))
    }

    /// Reads the key again, and goes on in whatever file has the sink's name by now, behind all records that wait.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// When key or file cannot be used. Then the old ones stay in force.
    pub fn reopen(&self) -> Result<(), ReopenError> {
        let (done, reopened) = mpsc::sync_channel(1);
        self.0.queue.push(Job::Reopen(done));
        match reopened.recv_timeout(REOPEN_PATIENCE) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(ReopenError::Stalled),
            Err(RecvTimeoutError::Disconnected) => Err(ReopenError::Ended),
        }
    }

    /// Waits until every desk has handed over what it had and is gone, as they are once their workers have ended; at most
    /// for `limit`. Says whether they are.
    pub async fn desks_are_gone(&self, limit: Duration) -> bool {
        let mut desks = self.0.desks.subscribe();
        timeout(limit, desks.wait_for(|desks| *desks == 0)).await.is_ok()
    }

    /// Writes what waits, and ends the writer. Records that come later are never written.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.0.queue.push(Job::Close(done));
        // The writer ends without a word only where it was closed before.
        let _ = closed.await;
    }
}

/// Says that the writer has ended, whatever it ended of.
struct WriterEnd(Arc<Shared>);

impl Drop for WriterEnd {
    fn drop(&mut self) {
        // Nobody comes back to lower it: from now on whoever needs a record is refused at once.
        self.0.stalled.store(true, Ordering::Relaxed);
        self.0.queue.close();
        self.0.has_ended.send_replace(true);
    }
}

impl Shared {
    fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    fn keep_head(&self, link: Link) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }
}

#[cfg(test)]
mod tests;
