//! The headers of W3C Trace Context, as a request brings them.

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::{
    domain::{TraceParent, TraceState},
    traces::Origin,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span of the caller, where the one field that says so is valid: two are as bad as none.
pub(super) fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut fields = headers.get_all(TRACEPARENT);
    let parent = TraceParent::parse(fields.next()?.as_bytes());
    parent.filter(|_| fields.next().is_none())
}

/// Where a trace comes from, with what its vendors say along the way.
pub(super) fn origin(headers: &HeaderMap) -> Origin {
    let parent = parent(headers);
    let state = parent.and_then(|_| TraceState::parse(headers.get_all(TRACESTATE).map(|value| value.as_bytes())));
    Origin { parent, state }
}
