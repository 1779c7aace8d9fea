//! The outermost layer: what is true of every answer, whoever gave it.

use std::{cell::Cell, future::pending, panic::AssertUnwindSafe, rc::Rc, time::Instant};

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType,
        header::{self, HeaderValue},
    },
    middleware::Next,
};
use futures_util::FutureExt as _;

use super::{
    Conversation, Edge, Lease, caller_quota,
    context::{Context, X_REQUEST_ID},
    gate::gate,
    lines,
    newcomers::Newcomer,
    problem::Problem,
    spans, strict,
    target::behind_gate,
};
use crate::{
    metrics::{Method, Route},
    quota::Allowance,
};

const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Gives a request its id, and every answer that id and the headers that tell browsers to be careful. Answers what is
/// nobody's request: messages that are refused unread, browsers that ask whether they may ask, and requests that panic:
/// the web server would drop their connection, and whatever else was asked on it.
///
/// # Errors
///
/// An error that is an answer: of whatever the layers below return, and of a panic.
pub async fn outermost<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let conversation = request.conn_data::<Conversation>().cloned();
    if conversation.as_ref().is_some_and(|conversation| !conversation.asks()) {
        return hang_up().await;
    }
    if let Some(newcomer) = request.conn_data::<Newcomer>() {
        newcomer.has_asked();
    }
    let edge = request.app_data::<Rc<Edge>>().cloned();
    let edge = edge.as_ref();
    let underway = edge.map(|edge| edge.health.underway());
    let began = edge.map(|edge| edge.worker.broker().clock().monotonic());
    // The path as the router will see it: percent-decoded.
    let (route, method) = (Route::of(request.match_info().as_str()), Method::of(request.method().as_str()));
    let tracer = edge.map(|edge| &edge.tracer);
    let trace = tracer.map(|tracer| spans::begin(tracer, method, route, request.headers())).unwrap_or_default();
    let context = Context::of(request.headers(), trace);
    let finish = Finish {
        route,
        method,
        context: context.clone(),
        is_secure: request.conn_data::<Lease>().is_some(),
        origin: edge.and_then(|edge| edge.cors.allowed(request.headers())),
        must_close: strict::has_body(&request)
            || edge.is_some_and(|edge| edge.health.is_draining())
            || request.conn_data::<Lease>().is_some_and(Lease::has_ended)
            || request.head().connection_type() == ConnectionType::Close,
        conversation,
        began,
        edge: edge.map(|edge| &**edge),
    };

    let standing = Cell::new(None);
    let answering = answer(request, next, context, edge.zip(began), &standing);
    // What a request shares with others gives back what it holds when it is dropped, and its locks are taken again by
    // those who come after it; so none of it is worse for a panic than for a caller who hangs up.
    let outcome = AssertUnwindSafe(answering).catch_unwind().await;

    if let Some(underway) = underway {
        underway.answered();
    }
    let mut answer = match outcome {
        Ok(Ok(mut answer)) => {
            finish.finish(answer.response_mut(), standing.get());
            return Ok(answer);
        }
        Ok(Err(error)) => error.error_response(),
        Err(_) => finish.panicked(),
    };
    finish.finish(&mut answer, standing.get());
    Err(InternalError::from_response("the request has no other answer", answer).into())
}

/// Never answers. What reads the connection says that it has ended, once it is asked again, and this is dropped with it.
async fn hang_up<T>() -> T {
    tokio::task::yield_now().await;
    pending().await
}

async fn answer<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
    context: Context,
    gated: Option<(&Rc<Edge>, Instant)>,
    standing: &Cell<Option<Allowance>>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Some(early) = strict::refuse(&request, &context).or_else(|| gated?.0.cors.preflight(&request)) {
        return Ok(request.into_response(early).map_into_right_body());
    }
    if let Some((edge, began)) = gated
        && let Some(rest) = behind_gate(request.match_info().as_str())
    {
        // Boxed, for a connection keeps room for whatever its requests may wait for.
        let deadline = began + edge.request_timeout;
        let answer = Box::pin(gate(request.request(), rest, edge, context, deadline, standing)).await;
        return Ok(request.into_response(answer).map_into_right_body());
    }
    request.extensions_mut().insert(context);
    Ok(next.call(request).await?.map_into_left_body())
}

/// What an answer is finished with, whoever gives it.
struct Finish<'a> {
    edge: Option<&'a Edge>,
    began: Option<Instant>,
    route: Route,
    method: Method,
    context: Context,
    is_secure: bool,
    origin: Option<HeaderValue>,
    must_close: bool,
    conversation: Option<Conversation>,
}

impl Finish<'_> {
    /// The caller is told how it stands with its quota, where it has one.
    fn finish<B>(self, answer: &mut HttpResponse<B>, standing: Option<Allowance>) {
        let headers = answer.headers_mut();
        if let (Some(edge), Some(allowance)) = (self.edge, standing) {
            caller_quota::tell(headers, edge, allowance);
        }
        if let Ok(request_id) = HeaderValue::from_str(self.context.request_id.as_str()) {
            headers.insert(X_REQUEST_ID, request_id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(header::REFERRER_POLICY, NO_REFERRER);
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        }
        if let Some(edge) = self.edge {
            edge.cors.grant(self.origin, headers);
        }
        if self.must_close {
            // While draining it sends keep-alive clients to a replica that stays; a body that nobody reads must not be
            // taken for the next request; and who was let in by what no longer holds has to ask again.
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(conversation) = &self.conversation {
            conversation.answered(answer.head().connection_type() == ConnectionType::Close);
        }
        if let (Some(edge), Some(began)) = (self.edge, self.began) {
            let broker = edge.worker.broker();
            let took = broker.clock().monotonic().saturating_duration_since(began);
            let status = answer.status().as_u16();
            broker.metrics().http.answered(self.route, self.method, status, took);
            lines::answered(&self.context, (self.method, self.route), status, took);
            spans::end(&self.context, self.is_secure, answer);
        }
    }

    /// The answer to a request that panicked.
    fn panicked(&self) -> HttpResponse {
        let request_id = self.context.request_id.as_str();
        tracing::error!(request_id, route = self.route.as_str(), "the request panicked");
        Problem::internal().respond(&self.context)
    }
}

#[cfg(test)]
mod tests;
