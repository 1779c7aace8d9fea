//! Traces as a collector gets them, and what becomes of requests when it does not.

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use sandbox::{Effect, Fault, TokenSpec, known};
use serde_json::Value;

use crate::{
    collector::{CLIENT, Collector, INTERNAL, Manner, SERVER, SpanSeen},
    harness::{Answer, Client, Stage, eventually, started, urls_path, wait},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "b7ad6b7169203331";
const ROUTE: &str = "GET /instances/{instance_id}/backups/{backup_id}/urls";

fn stage(collector: &Collector) -> Stage {
    Stage::with(&collector.variable())
}

/// A request of alice in a trace of hers.
fn get_in(stage: &Stage, trace: &str, flags: &str, path: &str) -> Answer {
    let token = format!("Bearer {}", stage.token());
    let parent = format!("00-{trace}-{CALLER_SPAN}-{flags}");
    stage.gateway.get(path, &[("Authorization", &token), ("traceparent", &parent), ("tracestate", "rojo=1,congo=t61")])
}

#[track_caller]
fn named<'a>(spans: &'a [SpanSeen], name: &str) -> &'a SpanSeen {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} among {spans:?}"));
    assert!(found.next().is_none(), "two of {name}");
    span
}

/// The lines of the log with these words in them.
fn lines(stage: &Stage, message: &str) -> Vec<Value> {
    let log = stage.gateway.log.lock().unwrap();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["message"] == message).collect()
}

fn counter(stage: &Stage, name: &str) -> u64 {
    let text = stage.gateway.ask(stage.gateway.admin, "GET", "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

#[test]
fn a_miss_is_one_trace_below_its_callers_span_with_a_span_for_every_step() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    stage.control().update(|settings| settings.latency_ms = 20);

    let answer = get_in(&stage, TRACE, "01", &stage.seed_path());

    let spans = collector.trace(TRACE, 8);
    let root = named(&spans, ROUTE);
    let fetch = named(&spans, "fetch");
    assert_eq!(root.parent, CALLER_SPAN);
    for (name, parent, kind) in [
        (ROUTE, CALLER_SPAN, SERVER),
        ("authenticate", &root.id, INTERNAL),
        ("policy", &root.id, INTERNAL),
        ("cache", &root.id, INTERNAL),
        ("fetch", &root.id, INTERNAL),
        ("queue", &fetch.id, INTERNAL),
        ("redis/DescribeBackupUrl", &fetch.id, CLIENT),
        ("audit", &root.id, INTERNAL),
    ] {
        let span = named(&spans, name);
        assert_eq!((span.parent.as_str(), span.kind), (parent, kind), "{span:?}");
        assert_eq!(span.state, "rojo=1,congo=t61", "{name}");
        assert!(span.began <= span.ended && !span.has_failed, "{span:?}");
        assert!(root.began <= span.began && span.ended <= root.ended, "{name} does not lie within the request");
    }
    // The caller's span is of another process, ours are not (bits 8 and 9 say so), and all are sampled.
    assert_eq!(root.flags, 0x301);
    assert_eq!(fetch.flags, 0x101);
    let call = named(&spans, "redis/DescribeBackupUrl");
    assert!(call.ended - call.began >= 20_000_000, "{call:?}");
    let body = answer.json();
    for (span, key, value) in [
        (root, "http.request.method", "GET"),
        (root, "http.route", "/instances/{instance_id}/backups/{backup_id}/urls"),
        (root, "http.response.status_code", "200"),
        (root, "url.scheme", "http"),
        (root, "gateway.request_id", answer.header("x-request-id").unwrap()),
        (root, "gateway.instance_id", known::ORDERS),
        (root, "gateway.backup_id", known::SEED_BACKUP),
        (root, "cloud.region", known::CHENGDU),
        (named(&spans, "authenticate"), "gateway.issuer", "sandbox"),
        (named(&spans, "policy"), "gateway.action", "ReadBackupUrls"),
        (named(&spans, "policy"), "gateway.allowed", "true"),
        (named(&spans, "cache"), "gateway.cache_result", "miss"),
        (call, "rpc.method", "DescribeBackupUrl"),
        (call, "server.address", &stage.sandbox.api_url()["http://".len()..]),
        (call, "cloud.region", known::CHENGDU),
        (call, "http.response.status_code", "200"),
        (call, "gateway.upstream_request_id", body["upstream_request_id"].as_str().unwrap()),
    ] {
        assert_eq!(span.attribute(key), Some(value), "{span:?}");
    }

    let told = lines(&stage, "the upstream answered");
    assert_eq!(told.len(), 1, "{told:?}");
    for (field, value) in [
        ("request_id", answer.header("x-request-id").unwrap()),
        ("trace_id", TRACE),
        ("span_id", &call.id),
        ("action", "DescribeBackupUrl"),
        ("region", known::CHENGDU),
        ("outcome", "ok"),
        ("upstream_request_id", body["upstream_request_id"].as_str().unwrap()),
    ] {
        assert_eq!(told[0][field], value, "{field}: {}", told[0]);
    }
    assert!(told[0]["duration_ms"].as_f64().unwrap() >= 20.0 && told[0]["attempt"] == 1, "{}", told[0]);
    assert_eq!(stage.gateway.records_of(1)[0]["trace_id"], TRACE);
    let sent = &collector.requests()[0].head;
    assert!(sent.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{sent}");
    assert!(sent.to_ascii_lowercase().contains("content-type: application/x-protobuf\r\n"), "{sent}");
}

#[test]
fn a_hit_asks_nobody_and_a_caller_who_does_not_sample_is_not_recorded() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    stage.get(&stage.seed_path());

    let unsampled = get_in(&stage, OTHER_TRACE, "00", &stage.seed_path());
    let hit = get_in(&stage, TRACE, "01", &stage.seed_path());

    assert_eq!((unsampled.status, hit.status), (200, 200));
    let spans = collector.trace(TRACE, 5);
    assert_eq!(named(&spans, "cache").attribute("gateway.cache_result"), Some("hit"));
    for step in ["authenticate", "policy", "audit"] {
        named(&spans, step);
    }
    assert!(collector.spans().iter().all(|span| span.trace != OTHER_TRACE));
    // It is a trace for all that, and the record names it.
    let records = stage.gateway.records_of(3);
    assert_eq!((records[1]["trace_id"].as_str(), records[2]["trace_id"].as_str()), (Some(OTHER_TRACE), Some(TRACE)));
}

#[test]
fn a_request_without_a_trace_gets_one_and_a_broken_traceparent_counts_as_none() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    let token = format!("Bearer {}", stage.token());
    let parent = format!("00-{TRACE}-{CALLER_SPAN}-01");
    let path = |number| urls_path(&known::synthetic_backup(number));

    stage.gateway.get(&path(1), &[("Authorization", &token)]);
    stage.gateway.get(&path(2), &[("Authorization", &token), ("traceparent", &format!("{parent}-more"))]);
    stage.gateway.get(&path(3), &[("Authorization", &token), ("traceparent", &parent), ("traceparent", &parent)]);

    for record in stage.gateway.records_of(3) {
        let trace = record["trace_id"].as_str().unwrap();
        assert_ne!(trace, TRACE);
        let spans = collector.trace(trace, 8);
        assert_eq!(named(&spans, ROUTE).parent, "", "{record}");
        assert_eq!(named(&spans, ROUTE).attribute("gateway.request_id"), record["request_id"].as_str());
    }
}

