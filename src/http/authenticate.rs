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
use crate::{domain::Caller, identity::Denial, metrics::Scope};

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
    match edge.identity.admit(authorization, client).await {
        Ok(verified) => {
            request.extensions_mut().insert(Authenticated(Arc::clone(&verified.caller)));
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(denial) => {
            let context = Context::known(&request);
            match denial {
                Denial::TooManyFailures { .. } => edge.worker.broker().metrics().rejection(Scope::FailedAuth),
                seen => edge.worker.broker().metrics().auth_failure(seen.as_str()),
            }
            if let Some(suppressed) = edge.refusals_to_log.admit(edge.worker.broker().clock().monotonic()) {
                tracing::info!(
                    request_id = context.request_id.as_str(),
                    trace_id = context.trace_id.as_deref(),
                    reason = denial.as_str(),
                    suppressed,
                    "a request without an acceptable token was refused"
                );
            }
            let answer = Problem::from(&denial).respond(&context);
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}
