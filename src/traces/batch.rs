//! From parts of traces to the message that a collector reads. Pure, but for what it allocates.

use std::time::{Duration, Instant, SystemTime};

use prost::Message as _;

use super::{
    proto::{
        AnyValue, AnyValueKind, ExportTraceServiceRequest, HAS_IS_REMOTE, IS_REMOTE, InstrumentationScope, KeyValue,
        Link, Resource, ResourceSpans, SAMPLED, ScopeSpans, Span, SpanKind, Status, StatusCode,
    },
    span::{Attribute, Name, Part, SpanRecord, Value},
};

/// What the process is called, wherever traces are looked at.
const SERVICE: &str = env!("CARGO_PKG_NAME");

/// The version of the semantic conventions that the names of attributes are taken from.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// One moment on both clocks, by which all others are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    pub(super) wall: SystemTime,
    pub(super) monotonic: Instant,
}

impl Anchor {
    /// Nanoseconds since 1970.
    fn unix_nanos(self, at: Instant) -> u64 {
        let wall = match self.monotonic.checked_duration_since(at) {
            Some(ago) => self.wall.checked_sub(ago),
            None => self.wall.checked_add(at - self.monotonic),
        };
        let since = wall.and_then(|wall| wall.duration_since(SystemTime::UNIX_EPOCH).ok());
        u64::try_from(since.unwrap_or(Duration::ZERO).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The message in which `parts` are sent, and how many spans they are. `instance` tells this process from others of its
/// kind.
pub(super) fn encode(parts: &[Part], instance: &str, anchor: Anchor) -> (Vec<u8>, usize) {
    let spans: Vec<Span> = parts.iter().flat_map(|part| spans(part, anchor)).collect();
    let count = spans.len();
    let resource = Resource {
        attributes: vec![
            key_value("service.name", text(SERVICE)),
            key_value("service.version", text(env!("CARGO_PKG_VERSION"))),
            key_value("service.instance.id", text(instance)),
        ],
    };
    let scope = InstrumentationScope { name: SERVICE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        schema_url: SCHEMA_URL.to_owned(),
    };
    (ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec(), count)
}

fn spans(part: &Part, anchor: Anchor) -> impl Iterator<Item = Span> {
    part.spans.iter().enumerate().map(move |(place, record)| {
        let SpanRecord { id, name, began, ended, has_failed, link } = record;
        let (parent, is_remote) = match place {
            0 => (part.parent, part.has_remote_parent),
            _ => (part.spans.first().map(|first| first.id), false),
        };
        let code = if *has_failed { StatusCode::Error } else { StatusCode::Unset };
        Span {
            trace_id: part.trace_id.to_bytes().to_vec(),
            span_id: id.to_bytes().to_vec(),
            trace_state: part.state.as_ref().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            parent_span_id: parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
            name: called(*name),
            kind: kind(*name).into(),
            start_time_unix_nano: anchor.unix_nanos(*began),
            end_time_unix_nano: anchor.unix_nanos(ended.unwrap_or(*began)),
            attributes: attributes(*name, &part.attributes, place),
            links: link.iter().map(|link| to_link(link.trace_id.to_bytes(), link.span_id.to_bytes())).collect(),
            status: Some(Status { code: code.into() }),
            flags: SAMPLED | HAS_IS_REMOTE | if is_remote && parent.is_some() { IS_REMOTE } else { 0 },
        }
    })
}

/// The name by the conventions: a method that is not known is `HTTP` there.
fn called(name: Name) -> String {
    match name {
        Name::Request("_OTHER", route) => format!("HTTP {route}"),
        Name::Request(method, route) => format!("{method} {route}"),
        Name::Step(step) => step.as_str().to_owned(),
        Name::Call(action) => format!("redis/{action}"),
    }
}

fn kind(name: Name) -> SpanKind {
    match name {
        Name::Request(..) => SpanKind::Server,
        Name::Step(_) => SpanKind::Internal,
        Name::Call(_) => SpanKind::Client,
    }
}

/// What a name says already, in the words of the conventions for HTTP and for calls of a cloud's API.
fn said_by(name: Name) -> Vec<KeyValue> {
    match name {
        Name::Request(method, route) => {
            vec![key_value("http.request.method", text(method)), key_value("http.route", text(route))]
        }
        Name::Step(_) => Vec::new(),
        Name::Call(action) => vec![
            key_value("rpc.system", text("tencent-cloud-api")),
            key_value("rpc.service", text("redis")),
            key_value("rpc.method", text(action)),
            key_value("http.request.method", text("POST")),
        ],
    }
}

/// What was said last of a thing holds: a message may say it once.
fn attributes(name: Name, all: &[Attribute], place: usize) -> Vec<KeyValue> {
    let mut said = said_by(name);
    for attribute in all.iter().filter(|attribute| attribute.span == place) {
        let value = match &attribute.value {
            Value::Word(word) => text(word),
            Value::Text(value) => text(value),
            Value::Number(number) => AnyValueKind::Number(*number),
            Value::Flag(flag) => AnyValueKind::Flag(*flag),
        };
        let new = key_value(attribute.key, value);
        match said.iter_mut().find(|known| known.key == attribute.key) {
            Some(known) => *known = new,
            None => said.push(new),
        }
    }
    said
}

fn to_link(trace_id: [u8; 16], span_id: [u8; 8]) -> Link {
    Link { trace_id: trace_id.to_vec(), span_id: span_id.to_vec(), flags: SAMPLED | HAS_IS_REMOTE }
}

fn text(text: &str) -> AnyValueKind {
    AnyValueKind::Text(text.to_owned())
}

fn key_value(key: &str, value: AnyValueKind) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}
