//! Errors as callers read them: RFC 9457 problem documents, and the only list of statuses.
//!
//! What a caller reads here and what an operator reads in the log are two texts.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use super::context::Context;
use crate::{
    audit::AuditError,
    broker::Failure,
    domain::Action,
    identity::{Denial, challenge},
    tencent::error::{CallError, Class},
};

/// An error as an answer. Boxed, for it travels in the error of functions that nearly always succeed.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    detail: String,
    upstream: Option<Upstream>,
    retry_after: Option<Duration>,
    challenge: Option<String>,
    allow: Option<&'static str>,
}

/// The closed set of error codes; each has one status and one title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = ProblemCode, rename_all = "snake_case")]
pub(super) enum Code {
    InvalidRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    InstanceNotFound,
    BackupNotFound,
    MethodNotAllowed,
    NotAcceptable,
    UnsupportedByInstance,
    BackupNotReady,
    CallerRateLimited,
    UpstreamRateLimited,
    UpstreamError,
    UpstreamDenied,
    Unavailable,
    UpstreamTimeout,
    Internal,
}

/// What the cloud said, as far as it may be repeated.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UpstreamProblem)]
pub(super) struct Upstream {
    /// The vendor's code.
    #[schema(example = "ResourceNotFound.InstanceNotExists")]
    code: String,
    /// The vendor's message; left out where it could name keys or accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// The vendor's id of the call.
    request_id: String,
}

/// Why there is no other answer (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// A URI reference that stands for the code.
    #[serde(rename = "type")]
    #[schema(example = "/problems/forbidden")]
    kind: String,
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, for a person to read.
    detail: &'a str,
    /// What is wrong, for a program to act on.
    #[schema(value_type = Code)]
    code: &'static str,
    /// The id of the request, which stands in `X-Request-Id`, in the log and in the audit too.
    request_id: &'a str,
    /// What the cloud said, where it said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Upstream>)]
    upstream: Option<&'a Upstream>,
}

impl Document<'static> {
    /// What an answer with this code looks like, for the documentation.
    pub(super) fn example(code: Code) -> Self {
        let (status, code, title) = code.parts();
        Self {
            kind: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail: "a sentence on what is wrong with this request",
            code,
            request_id: "b5f4e5a1c0de4f0e9d3c7a7d7f2f9a10",
            upstream: None,
        }
    }
}

impl Code {
    /// The status that it comes with.
    pub(super) fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The code as callers read it, and a title.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        let (_, code, title) = self.parts();
        (code, title)
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", "The request is malformed"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "No acceptable bearer token"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The policy does not permit this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "No such route"),
            Self::InstanceNotFound => (StatusCode::NOT_FOUND, "instance_not_found", "No such instance"),
            Self::BackupNotFound => (StatusCode::NOT_FOUND, "backup_not_found", "No such backup"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The route has no such method")
            }
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not_acceptable", "No acceptable representation exists")
            }
            Self::UnsupportedByInstance => {
                (StatusCode::CONFLICT, "unsupported_by_instance", "The instance does not support this")
            }
            Self::BackupNotReady => (StatusCode::CONFLICT, "backup_not_ready", "The backup is not ready"),
            Self::CallerRateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "caller_rate_limited", "Too many requests from this caller")
            }
            Self::UpstreamRateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "upstream_rate_limited", "The upstream's quota is exhausted")
            }
            Self::UpstreamError => (StatusCode::BAD_GATEWAY, "upstream_error", "The upstream failed"),
            Self::UpstreamDenied => {
                (StatusCode::BAD_GATEWAY, "upstream_denied", "The upstream refuses the gateway's credentials")
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The gateway cannot answer now"),
            Self::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The upstream took too long"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway made a mistake"),
        }
    }
}

impl Problem {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Parts { code, detail, upstream: None, retry_after: None, challenge: None, allow: None }))
    }

    fn retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    pub(super) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let mut problem = Self::new(Code::MethodNotAllowed, format!("this route answers {allow}"));
        problem.0.allow = Some(allow);
        problem
    }

    pub(super) fn not_acceptable(offer: &str) -> Self {
        Self::new(Code::NotAcceptable, format!("this route answers {offer}"))
    }

    pub(super) fn caller_rate_limited(retry_after: Duration) -> Self {
        let detail = "you have sent more requests than your quota allows; wait as long as Retry-After says";
        Self::new(Code::CallerRateLimited, detail).retry_after(retry_after)
    }

    /// A request that panicked. What the panic says may be the value that should not have been there.
    pub(super) fn internal() -> Self {
        let detail = "the gateway made a mistake with this request, and no other; it has been logged";
        Self::new(Code::Internal, detail)
    }

    /// The status that the answer has.
    pub(super) fn status(&self) -> u16 {
        self.0.code.status().as_u16()
    }

    /// The code that the answer has.
    pub(super) fn code(&self) -> &'static str {
        self.0.code.texts().0
    }

    /// The answer. The body carries nothing that the caller did not send or may not read.
    pub(super) fn respond(&self, context: &Context) -> HttpResponse {
        let Parts { code, detail, upstream, retry_after, challenge, allow } = &*self.0;
        let (status, code, title) = code.parts();
        let document = Document {
            kind: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail,
            code,
            request_id: context.request_id.as_str(),
            upstream: upstream.as_ref(),
        };
        let body = serde_json::to_vec(&document).expect("strings and numbers always serialise");
        let mut answer = HttpResponse::build(status);
        answer.extensions_mut().insert(self.0.code);
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(allow) = allow {
            answer.insert_header((header::ALLOW, *allow));
        }
        if let Some(retry_after) = retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds_rounded_up(*retry_after).to_string()));
        }
        if let Some(challenge) = challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            answer.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        answer.body(body)
    }
}

