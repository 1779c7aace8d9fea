//! The thread that sends spans: batch by batch, each with a deadline, and again where the collector asks for that.
//!
//! It runs an event loop of its own. While it waits for a collector the queue fills, and then drops; nobody else notices.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use actix_web::{
    http::{StatusCode, header},
    rt,
};
use awc::http::Uri;
use bytes::Bytes;
use prost::Message as _;
use tokio::{
    select,
    time::{sleep, timeout},
};

use super::{
    batch::{self, Anchor},
    collector::CollectorUrl,
    ids::Ids,
    proto::ExportTraceServiceResponse,
    queue::{BATCH_SPANS, Counters, Queue},
    span::Part,
};
use crate::{
    domain::Clock,
    outbound::{self, TlsRoots},
};

/// The longest that a span waits before it is sent, where the collector takes it.
const DELAY: Duration = Duration::from_secs(1);

/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for a batch, from the first byte out to the last byte in.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Times that a batch is sent before it is given up.
const ATTEMPTS: u32 = 4;

/// The pause after the first attempt; it doubles from one to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, whatever the collector asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The time between two lines about a collector that goes on failing.
const REMINDER: Duration = Duration::from_secs(60);

/// A collector answers with a few bytes.
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

const PROTOBUF: &str = "application/x-protobuf";

/// Why a batch was not taken. Its words hold nothing that the other side said.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("no answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("no connection, or no HTTP answer on it")]
    Unreachable,
    #[error("the answer has status {status} in place of 200")]
    Status { status: StatusCode, retry_after: Option<Duration> },
}

/// Sends what comes until the queue is closed and empty.
pub(super) fn run(queue: &Queue, collector: &CollectorUrl, roots: &TlsRoots, clock: &Clock) {
    match rt::Runtime::new() {
        Ok(runtime) => runtime.block_on(send_all(queue, collector, roots, clock)),
        Err(error) => tracing::error!(%error, "no spans are exported: there is no event loop for it"),
    }
    queue.finish();
}

async fn send_all(queue: &Queue, collector: &CollectorUrl, roots: &TlsRoots, clock: &Clock) {
    let instance = Ids::new().trace().to_string();
    let sender = Sender {
        http: outbound::client(roots, CONNECT_TIMEOUT, TIMEOUT),
        uri: collector.uri(),
        clock,
        failure_said_at: Cell::new(None),
    };
    loop {
        let parts = queue.take();
        if parts.is_empty() {
            if queue.is_closed() {
                return;
            }
            select! {
                () = queue.called() => {}
                () = sleep(DELAY) => {}
            }
            continue;
        }
        send(queue, &sender, &parts, &instance).await;
        if queue.len() < BATCH_SPANS && !queue.is_closed() {
            select! {
                () = queue.called() => {}
                () = sleep(DELAY) => {}
            }
        }
    }
}

struct Sender<'a> {
    http: awc::Client,
    uri: &'a Uri,
    clock: &'a Clock,
    failure_said_at: Cell<Option<Instant>>,
}

async fn send(queue: &Queue, sender: &Sender<'_>, parts: &[Part], instance: &str) {
    let anchor = Anchor { wall: sender.clock.wall(), monotonic: sender.clock.monotonic() };
    let (body, spans) = batch::encode(parts, instance, anchor);
    let body = Bytes::from(body);
    let counts = &queue.counts;
    for attempt in 0..ATTEMPTS {
        let error = match sender.post(body.clone()).await {
            Ok(rejected) => {
                let rejected = rejected.min(spans);
                Counters::add(&counts.exported, spans - rejected);
                Counters::add(&counts.dropped_export_failed, rejected);
                sender.succeeded();
                return;
            }
            Err(error) => error,
        };
        let pause = error.pause(attempt).filter(|_| attempt + 1 < ATTEMPTS && !queue.is_closed());
        sender.failed(&error, if pause.is_none() { spans } else { 0 });
        let Some(pause) = pause else { break };
        // A process that ends does not wait for a collector that has just failed.
        select! {
            () = sleep(pause) => {}
            () = closed(queue) => break,
        }
    }
    Counters::add(&counts.dropped_export_failed, spans);
}

/// Ends when the queue is closed; full batches do not hurry a pause.
async fn closed(queue: &Queue) {
    while !queue.is_closed() {
        queue.called().await;
    }
}

impl Sender<'_> {
    /// Sends a batch once; how many of its spans the collector refuses.
    async fn post(&self, body: Bytes) -> Result<usize, ExportError> {
        timeout(TIMEOUT, self.exchange(body)).await.unwrap_or(Err(ExportError::TimedOut))
    }

    async fn exchange(&self, body: Bytes) -> Result<usize, ExportError> {
        let request = self
            .http
            .post(self.uri)
            .insert_header((header::CONTENT_TYPE, PROTOBUF))
            .insert_header((header::ACCEPT, PROTOBUF))
            .insert_header((header::USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"))));
        let mut response = request.send_body(body).await.map_err(|_| ExportError::Unreachable)?;
        let status = response.status();
        if status != StatusCode::OK {
            let retry_after = response.headers().get(header::RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(ExportError::Status { status, retry_after: retry_after.map(Duration::from_secs) });
        }
        // What was taken was taken, whatever is wrong with the words behind it.
        let Ok(answer) = outbound::read_body(&mut response, ANSWER_LIMIT_BYTES).await else { return Ok(0) };
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        Ok(answer.partial_success.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0)))
    }

    /// Says that the collector fails: when that begins, and once a minute while it lasts.
    fn failed(&self, error: &ExportError, dropped: usize) {
        let now = self.clock.monotonic();
        let is_due = |said: Instant| now.saturating_duration_since(said) >= REMINDER;
        if self.failure_said_at.get().is_none_or(is_due) {
            self.failure_said_at.set(Some(now));
            tracing::warn!(%error, dropped, "the collector does not take spans");
        }
    }

    fn succeeded(&self) {
        if self.failure_said_at.take().is_some() {
            tracing::info!("the collector takes spans again");
        }
    }
}

impl ExportError {
    /// How long to wait before the batch is sent again; nothing where it must not be (OTLP, "Failures": 429, 502, 503
    /// and 504 may be, and what found no collector).
    fn pause(&self, attempt: u32) -> Option<Duration> {
        let usual = FIRST_PAUSE * 2_u32.saturating_pow(attempt);
        match self {
            Self::TimedOut | Self::Unreachable => Some(usual),
            Self::Status { status, retry_after } => match status.as_u16() {
                429 | 502 | 503 | 504 => Some(retry_after.unwrap_or(usual).min(LONGEST_PAUSE)),
                _ => None,
            },
        }
    }
}
