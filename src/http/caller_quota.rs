//! Each caller's own quota: counted on every request behind the gate, told on every answer.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4.

use actix_web::{
    HttpResponse,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use bytes::Bytes;

use super::{Edge, context::Context, problem::Problem};
use crate::{
    domain::{Caller, decimal::push_decimal},
    metrics::Scope,
    quota::{Allowance, CallerQuota, Exhausted},
};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The answer to a caller whose quota is used up: 429.
pub(super) fn refuse(edge: &Edge, context: &Context, caller: &Caller, exhausted: &Exhausted) -> HttpResponse {
    edge.worker.broker().metrics().rejection(Scope::Caller);
    let problem = Problem::caller_rate_limited(exhausted.retry_after);
    edge.lines.over_quota(context, caller, &problem, edge.worker.broker().clock().monotonic());
    problem.respond(context)
}

/// Tells the caller where it stands.
pub(super) fn tell(headers: &mut HeaderMap, edge: &Edge, allowance: Allowance) {
    headers.insert(RATELIMIT_POLICY, edge.ratelimit_policy.clone());
    headers.insert(RATELIMIT, field("r", allowance.remaining.into(), "t", allowance.full_in_seconds));
}

/// The policy, which is the same on every answer.
pub fn ratelimit_policy(quota: &CallerQuota) -> HeaderValue {
    field("q", quota.limits().burst.get().into(), "w", quota.window_seconds())
}

fn field(name: &str, value: u64, other_name: &str, other_value: u64) -> HeaderValue {
    let mut text = Vec::with_capacity(32);
    text.extend_from_slice(b"\"caller\"");
    for (name, value) in [(name, value), (other_name, other_value)] {
        text.push(b';');
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        push_decimal(&mut text, value);
    }
    // Without room to spare it becomes the value as it lies there.
    text.shrink_to_fit();
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("letters, digits and quotes are what a field is made of")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_of_the_form_of_the_draft() {
        assert_eq!(field("r", 99, "t", 2), "\"caller\";r=99;t=2");
    }
}
