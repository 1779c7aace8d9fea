//! Each caller's own quota: counted on every request behind the gate, told on every answer.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};

use super::{Edge, authenticate::Authenticated, context::Context, problem::Problem};
use crate::{
    metrics::Scope,
    quota::{Allowance, CallerQuota},
};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Lets a request through where its caller's quota allows, else answers 429; either way the caller reads where it
/// stands.
///
/// # Errors
///
/// Whatever the layers below return.
pub(super) async fn count<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().expect("the server gives every app its edge"));
    let caller = request.extensions().get::<Authenticated>().cloned();
    let Authenticated(caller) = caller.expect("the gate lets nobody in without a caller");
    match edge.caller_quota.take(&caller) {
        Ok(allowance) => {
            let mut answer = next.call(request).await?.map_into_left_body();
            tell(answer.headers_mut(), &edge.caller_quota, allowance);
            Ok(answer)
        }
        Err(exhausted) => {
            let context = Context::known(&request);
            edge.worker.broker().metrics().rejection(Scope::Caller);
            let problem = Problem::caller_rate_limited(exhausted.retry_after);
            edge.lines.over_quota(&context, &caller, &problem, edge.worker.broker().clock().monotonic());
            let mut answer = problem.respond(&context);
            tell(answer.headers_mut(), &edge.caller_quota, exhausted.allowance);
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}

fn tell(headers: &mut HeaderMap, quota: &CallerQuota, allowance: Allowance) {
    let policy = format!("\"caller\";q={};w={}", quota.limits().burst, quota.window_seconds());
    let state = format!("\"caller\";r={};t={}", allowance.remaining, allowance.full_in_seconds);
    for (name, value) in [(RATELIMIT_POLICY, policy), (RATELIMIT, state)] {
        // Digits, quotes and semicolons are what a field value is made of.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