#[test]
fn without_a_collector_a_trace_is_the_callers_alone() {
    let stage = Stage::new();

    get_in(&stage, TRACE, "01", &stage.seed_path());
    stage.get(&stage.seed_path());

    let records = stage.gateway.records_of(2);
    assert_eq!((records[0]["trace_id"].as_str(), &records[1]["trace_id"]), (Some(TRACE), &Value::Null));
}

#[test]
fn every_attempt_that_fails_is_a_span_with_its_error_and_so_is_the_request() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    stage.control().inject(Fault::api(Effect::Status(500)));

    let answer = get_in(&stage, TRACE, "01", &stage.seed_path());

    assert_eq!(answer.status, 502, "{}", answer.text());
    let spans = collector.trace(TRACE, 12);
    let root = named(&spans, ROUTE);
    assert!(root.has_failed && root.attribute("error.type") == Some("upstream_error"), "{root:?}");
    let mut calls: Vec<_> = spans.iter().filter(|span| span.kind == CLIENT).collect();
    calls.sort_by_key(|call| call.began);
    let seen: Vec<_> = calls.iter().map(|call| call.attribute("http.request.resend_count")).collect();
    assert_eq!(seen, [None, Some("1"), Some("2")]);
    for call in calls {
        assert!(call.has_failed && call.attribute("error.type") == Some("status"), "{call:?}");
        assert_eq!(call.attribute("http.response.status_code"), Some("500"), "{call:?}");
    }
    let told = lines(&stage, "a call to the upstream failed");
    assert_eq!(told.iter().map(|line| line["attempt"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert!(told.iter().all(|line| line["trace_id"] == TRACE && line["outcome"] == "status"), "{told:?}");
}

#[test]
fn a_refusal_is_a_span_that_says_why_and_is_no_failure_of_ours() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    let parent = format!("00-{TRACE}-{CALLER_SPAN}-01");
    let other = format!("00-{OTHER_TRACE}-{CALLER_SPAN}-01");
    let mallory = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("mallory")));

    let stranger = stage.gateway.get(&stage.seed_path(), &[("traceparent", &parent)]);
    let denied = stage.gateway.get(&stage.seed_path(), &[("Authorization", &mallory), ("traceparent", &other)]);

    assert_eq!((stranger.status, denied.status), (401, 403));
    let spans = collector.trace(TRACE, 2);
    assert_eq!(named(&spans, "authenticate").attribute("gateway.denial"), Some("no_token"));
    assert_eq!(named(&spans, ROUTE).attribute("gateway.problem"), Some("unauthenticated"));
    let denied = collector.trace(OTHER_TRACE, 4);
    assert_eq!(named(&denied, "policy").attribute("gateway.allowed"), Some("false"));
    assert_eq!(named(&denied, ROUTE).attribute("http.response.status_code"), Some("403"));
    assert!(spans.iter().chain(&denied).all(|span| !span.has_failed));
}

