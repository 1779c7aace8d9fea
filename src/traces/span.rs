//! What is kept of a span until it is sent: small, and made of what is there anyway.

use std::{sync::Arc, time::Instant};

use crate::domain::{SpanId, TraceId, TraceState};

/// What a span is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A request, by method and route.
    Request(&'static str, &'static str),
    /// A step of a request.
    Step(Step),
    /// A call of the vendor's API, by its action.
    Call(&'static str),
}

/// The steps of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From the token to a caller.
    Authenticate,
    /// What the policies say.
    Policy,
    /// A look into the cache.
    Cache,
    /// From standing in line to an outcome, attempts included.
    Fetch,
    /// A wait for a token of the quota.
    Queue,
    /// Until the record is written.
    Audit,
    /// A successor of a fresh entry is fetched, and nobody waits.
    Refresh,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A word of a closed set.
    Word(&'static str),
    /// An id.
    Text(Arc<str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// Where a span is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
}

/// A span that was begun.
#[derive(Clone, Debug)]
pub(super) struct SpanRecord {
    pub(super) id: SpanId,
    pub(super) name: Name,
    pub(super) began: Instant,
    /// Nothing while it goes on.
    pub(super) ended: Option<Instant>,
    pub(super) has_failed: bool,
    pub(super) link: Option<SpanContext>,
}

/// An attribute, and the place of its span among the spans beside it.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) span: usize,
    pub(super) key: &'static str,
    pub(super) value: Value,
}

/// A part of a trace: its first span, and those that stand below that.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) trace_id: TraceId,
    /// The span above the first.
    pub(super) parent: Option<SpanId>,
    /// That span is of another process.
    pub(super) has_remote_parent: bool,
    pub(super) state: Option<TraceState>,
    pub(super) spans: Vec<SpanRecord>,
    pub(super) attributes: Vec<Attribute>,
}

impl Step {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Policy => "policy",
            Self::Cache => "cache",
            Self::Fetch => "fetch",
            Self::Queue => "queue",
            Self::Audit => "audit",
            Self::Refresh => "refresh",
        }
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}