/// `Retry-After` never says zero: a caller that obeyed it would come back too early.
fn seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}

/// When nothing better is known: long enough not to hammer, short enough for a person.
const RETRY_SOON: Duration = Duration::from_secs(1);

impl From<AuditError> for Problem {
    fn from(_: AuditError) -> Self {
        let detail = "the audit record of this request could not be written, so its answer is withheld";
        Self::new(Code::Unavailable, detail).retry_after(RETRY_SOON)
    }
}

impl From<&Denial> for Problem {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::NoToken | Denial::Refused(_) => {
                let mut problem = Self::new(Code::Unauthenticated, denial.to_string());
                problem.0.challenge = Some(challenge(*denial));
                problem
            }
            Denial::KeysUnavailable => Self::new(Code::Unavailable, denial.to_string()).retry_after(RETRY_SOON),
            Denial::TooManyFailures { retry_after } => {
                let detail = "too many requests from this address carried no acceptable token, so this one was not \
                              looked at; wait as long as Retry-After says";
                Self::new(Code::CallerRateLimited, detail).retry_after(*retry_after)
            }
        }
    }
}

impl Problem {
    /// What came of a request for `action`.
    pub(super) fn of(failure: &Failure, action: Action) -> Self {
        match failure {
            Failure::Forbidden => {
                Self::new(Code::Forbidden, format!("the policy does not permit {} on this instance", action.as_str()))
            }
            Failure::InstanceNotFound => Self::instance_not_found(),
            Failure::NoNormalBackup => {
                Self::new(Code::BackupNotFound, "the instance has no backup in status normal, so none is the latest")
            }
            Failure::NoSuchFile => Self::new(Code::BackupNotFound, "the backup has no such file in this network"),
            Failure::QuotaExhausted(refusal) => {
                let detail = "the upstream's quota cannot serve this call in time; wait as long as Retry-After says";
                Self::new(Code::UpstreamRateLimited, detail).retry_after(refusal.retry_after)
            }
            Failure::DeadlineOver => {
                Self::new(Code::UpstreamTimeout, "the request's time ran out while the upstream was asked")
            }
            Failure::Lost => Self::new(Code::UpstreamError, "the call to the upstream was lost"),
            Failure::Upstream(error) => Self::upstream(error),
        }
    }
}

impl Problem {
    fn instance_not_found() -> Self {
        Self::new(Code::InstanceNotFound, "the instance does not exist in any region that you may use")
    }

    fn upstream(error: &CallError) -> Self {
        let mut problem = match error {
            CallError::Timeout => Self::new(Code::UpstreamTimeout, "the upstream did not answer in time"),
            CallError::Refused { class, .. } => Self::refused(*class),
            CallError::CircuitOpen(open) => {
                Self::new(Code::Unavailable, open.to_string()).retry_after(open.retry_after)
            }
            CallError::CredentialsExpired => {
                Self::new(Code::UpstreamDenied, format!("{error}; this is the operator's to mend; it has been logged"))
            }
            broken => Self::new(Code::UpstreamError, format!("the call to the upstream failed: {broken}")),
        };
        problem.0.upstream = upstream_said(error);
        problem
    }

    fn refused(class: Class) -> Self {
        match class {
            Class::InvalidRequest => Self::new(Code::InvalidRequest, "the upstream finds the request malformed"),
            Class::InstanceNotFound => Self::new(Code::InstanceNotFound, "the upstream knows no such instance"),
            Class::BackupNotFound => Self::new(Code::BackupNotFound, "the instance has no such backup"),
            Class::UnsupportedByInstance => {
                Self::new(Code::UnsupportedByInstance, "the upstream says that the instance cannot do this")
            }
            Class::BackupNotReady => {
                Self::new(Code::BackupNotReady, "the backup or its instance is not in a state to be downloaded")
            }
            Class::RateLimited => {
                Self::new(Code::UpstreamRateLimited, "the upstream refuses more calls for the moment")
                    .retry_after(RETRY_SOON)
            }
            Class::Denied => Self::new(Code::UpstreamDenied, "this is the operator's to mend; it has been logged"),
            Class::Failed => Self::new(Code::UpstreamError, "the upstream reports an error"),
        }
    }
}

/// What may be repeated of the upstream's words. A refusal of our credentials can name keys and accounts.
fn upstream_said(error: &CallError) -> Option<Upstream> {
    let CallError::Refused { class, code, message, request_id } = error else { return None };
    Some(Upstream {
        code: code.as_str().to_owned(),
        message: message.as_ref().filter(|_| *class != Class::Denied).map(ToString::to_string),
        request_id: request_id.as_str().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_codes_are_those_that_are_sent() {
        let schema = serde_json::to_value(<Code as utoipa::PartialSchema>::schema()).unwrap();
        let documented: Vec<_> = schema["enum"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();

        // A unit variant becomes its number in the order of the list.
        for code in
            [Code::InvalidRequest, Code::CallerRateLimited, Code::UpstreamDenied, Code::UpstreamTimeout, Code::Internal]
        {
            assert_eq!(documented[code as usize], code.texts().0);
        }
    }

    #[test]
    fn retry_after_rounds_up_and_is_never_zero() {
        assert_eq!(seconds_rounded_up(Duration::ZERO), 1);
        assert_eq!(seconds_rounded_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_rounded_up(Duration::from_secs(2)), 2);
        assert_eq!(seconds_rounded_up(Duration::from_millis(2_001)), 3);
    }
}
