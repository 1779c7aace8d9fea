//! The gate of `/instances`: no handler and no extractor behind it runs without a verified caller.

use std::{net::Ipv4Addr, rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::AUTHORIZATION,
    middleware::Next,
};

use super::{Edge, client_ip::client_ip, context::Context, problem::Problem};
use crate::{domain::Caller, identity::Denial, metrics::Scope, traces::Step};

/// The caller of a request that got past the gate. The same token brings the same allocation for as long as it is known.
#[derive(Clone, Debug)]
pub(super) struct Authenticated(pub(super) Arc<Caller>);

/// Turns the bearer token into a caller, or answers 401; 429 where the address has failed too often.
///
/// # Errors
///
/// Whatever the layers below return.
pub(super) async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().expect("the server gives every app its edge"));
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    // Whoever hides behind two stories is counted as the proxy that passed them on; what he asks for is a 400.
    let client = client_ip(peer, request.headers(), &edge.trusted_proxies).unwrap_or(peer);
    let authorization = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes());
    let context = Context::known(&request);
    let span = context.trace.step(Step::Authenticate);
    match edge.identity.admit(authorization, client).await {
        Ok(verified) => {
            span.note("gateway.issuer", Arc::clone(&verified.caller.issuer));
            drop(span);
            context.trace.vouch();
            request.extensions_mut().insert(Authenticated(Arc::clone(&verified.caller)));
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(denial) => {
            span.note("gateway.denial", denial.as_str());
            drop(span);
            match denial {
                Denial::TooManyFailures { .. } => edge.worker.broker().metrics().rejection(Scope::FailedAuth),
                seen => edge.worker.broker().metrics().auth_failure(seen.as_str()),
            }
            let problem = Problem::from(&denial);
            edge.lines.unauthenticated(&context, &denial, &problem, edge.worker.broker().clock().monotonic());
            let answer = problem.respond(&context);
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}
