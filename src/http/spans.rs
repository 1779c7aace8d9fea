//! The span of a request: what stands at its beginning and its end, in the words of OpenTelemetry's conventions for HTTP
//! servers.
//!
//! It says what was asked for and how it ended, never who asked: that is the audit's. Of the path only the route and ids
//! that passed their grammar are told, for in a path a stranger can write anything.

use actix_web::{HttpResponse, http::header::HeaderMap};

use super::{context::Context, problem::Code, trace_headers::origin};
use crate::{
    metrics::{Method, Route},
    traces::{Name, Trace, Tracer},
};

/// The span of a request that has just come. Only what callers come for is traced: probes, pages and what is nowhere are
/// not.
pub(super) fn begin(tracer: &Tracer, method: Method, route: Route, headers: &HeaderMap) -> Trace {
    match route {
        Route::Urls | Route::File | Route::Backups | Route::Instances => {
            tracer.begin(Name::Request(method.semantic_name(), route.as_str()), || origin(headers))
        }
        _ => Trace::default(),
    }
}

/// Ends the span of a request with its answer. What is the caller's to mend is no failure of ours.
pub(super) fn end<B>(context: &Context, is_secure: bool, answer: &HttpResponse<B>) {
    let trace = &context.trace;
    if trace.context().is_none() {
        return;
    }
    let status = answer.status();
    trace.note("gateway.request_id", context.request_id.to_shared());
    trace.note("http.response.status_code", status.as_u16());
    trace.note("url.scheme", if is_secure { "https" } else { "http" });
    if let Some(code) = answer.extensions().get::<Code>() {
        let (code, _) = code.texts();
        trace.note("gateway.problem", code);
        if status.is_server_error() {
            trace.note("error.type", code);
        }
    }
    if status.is_server_error() {
        trace.fail();
        trace.remark();
    }
    trace.end();
}
