//! Who calls: the bearer token of a request, or the answer that it gets without one.

use std::{net::IpAddr, sync::Arc};

use actix_web::HttpResponse;

use super::{Edge, context::Context, problem::Problem};
use crate::{
    domain::Caller,
    identity::{Denial, LastToken},
    metrics::Scope,
    traces::Step,
};

/// The caller behind the bearer token among the `Authorization` fields of a request from `client`; else a 401, or a 429
/// where the address has failed too often. `last` is what the connection keeps.
pub(super) async fn authenticate<'a>(
    edge: &Edge,
    context: &Context,
    authorization: impl IntoIterator<Item = &'a [u8]>,
    client: IpAddr,
    last: &LastToken,
) -> Result<Arc<Caller>, HttpResponse> {
    let span = context.trace.step(Step::Authenticate);
    match edge.identity.admit(authorization, client, last).await {
        Ok(verified) => {
            span.note("gateway.issuer", Arc::clone(&verified.caller.issuer));
            drop(span);
            context.trace.vouch();
            Ok(Arc::clone(&verified.caller))
        }
        Err(denial) => {
            span.note("gateway.denial", denial.as_str());
            drop(span);
            Err(refuse(edge, context, &denial))
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
