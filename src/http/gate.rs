//! The gate of the resource routes: nobody passes without a caller, nor with one that has asked too often.
//!
//! What a path names is looked at behind it, so that a stranger cannot tell what is there from what is not. It stands
//! before the router, which has nothing to find there: a path that leads here is split by hand.

use std::{cell::Cell, net::Ipv4Addr, rc::Rc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header::AUTHORIZATION},
};

use super::{
    Edge, authenticate::authenticate, backups::backups, caller_quota, client_ip::client_ip, context::Context,
    files::file, instances::instances, problem::Problem, request::Incoming, target::Target, urls::urls,
};
use crate::{identity::LastToken, quota::Allowance};

/// Answers whatever is asked below `/instances`: 401 where the token is not accepted, 429 where the caller's quota does
/// not allow it, and else what the route says.
///
/// `rest` is what stands in the path [behind](super::target::behind_gate) `/instances`, and `deadline` when the answer is
/// due. Where the caller stands with its quota is left in `standing` as soon as it is known.
pub(super) async fn gate(
    request: &HttpRequest,
    rest: &str,
    edge: &Rc<Edge>,
    context: Context,
    deadline: Instant,
    standing: &Cell<Option<Allowance>>,
) -> HttpResponse {
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    let client = client_ip(peer, request.headers(), &edge.trusted_proxies);
    let authorization = request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes());
    let stranger = LastToken::default();
    let last = request.conn_data::<LastToken>().unwrap_or(&stranger);
    // Whoever hides behind two stories is counted as the proxy that passed them on; what he asks for is a 400.
    let caller = match authenticate(edge, &context, authorization, client.unwrap_or(peer), last).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    match edge.caller_quota.take(&caller) {
        Ok(allowance) => standing.set(Some(allowance)),
        Err(exhausted) => {
            standing.set(Some(exhausted.allowance));
            return caller_quota::refuse(edge, &context, &caller, &exhausted);
        }
    }
    let mut incoming = Incoming::new(Rc::clone(edge), context, caller, (client, peer), deadline);
    answer(request, rest, &mut incoming).await
}

async fn answer(request: &HttpRequest, rest: &str, incoming: &mut Incoming) -> HttpResponse {
    let Some(target) = Target::of(rest) else {
        return Problem::not_found().respond(&incoming.context);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::method_not_allowed("GET, HEAD").respond(&incoming.context);
    }
    match target {
        Target::Urls { instance, backup } => urls(request, incoming, instance, backup).await,
        // A future is as large as the largest that it may wait for, and is moved about: these are not for hits to carry.
        Target::File { instance, backup, n } => Box::pin(file(request, incoming, instance, backup, n)).await,
        Target::Backups { instance } => Box::pin(backups(request, incoming, instance)).await,
        Target::Instances => Box::pin(instances(request, incoming)).await,
    }
}
