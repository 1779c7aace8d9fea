//! What waits for the collector: bounded, and never in anybody's way.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::span::Part;

/// Spans that may wait. With their attributes they take some 4 MB.
pub(super) const MOST_SPANS: usize = 8192;

/// Spans that are sent at once, give or take a part of a trace; so many wake the exporter.
pub(super) const BATCH_SPANS: usize = 512;

/// Finished parts of traces.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// A batch is full, or there will be no more.
    call: Notify,
    done: watch::Sender<bool>,
    pub(super) counts: Counters,
}

#[derive(Debug, Default)]
struct State {
    parts: VecDeque<Part>,
    spans: usize,
    is_closed: bool,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) exported: AtomicU64,
    pub(super) dropped_rate: AtomicU64,
    pub(super) dropped_queue_full: AtomicU64,
    pub(super) dropped_export_failed: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            call: Notify::new(),
            done: watch::Sender::new(false),
            counts: Counters::default(),
        }
    }
}

impl Queue {
    /// Takes a part where there is room for all of it; else counts it.
    pub(super) fn push(&self, part: Part) {
        let arriving = part.spans.len();
        let has_batch = {
            let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_closed || state.spans + arriving > MOST_SPANS {
                Counters::add(&self.counts.dropped_queue_full, arriving);
                return;
            }
            let had_batch = state.spans >= BATCH_SPANS;
            state.spans += arriving;
            state.parts.push_back(part);
            !had_batch && state.spans >= BATCH_SPANS
        };
        if has_batch {
            self.call.notify_one();
        }
    }

    /// The oldest parts, up to a batch of them.
    pub(super) fn take(&self) -> Vec<Part> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut spans = 0;
        while spans < BATCH_SPANS
            && let Some(part) = state.parts.pop_front()
        {
            spans += part.spans.len();
            taken.push(part);
        }
        state.spans -= spans;
        taken
    }

    /// Spans that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).spans
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// Ends when a batch is full, or there will be no more.
    pub(super) async fn called(&self) {
        self.call.notified().await;
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.call.notify_one();
    }

    /// The exporter will not come again.
    pub(super) fn finish(&self) {
        self.done.send_replace(true);
    }

    /// Ends when the exporter has.
    pub(super) async fn is_done(&self) {
        // The sender is in this queue, so it cannot be gone.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, spans: usize) {
        counter.fetch_add(u64::try_from(spans).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
