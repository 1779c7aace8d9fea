//! Who calls: the bearer token of a request, or the answer that it gets without one.

use std::{net::Ipv4Addr, sync::Arc};

use actix_web::{HttpResponse, dev::ServiceRequest, http::header::AUTHORIZATION};

use super::{Edge, client_ip::client_ip, context::Context, problem::Problem};
use crate::{domain::Caller, identity::Denial, metrics::Scope, traces::Step};

/// The caller behind the bearer token; else a 401, or a 429 where the address has failed too often.
pub(super) async fn authenticate(edge: &Edge, request: &ServiceRequest) -> Result<Arc<Caller>, HttpResponse> {
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    // Whoever hides behind two stories is counted as the proxy that passed them on; what he asks for is a 400.
    let client = client_ip(peer, request.headers(), &edge.trusted_proxies).unwrap_or(peer);
    let authorization = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes());
    let context = Context::known(request);
    let span = context.trace.step(Step::Authenticate);
    match edge.identity.admit(authorization, client).await {
        Ok(verified) => {
            span.note("gateway.issuer", Arc::clone(&verified.caller.issuer));
            drop(span);
            context.trace.vouch();
            Ok(Arc::clone(&verified.caller))
        }
        Err(denial) => {
            span.note("gateway.denial", denial.as_str());
            drop(span);
            Err(refuse(edge, &context, &denial))
        }
    }
}

fn refuse(edge: &Edge, context: &Context, denial: &Denial) -> HttpResponse {
    let broker = edge.worker.broker();
    match denial {
        Denial::TooManyFailures { .. } => broker.metrics().rejection(Scope::FailedAuth),
        seen => broker.metrics().auth_failure(seen.as_str()),
    }
    let problem = Problem::from(denial);
    edge.lines.unauthenticated(context, denial, &problem, broker.clock().monotonic());
    problem.respond(context)
}
