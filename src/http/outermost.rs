//! The outermost layer: what is true of every answer, whoever gave it.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{self, HeaderValue},
    },
    middleware::Next,
};

use super::{
    Edge, Lease,
    context::{Context, X_REQUEST_ID},
    lines, spans, strict,
};
use crate::metrics::{Method, Route};

const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Gives a request its id, and every answer that id and the headers that tell browsers to be careful. Answers what is
/// nobody's request: messages that are refused unread, and browsers that ask whether they may ask.
///
/// # Errors
///
/// Whatever the layers below return.
pub async fn outermost<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let edge = request.app_data::<Rc<Edge>>().cloned();
    let underway = edge.as_ref().map(|edge| edge.health.underway());
    let began = edge.as_ref().map(|edge| edge.worker.broker().clock().monotonic());
    let route = Route::of(request.path());
    let method = Method::of(request.method().as_str());
    let tracer = edge.as_ref().map(|edge| &edge.tracer);
    let trace = tracer.map(|tracer| spans::begin(tracer, method, route, request.headers())).unwrap_or_default();
    let context = Context::of(request.headers(), trace);
    let request_id = HeaderValue::from_str(context.request_id.as_str());
    let origin = edge.as_ref().and_then(|edge| edge.cors.allowed(request.headers()));
    let must_close = strict::has_body(&request)
        || edge.as_ref().is_some_and(|edge| edge.health.is_draining())
        || request.conn_data::<Lease>().is_some_and(Lease::has_ended);

    let early = strict::refuse(&request, &context).or_else(|| edge.as_ref()?.cors.preflight(&request));
    request.extensions_mut().insert(context.clone());
    let mut answer = match early {
        Some(early) => request.into_response(early).map_into_right_body(),
        None => next.call(request).await?.map_into_left_body(),
    };

    if let Some(underway) = underway {
        underway.answered();
    }
    let headers = answer.headers_mut();
    if let Ok(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    }
    if let Some(edge) = &edge {
        edge.cors.grant(origin, headers);
    }
    if must_close {
        // While draining it sends keep-alive clients to a replica that stays; a body that nobody reads must not be taken
        // for the next request; and who was let in by what no longer holds has to ask again.
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let (Some(edge), Some(began)) = (edge, began) {
        let broker = edge.worker.broker();
        let took = broker.clock().monotonic().saturating_duration_since(began);
        broker.metrics().http.answered(route, method, answer.status().as_u16(), took);
        lines::answered(&context, (method, route), answer.status().as_u16(), took);
        spans::end(&context, &answer);
    }
    Ok(answer)
}
