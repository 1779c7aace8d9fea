//! Between the workers and the writer: batches in their order, and for each batch the place where its fate is told.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    task::Poll,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use super::{ReopenError, batch::Batch};

/// What the writer has to do, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    writer_waits: bool,
    is_closed: bool,
}

/// One thing for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Write these.
    Write(Batch, Arc<Slot>),
    /// Look for the file and the key again.
    Reopen(SyncSender<Result<(), ReopenError>>),
    /// End.
    Close(oneshot::Sender<()>),
}

/// What became of a batch. The desk and the writer meet here, and agree on who was first: whether the desk gave the
/// batch up before it was written.
#[derive(Debug, Default)]
pub(super) struct Slot {
    fate: Mutex<Fate>,
    desk: AtomicWaker,
}

#[derive(Debug, Default)]
struct Fate {
    is_given_up: bool,
    landed: Option<Landed>,
}

/// A batch that the writer is done with.
#[derive(Debug)]
pub(super) struct Landed {
    /// How many of its records, from the first on, the kernel has.
    pub(super) written: usize,
    /// Its memory, to be used again.
    pub(super) batch: Batch,
}

impl Queue {
    /// Adds a job, and wakes the writer where it waits for one: while it is busy it finds the job by itself. A job for a
    /// writer that has ended is dropped, and whoever waits for it learns by that, or by the time that it takes.
    pub(super) fn push(&self, job: Job) {
        let mut state = lock(&self.state);
        if state.is_closed {
            return;
        }
        state.jobs.push_back(job);
        let writer_waits = state.writer_waits;
        // Unlocked first: on the same core the writer runs as soon as it is woken, and would run into the lock.
        drop(state);
        if writer_waits {
            self.filled.notify_one();
        }
    }

    /// Takes no more jobs, and drops those that are there.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.jobs.clear();
    }

    /// The next job; `None` where none has come within `patience`.
    pub(super) fn pop(&self, patience: Option<Duration>) -> Option<Job> {
        let mut state = lock(&self.state);
        if state.jobs.is_empty() {
            state.writer_waits = true;
            let is_empty = |state: &mut State| state.jobs.is_empty();
            state = match patience {
                None => self.filled.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.filled.wait_timeout_while(state, patience, is_empty);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.writer_waits = false;
        }
        state.jobs.pop_front()
    }
}

impl Slot {
    /// Gives the batch up, unless it has landed, and raises `stalled` with that. Says whether it was given up.
    ///
    /// Under one lock with what the writer does at the end, so that whoever raises the flag can rely on the writer to
    /// come by later and lower it.
    pub(super) fn give_up(&self, stalled: &AtomicBool) -> bool {
        let mut fate = lock(&self.fate);
        if fate.landed.is_some() {
            return false;
        }
        fate.is_given_up = true;
        stalled.store(true, Ordering::Relaxed);
        true
    }

    /// Whether the desk has given the batch up.
    pub(super) fn is_given_up(&self) -> bool {
        lock(&self.fate).is_given_up
    }

    /// Tells the desk how many records of the batch the kernel has. Where the desk has given the batch up, it comes
    /// back: what was written of it is wrong by now.
    pub(super) fn land(&self, written: usize, batch: Batch) -> Option<Batch> {
        let given_up = {
            let mut fate = lock(&self.fate);
            let (batch, given_up) = if fate.is_given_up { (Batch::default(), Some(batch)) } else { (batch, None) };
            fate.landed = Some(Landed { written, batch });
            given_up
        };
        self.desk.wake();
        given_up
    }

    /// Waits until the writer is done with the batch.
    pub(super) async fn landed(&self) -> Landed {
        poll_fn(|context| {
            self.desk.register(context.waker());
            match lock(&self.fate).landed.take() {
                Some(landed) => Poll::Ready(landed),
                None => Poll::Pending,
            }
        })
        .await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
