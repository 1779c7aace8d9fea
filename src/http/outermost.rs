//! The outermost layer: what is true of every answer, whoever gave it.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{self, HeaderValue},
    },
    middleware::Next,
};

use super::{
    Edge,
    context::{Context, X_REQUEST_ID},
};
use crate::metrics::{Method, Route};

const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Gives a request its id, and every answer that id and the headers that tell browsers to be careful.
///
/// # Errors
///
/// Whatever the layers below return.
pub async fn outermost(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let edge = request.app_data::<Rc<Edge>>().cloned();
    let began = edge.as_ref().map(|edge| edge.worker.broker().clock().monotonic());
    let route = Route::of(request.path());
    let method = Method::of(request.method().as_str());
    let context = Context::of(request.headers());
    let request_id = HeaderValue::from_str(context.request_id.as_str());
    let is_draining = edge.as_ref().is_some_and(|edge| edge.health.is_draining());
    request.extensions_mut().insert(context);
    let mut answer = next.call(request).await?;
    let headers = answer.headers_mut();
    if let Ok(request_id) = request_id {
        headers.insert(X_REQUEST_ID, request_id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    if is_draining {
        // Sends keep-alive clients to a replica that stays.
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let (Some(edge), Some(began)) = (edge, began) {
        let broker = edge.worker.broker();
        let took = broker.clock().monotonic().saturating_duration_since(began);
        broker.metrics().http.answered(route, method, answer.status().as_u16(), took);
    }
    Ok(answer)
}
