//! The room as the others use it, without a socket.

use std::{sync::Arc, time::Duration};

use prost::Message as _;

use super::{
    batch::{self, Anchor},
    proto::{AnyValueKind, ExportTraceServiceRequest, Span as Sent, SpanKind},
    queue::{MOST_SPANS, Queue},
    *,
};
use crate::domain::{SpanId, TraceId, TraceParent, TraceState, clock::from_unix_seconds};

const REQUEST: Name = Name::Request("GET", "/instances");

fn tracer() -> (Tracer, Arc<Queue>, Clock) {
    let (queue, clock) = (Arc::new(Queue::default()), Clock::manual(from_unix_seconds(1_551_974_523)));
    (Tracer::new(Arc::clone(&queue), clock.clone()), queue, clock)
}

fn parent(is_sampled: bool) -> Origin {
    let (trace_id, span_id) = (TraceId::from_bits(0xabc), SpanId::from_bits(0xdef));
    let state = TraceState::parse([&b"rojo=1"[..]]);
    Origin { parent: Some(TraceParent { trace_id, span_id, is_sampled }), state }
}

/// What would be sent, as a collector reads it.
fn sent(queue: &Queue, clock: &Clock) -> Vec<Sent> {
    let anchor = Anchor { wall: clock.wall(), monotonic: clock.monotonic() };
    let (bytes, count) = batch::encode(&queue.take(), "instance-1", anchor);
    let message = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    let spans: Vec<_> = message.resource_spans.into_iter().flat_map(|part| part.scope_spans).collect();
    let spans: Vec<_> = spans.into_iter().flat_map(|part| part.spans).collect();
    assert_eq!(spans.len(), count);
    spans
}

fn attribute(span: &Sent, key: &str) -> Vec<AnyValueKind> {
    let values = span.attributes.iter().filter(|pair| pair.key == key);
    values.filter_map(|pair| pair.value.clone()?.value).collect()
}

#[test]
fn a_requests_spans_stand_below_it_and_last_as_long_as_their_guards() {
    let (tracer, queue, clock) = tracer();
    let trace = tracer.begin(REQUEST, || parent(true));
    trace.vouch();

    clock.advance(Duration::from_millis(1));
    let step = trace.step(Step::Policy);
    clock.advance(Duration::from_millis(2));
    drop(step);
    clock.advance(Duration::from_millis(4));
    trace.end();
    clock.advance(Duration::from_secs(60));

    let spans = sent(&queue, &clock);
    let nanos = 1_551_974_523_000_000_000;
    let seen: Vec<_> = spans.iter().map(|s| (&*s.name, s.start_time_unix_nano, s.end_time_unix_nano)).collect();
    assert_eq!(seen, [("GET /instances", nanos, nanos + 7_000_000), ("policy", nanos + 1_000_000, nanos + 3_000_000)]);
    assert_eq!(spans[0].parent_span_id, 0xdef_u64.to_be_bytes());
    assert_eq!(spans[1].parent_span_id, spans[0].span_id);
    assert_eq!(spans[0].kind, i32::from(SpanKind::Server));
    assert!(spans.iter().all(|span| span.trace_id == 0xabc_u128.to_be_bytes() && span.trace_state == "rojo=1"));
}

#[test]
fn what_is_said_twice_is_sent_once_as_it_was_said_last() {
    let (tracer, queue, clock) = tracer();
    let trace = tracer.begin(REQUEST, Origin::default);

    trace.note("cloud.region", "ap-chengdu");
    trace.note("cloud.region", "ap-guangzhou");
    trace.end();

    let spans = sent(&queue, &clock);
    assert_eq!(attribute(&spans[0], "cloud.region"), [AnyValueKind::Text("ap-guangzhou".to_owned())]);
}

#[test]
fn a_fetch_outlives_its_request_and_keeps_its_place() {
    let (tracer, queue, clock) = tracer();
    let trace = tracer.begin(REQUEST, Origin::default);
    trace.vouch();

    let fetch = trace.fork(Step::Fetch);
    drop(trace);
    clock.advance(Duration::from_secs(1));
    drop(fetch.call("DescribeBackupUrl"));
    drop(fetch);

    let spans = sent(&queue, &clock);
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["GET /instances", "fetch", "redis/DescribeBackupUrl"]);
    assert_eq!(attribute(&spans[0], "error.type"), [AnyValueKind::Text("hung_up".to_owned())]);
    assert_eq!(spans[1].parent_span_id, spans[0].span_id);
    assert_eq!(spans[2].parent_span_id, spans[1].span_id);
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
}

#[test]
fn what_is_said_after_the_end_is_lost_and_harms_nobody() {
    let (tracer, queue, clock) = tracer();
    let trace = tracer.begin(REQUEST, Origin::default);
    let late = trace.step(Step::Audit);

    trace.end();
    late.fail("too_late");
    drop((late, trace.step(Step::Cache)));
    trace.end();

    assert_eq!(sent(&queue, &clock).len(), 2);
    assert_eq!(queue.len(), 0);
}

#[test]
fn nothing_is_recorded_where_tracing_is_off_or_the_caller_does_not_sample() {
    let (tracer, queue, _) = tracer();

    for trace in [tracer.begin(REQUEST, || parent(false)), Tracer::off().begin(REQUEST, || parent(true))] {
        trace.remark();
        assert_eq!(trace.context(), None);
        assert_eq!(trace.step(Step::Cache).id(), None);
        assert_eq!(trace.fork(Step::Fetch).context(), None);
        assert_eq!(trace.follow(Step::Refresh).context(), None);
        trace.end();
    }

    assert_eq!(queue.len(), 0);
}

#[test]
fn traces_that_a_caller_samples_beyond_the_rate_are_counted_and_others_are_just_passed_over() {
    let (tracer, queue, _) = tracer();

    for origin in [|| parent(true), Origin::default] {
        for _ in 0..110 {
            let trace = tracer.begin(REQUEST, origin);
            trace.vouch();
            drop(trace.step(Step::Policy));
            trace.end();
        }
    }

    assert_eq!(queue.len(), 2 * (100 + 10));
    assert_eq!(queue.counts.read(), Counts { dropped_rate: 2 * 10, ..Counts::default() });
}

#[test]
fn a_queue_that_nobody_empties_stays_as_large_as_it_may_be_and_counts_the_rest() {
    let (tracer, queue, _) = tracer();

    for _ in 0..MOST_SPANS {
        let trace = tracer.begin(REQUEST, Origin::default);
        trace.vouch();
        drop(trace.step(Step::Policy));
        drop(trace.step(Step::Cache));
        trace.remark();
        trace.end();
    }

    assert!(queue.len() <= MOST_SPANS && queue.len() > MOST_SPANS - 3, "{}", queue.len());
    let dropped = queue.counts.read().dropped_queue_full;
    assert_eq!(dropped + queue.len() as u64, 3 * MOST_SPANS as u64);
    assert!(queue.take().len() <= queue::BATCH_SPANS);
}

#[test]
fn a_queue_that_is_closed_takes_nothing_more() {
    let (tracer, queue, _) = tracer();
    let trace = tracer.begin(REQUEST, Origin::default);

    queue.close();
    trace.end();

    assert_eq!((queue.len(), queue.counts.read().dropped_queue_full), (0, 1));
}
