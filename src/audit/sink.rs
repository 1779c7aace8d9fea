//! The writer: one thread that alone touches the sink, so that a stalled pipe stalls no worker.
//!
//! Records that wait while a write is under way share the next one.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::Settings;

/// The way to the sink. Cloning it is cheap; the thread ends when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Job>,
    failing: Arc<AtomicBool>,
    timeout: Duration,
}

/// Why a record is not known to be written. The answer must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The sink refused the write.
    #[error("the audit sink refused the record")]
    Refused,
    /// The sink took longer than `audit.timeout`, or so many records wait for it that this one was not let in.
    #[error("the audit sink is too slow")]
    TooSlow,
}

#[derive(Debug)]
struct Job {
    line: Vec<u8>,
    written: oneshot::Sender<Result<(), AuditError>>,
}

/// Records that may wait for the writer; what comes beyond is refused, for memory must stay bounded.
const QUEUE_LENGTH: usize = 4096;

/// Bytes that one write may gather.
const BATCH_BYTES: usize = 256 << 10;

impl Audit {
    /// Starts the writer thread over `sink`.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(settings: Settings, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_LENGTH);
        let failing = Arc::new(AtomicBool::new(false));
        let health = Arc::clone(&failing);
        thread::Builder::new().name("audit".to_owned()).spawn(move || write_all(jobs, sink, &health))?;
        Ok(Self { queue, failing, timeout: settings.timeout })
    }

    /// Hands `line` to the sink and waits until the kernel has it.
    ///
    /// # Errors
    ///
    /// When that is not known to have happened within `audit.timeout`.
    pub async fn write(&self, line: Vec<u8>) -> Result<(), AuditError> {
        let (written, answer) = oneshot::channel();
        if self.queue.try_send(Job { line, written }).is_err() {
            self.failing.store(true, Ordering::Relaxed);
            return Err(AuditError::TooSlow);
        }
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AuditError::Refused),
            Err(_) => {
                self.failing.store(true, Ordering::Relaxed);
                Err(AuditError::TooSlow)
            }
        }
    }

    /// Hands `line` to the sink for a request that nobody waits for any more.
    pub fn write_unattended(&self, line: Vec<u8>) {
        let (written, _) = oneshot::channel();
        if self.queue.try_send(Job { line, written }).is_err() {
            tracing::error!("the audit sink is too slow for the record of a request that was given up");
        }
    }

    /// Whether the last that is known of the sink is a failure; the next write that succeeds ends it.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

fn write_all(mut jobs: mpsc::Receiver<Job>, mut sink: impl Write, failing: &AtomicBool) {
    let mut batch = Vec::new();
    let mut waiting = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        let mut next = Some(first);
        while let Some(job) = next {
            batch.extend_from_slice(&job.line);
            waiting.push(job.written);
            next = if batch.len() < BATCH_BYTES { jobs.try_recv().ok() } else { None };
        }
        let result = sink.write_all(&batch).and_then(|()| sink.flush());
        failing.store(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result {
            tracing::error!(error = %error.kind(), records = waiting.len(), "the audit sink refused a write");
        }
        let outcome = result.map_err(|_| AuditError::Refused);
        for written in waiting.drain(..) {
            // A caller that gave up has already been told so; its record stands all the same.
            let _ = written.send(outcome);
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::net::UnixStream, sync::Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SETTINGS: Settings = Settings { timeout: Duration::from_secs(5) };

    #[tokio::test]
    async fn a_record_is_in_the_sink_before_the_caller_hears_of_it() {
        let memory = Memory::default();
        let audit = Audit::start(SETTINGS, memory.clone()).unwrap();

        audit.write(b"one\n".to_vec()).await.unwrap();
        audit.write(b"two\n".to_vec()).await.unwrap();

        assert_eq!(*memory.0.lock().unwrap(), b"one\ntwo\n");
        assert!(!audit.is_failing());
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_for_each_record_and_recovers_by_itself() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let audit = Audit::start(SETTINGS, full).unwrap();

        let outcome = audit.write(b"lost\n".to_vec()).await;

        assert_eq!(outcome, Err(AuditError::Refused));
        assert!(audit.is_failing());
    }

    #[tokio::test]
    async fn a_stalled_sink_is_told_within_the_timeout_and_a_drained_one_is_healthy_again() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let audit = Audit::start(Settings { timeout: Duration::from_millis(50) }, ours).unwrap();
        let big = vec![b'x'; 8 << 20];

        let stalled = audit.write(big.clone()).await;
        let was_failing = audit.is_failing();
        let mut read = 0;
        let mut buffer = vec![0; 1 << 20];
        let mut theirs = theirs;
        while read < big.len() {
            read += io::Read::read(&mut theirs, &mut buffer).unwrap();
        }
        let recovered = audit.write(b"after\n".to_vec()).await;

        assert_eq!(stalled, Err(AuditError::TooSlow));
        assert!(was_failing);
        assert_eq!(recovered, Ok(()));
        assert!(!audit.is_failing());
    }
}
