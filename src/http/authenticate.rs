//! Who calls: the bearer token of a request, or the answer that it gets without one.

use std::{net::Ipv4Addr, sync::Arc};

use actix_web::{HttpResponse, dev::ServiceRequest, http::header::AUTHORIZATION};

use super::{Edge, client_ip::client_ip, context::Context, problem::Problem};
use crate::{domain::Caller, identity::Denial, metrics::Scope};

/// The caller behind the bearer token; else a 401, or a 429 where the address has failed too often.
pub(super) async fn authenticate(edge: &Edge, request: &ServiceRequest) -> Result<Arc<Caller>, HttpResponse> {
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    // Whoever hides behind two stories is counted as the proxy that passed them on; what he asks for is a 400.
    let client = client_ip(peer, request.headers(), &edge.trusted_proxies).unwrap_or(peer);
    let authorization = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes());
    match edge.identity.admit(authorization, client).await {
        Ok(verified) => Ok(Arc::clone(&verified.caller)),
        Err(denial) => Err(refuse(edge, request, denial)),
    }
}

fn refuse(edge: &Edge, request: &ServiceRequest, denial: Denial) -> HttpResponse {
    let context = Context::known(request);
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
    Problem::from(&denial).respond(&context)
}