#[test]
fn a_caller_who_joins_the_fetch_of_another_has_a_link_to_it() {
    let collector = Collector::start(Manner::Takes);
    let stage = stage(&collector);
    stage.control().update(|settings| settings.latency_ms = 500);

    thread::scope(|scope| {
        let first = scope.spawn(|| get_in(&stage, TRACE, "01", &stage.seed_path()));
        eventually("it is asked for", || stage.control().counters().calls_of("DescribeBackupUrl") == 1);
        let second = get_in(&stage, OTHER_TRACE, "01", &stage.seed_path());
        assert!(second.header("cache-status").unwrap().ends_with("collapsed"));
        first.join().unwrap();
    });

    let (opened, joined) = (collector.trace(TRACE, 8), collector.trace(OTHER_TRACE, 6));
    let wait = named(&joined, "fetch");
    assert_eq!(wait.links, [(TRACE.to_owned(), named(&opened, "fetch").id.clone())]);
    assert_eq!(wait.attribute("gateway.collapsed"), Some("true"));
}

#[test]
fn a_refresh_in_the_background_is_a_trace_of_its_own_that_says_who_caused_it() {
    let collector = Collector::start(Manner::Takes);
    // Every hit is due for a successor: URLs live for six hours, and a refresh is due when more than half is left.
    let stage = Stage::with(&format!("GATEWAY_CACHE__REFRESH_AHEAD=7d\n{}", collector.variable()));
    stage.control().update(|settings| settings.urls.lifetime_s = 8);
    stage.get(&stage.seed_path());

    let mut cause = String::new();
    eventually("a refresh begins", || {
        stage.get(&stage.seed_path());
        let spans = collector.spans();
        let refresh = spans.iter().find(|span| span.name == "refresh");
        cause = refresh.map(|refresh| refresh.links[0].0.clone()).unwrap_or_default();
        refresh.is_some()
    });

    let spans = collector.spans();
    let refresh = spans.iter().find(|span| span.name == "refresh").unwrap();
    assert_ne!(refresh.trace, cause);
    let below = collector.trace(&refresh.trace, 4);
    let fetch = named(&below, "fetch");
    assert_eq!((fetch.parent.as_str(), refresh.parent.as_str()), (refresh.id.as_str(), ""));
    assert_eq!(named(&below, "redis/DescribeBackupUrl").parent, fetch.id);
}

/// The slowest of so many hits.
fn slowest_hit(client: &Client, path: &str, count: u32) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        let began: Instant = started();
        assert_eq!(client.get(path).status, 200);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

fn resident_kib(stage: &Stage) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", stage.gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_collector_that_never_answers_delays_no_request_and_no_end() {
    let collector = Collector::start(Manner::Hangs);
    let mut stage = Stage::with(&format!(
        "GATEWAY_RATE_LIMIT__PER_CALLER__REQUESTS_PER_SECOND=1000000\nGATEWAY_RATE_LIMIT__PER_CALLER__BURST=1000000\n{}",
        collector.variable()
    ));
    let client = Client::new(&stage, &stage.token());
    let path = stage.seed_path();
    assert_eq!(client.get(&path).status, 200);
    eventually("the exporter waits for it", || !collector.requests().is_empty());
    let before = resident_kib(&stage);

    let slowest = slowest_hit(&client, &path, 2000);

    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(resident_kib(&stage) < before + 16 * 1024, "{before} KiB grew to {} KiB", resident_kib(&stage));
    stage.gateway.signal("TERM");
    let began = started();
    assert!(stage.gateway.wait().success());
    // Nothing is in flight, so the end takes what the last spans are given, and no more.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(lines(&stage, "the collector took too long; the last spans are lost").len(), 1);
    assert_eq!(lines(&stage, "drained").len(), 1);
}

