//! What every request carries from its first moment: an id, and the trace that it belongs to.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    Error, FromRequest, HttpMessage as _, HttpRequest,
    dev::{Payload, ServiceRequest},
    http::header::{HeaderMap, HeaderName},
};

use crate::domain::RequestId;

/// The id and the trace of a request.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) request_id: RequestId,
    pub(super) trace_id: Option<Arc<str>>,
}

/// The header that carries a request's id both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Context {
    /// The context that the outermost layer gave the request.
    pub(super) fn known(request: &ServiceRequest) -> Self {
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| Self::of(request.headers()))
    }

    /// The caller's own id where it is one, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let request_id = sent.and_then(|text| RequestId::try_from(text).ok()).unwrap_or_else(RequestId::random);
        let trace_id = headers.get(TRACEPARENT).and_then(|value| trace_id(value.as_bytes())).map(Arc::from);
        Self { request_id, trace_id }
    }
}

impl FromRequest for Context {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| Self::of(request.headers()))))
    }
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2), where the header is valid.
///
/// A version above 00 may carry more fields; the first four read the same.
fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(traceparent).ok()?;
    let mut fields = text.split('-');
    let (version, trace_id, parent_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && is_hex(trace_id, 32)
        && trace_id.bytes().any(|digit| digit != b'0')
        && is_hex(parent_id, 16)
        && parent_id.bytes().any(|digit| digit != b'0')
        && is_hex(flags, 2);
    valid.then_some(trace_id)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_valid_request_id_is_kept_and_another_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("ticket-1.2_3"));
        let kept = Context::of(&headers);
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("no blanks"));
        let replaced = Context::of(&headers);

        assert_eq!(kept.request_id.as_str(), "ticket-1.2_3");
        assert_eq!(replaced.request_id.as_str().len(), 32);
        assert_ne!(replaced.request_id, Context::of(&headers).request_id);
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let table = [
            (format!("00-{id}-b7ad6b7169203331-01"), Some(id)),
            (format!("cc-{id}-b7ad6b7169203331-01-future"), Some(id)),
            (format!("00-{id}-b7ad6b7169203331-01-more"), None),
            (format!("ff-{id}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{id}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()), None),
            (format!("00-{id}"), None),
            (String::new(), None),
        ];

        for (header, expected) in table {
            assert_eq!(trace_id(header.as_bytes()), expected, "{header}");
        }
    }
}
