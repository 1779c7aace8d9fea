//! Spans of requests and calls, on their way to a collector (OTLP).
//!
//! Nobody waits for it: what a request leaves here is taken in a fraction of a microsecond, and what does not fit, or
//! is not taken by the collector, is dropped and counted. No span carries a token, a key, a signature or a signed URL,
//! nor who called: that is the audit's to know. The reasons are in `docs/adr/0010-traces.md`.

mod batch;
mod collector;
mod exporter;
mod ids;
mod proto;
mod queue;
mod sampling;
mod span;
mod tracer;

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

pub use collector::{CollectorUrl, InvalidCollectorUrl};
pub use span::{Name, SpanContext, Step, Value};
pub use tracer::{Origin, Span, Trace, Tracer};

use crate::{domain::Clock, outbound::TlsRoots};
use queue::Queue;

/// What was made of spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans that the collector took.
    pub exported: u64,
    /// Spans of traces that a caller samples, beyond those that a worker keeps in a second.
    pub dropped_rate: u64,
    /// Spans that found no room.
    pub dropped_queue_full: u64,
    /// Spans that the collector did not take.
    pub dropped_export_failed: u64,
}

impl Counts {
    /// The reasons for which spans are dropped, and how many were, for metrics.
    pub fn dropped(&self) -> [(&'static str, u64); 3] {
        [
            ("rate", self.dropped_rate),
            ("queue_full", self.dropped_queue_full),
            ("export_failed", self.dropped_export_failed),
        ]
    }
}

/// The way to the collector; off where none is configured.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Queue>>);

impl Traces {
    /// Starts the exporter, on a thread of its own: a collector that hangs holds nobody else up.
    ///
    /// # Errors
    ///
    /// When the system gives no thread. Whether somebody is at `collector` is not found out here: the gateway does its
    /// work without.
    pub fn start(collector: Option<CollectorUrl>, clock: &Clock) -> io::Result<Self> {
        let Some(collector) = collector else { return Ok(Self(None)) };
        let roots = TlsRoots::load(None).map_err(io::Error::other)?;
        let queue = Arc::new(Queue::default());
        let (of_exporter, clock) = (Arc::clone(&queue), clock.clone());
        thread::Builder::new()
            .name("otlp".to_owned())
            .spawn(move || exporter::run(&of_exporter, &collector, &roots, &clock))?;
        Ok(Self(Some(queue)))
    }

    /// What a worker writes its spans with.
    pub fn tracer(&self, clock: &Clock) -> Tracer {
        self.0.as_ref().map_or_else(Tracer::off, |queue| Tracer::new(Arc::clone(queue), clock.clone()))
    }

    /// What became of the spans so far.
    pub fn counts(&self) -> Counts {
        self.0.as_ref().map(|queue| queue.counts.read()).unwrap_or_default()
    }

    /// Sends what is left, for at most `limit`. Nothing that is written afterwards is sent.
    pub async fn close(&self, limit: Duration) {
        let Some(queue) = &self.0 else { return };
        queue.close();
        if tokio::time::timeout(limit, queue.is_done()).await.is_err() {
            tracing::warn!(spans = queue.len(), "the collector took too long; the last spans are lost");
        }
    }
}

impl queue::Counters {
    fn read(&self) -> Counts {
        Counts {
            exported: self.exported.load(Ordering::Relaxed),
            dropped_rate: self.dropped_rate.load(Ordering::Relaxed),
            dropped_queue_full: self.dropped_queue_full.load(Ordering::Relaxed),
            dropped_export_failed: self.dropped_export_failed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