#[test]
fn a_collector_that_is_not_there_is_told_of_once_and_its_spans_are_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = Stage::with(&format!("GATEWAY_LOG__OTLP_ENDPOINT=http://{nobody}"));

    let client = Client::new(&stage, &stage.token());
    let slowest = slowest_hit(&client, &stage.seed_path(), 50);

    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let lost = "gateway_otlp_spans_dropped_total{reason=\"export_failed\"}";
    eventually("the first batch is given up", || counter(&stage, lost) > 0);
    assert_eq!(lines(&stage, "the collector does not take spans").len(), 1);
    assert_eq!(counter(&stage, "gateway_otlp_spans_exported_total"), 0);
}

#[test]
fn spans_are_sent_again_where_the_collector_says_so_and_the_last_ones_before_the_end() {
    let collector = Collector::start(Manner::Refuses(503));
    let mut stage = stage(&collector);
    get_in(&stage, TRACE, "01", &stage.seed_path());
    eventually("it was refused", || !collector.requests().is_empty());

    collector.behave(Manner::Takes);

    eventually("it is sent again", || counter(&stage, "gateway_otlp_spans_exported_total") >= 8);
    assert_eq!(lines(&stage, "the collector takes spans again").len(), 1);
    get_in(&stage, OTHER_TRACE, "01", &stage.seed_path());
    stage.gateway.signal("TERM");
    assert!(stage.gateway.wait().success());
    collector.trace(OTHER_TRACE, 5);
}

#[test]
fn refusals_are_told_at_a_bounded_rate_with_the_number_of_those_that_are_not() {
    let stage = Stage::new();
    let message = "a request without an acceptable token was refused";
    let client = Client::at(stage.gateway.public, "Basic none");
    let began = started();
    let mut sent = 0;
    while began.elapsed() < Duration::from_millis(2500) {
        for _ in 0..50 {
            client.get(&stage.seed_path());
            sent += 1;
        }
        wait(Duration::from_millis(20));
    }

    let told = lines(&stage, message);

    let suppressed: u64 = told.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    // Five a second and worker, in at most four seconds that were begun, by whichever of two workers has the connection.
    assert!((1..=40).contains(&told.len()), "{} lines", told.len());
    assert!(suppressed > 0 && suppressed + told.len() as u64 <= sent, "{suppressed} of {sent}");
    assert!(told.iter().all(|line| line["status"] == 401 || line["status"] == 429), "{told:?}");
}

#[test]
fn a_403_is_told_with_who_was_refused_what() {
    let stage = Stage::new();
    let mallory = format!("Bearer {}", stage.sandbox.token(&TokenSpec::new("mallory")));
    let headers = [("Authorization", mallory.as_str()), ("traceparent", &format!("00-{TRACE}-{CALLER_SPAN}-00"))];

    let answer = stage.gateway.get(&stage.seed_path(), &headers);

    answer.assert_problem(403, "forbidden");
    eventually("it is told", || lines(&stage, "a request ended in a problem").len() == 1);
    let line = &lines(&stage, "a request ended in a problem")[0];
    for (field, value) in [
        ("request_id", answer.header("x-request-id").unwrap()),
        ("trace_id", TRACE),
        ("code", "forbidden"),
        ("issuer", "sandbox"),
        ("subject", "mallory"),
        ("action", "ReadBackupUrls"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
}

#[test]
fn the_access_log_is_silent_until_its_target_is_named() {
    let quiet = Stage::with("GATEWAY_LOG__LEVEL=trace");
    let talkative = Stage::with("GATEWAY_LOG__LEVEL=info,access=info");

    for stage in [&quiet, &talkative] {
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
        assert_eq!(stage.get(&stage.seed_path()).status, 200);
    }

    eventually("it is told", || lines(&talkative, "answered").len() == 2);
    assert_eq!(lines(&quiet, "answered").len(), 0);
    let line = &lines(&talkative, "answered")[1];
    assert_eq!((line["target"].as_str(), line["method"].as_str()), (Some("access"), Some("GET")), "{line}");
    assert_eq!(line["status"], 200);
    assert_eq!(line["route"], "/instances/{instance_id}/backups/{backup_id}/urls");
    assert!(line["duration_ms"].is_f64() && line["request_id"].is_string(), "{line}");
}
