//! What every request carries from its first moment: an id, and the trace that it belongs to.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName},
};

use super::trace_headers;
use crate::{
    domain::{RequestId, SpanId, TraceId},
    traces::Trace,
};

/// The id and the trace of a request.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) request_id: RequestId,
    /// The caller's trace; where it names none, the one that was made for the request, if traces are exported.
    pub(super) trace_id: Option<TraceId>,
    /// What the request's spans are written to; nothing where it is not recorded.
    pub(super) trace: Trace,
}

/// The header that carries a request's id both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Context {
    /// The caller's own id where it is one, else a new one; and the trace that was begun for the request.
    pub(super) fn of(headers: &HeaderMap, trace: Trace) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let request_id = sent.and_then(|text| RequestId::try_from(text).ok()).unwrap_or_else(RequestId::random);
        let recorded = trace.context().map(|context| context.trace_id);
        let trace_id = recorded.or_else(|| trace_headers::parent(headers).map(|parent| parent.trace_id));
        Self { request_id, trace_id, trace }
    }

    /// The request's own span, where it is recorded.
    pub(super) fn span_id(&self) -> Option<SpanId> {
        self.trace.context().map(|context| context.span_id)
    }
}

impl FromRequest for Context {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| Self::of(request.headers(), Trace::default()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_valid_request_id_is_kept_and_another_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("ticket-1.2_3"));
        let kept = Context::of(&headers, Trace::default());
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("no blanks"));
        let replaced = Context::of(&headers, Trace::default());

        assert_eq!(kept.request_id.as_str(), "ticket-1.2_3");
        assert_eq!(replaced.request_id.as_str().len(), 32);
        assert_ne!(replaced.request_id, Context::of(&headers, Trace::default()).request_id);
    }
}
