//! Errors as callers read them: RFC 9457 problem documents, and the only list of statuses.
//!
//! What a caller reads here and what an operator reads in the log are two texts.

use std::{fmt::Write as _, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;

use super::context::Context;
use crate::{
    audit::AuditError,
    broker::Failure,
    identity::{Denial, challenge},
    tencent::error::{CallError, Class},
};

/// An error as an answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    upstream: Option<Upstream>,
    retry_after: Option<Duration>,
    challenge: Option<String>,
    allow: Option<&'static str>,
}

/// The closed set of error codes; each has one status and one title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    UpstreamRateLimited,
    UpstreamError,
    UpstreamDenied,
    Unavailable,
    UpstreamTimeout,
}

/// What the upstream said, where it may be repeated.
#[derive(Clone, Debug, Serialize)]
struct Upstream {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    request_id: String,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a Upstream>,
}

impl Code {
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
            Self::UpstreamRateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "upstream_rate_limited", "The upstream's quota is exhausted")
            }
            Self::UpstreamError => (StatusCode::BAD_GATEWAY, "upstream_error", "The upstream failed"),
            Self::UpstreamDenied => {
                (StatusCode::BAD_GATEWAY, "upstream_denied", "The upstream refuses the gateway's credentials")
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The gateway cannot answer now"),
            Self::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The upstream took too long"),
        }
    }
}

impl Problem {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), upstream: None, retry_after: None, challenge: None, allow: None }
    }

    pub(super) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, format!("this route answers {allow}")) }
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(Code::NotAcceptable, "this route answers application/json and text/plain")
    }

    /// The answer. The body carries nothing that the caller did not send or may not read.
    pub(super) fn respond(&self, context: &Context) -> HttpResponse {
        let (status, code, title) = self.code.parts();
        let document = Document {
            kind: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            request_id: context.request_id.as_str(),
            upstream: self.upstream.as_ref(),
        };
        let body = serde_json::to_vec(&document).expect("strings and numbers always serialise");
        let mut answer = HttpResponse::build(status);
        answer.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(allow) = self.allow {
            answer.insert_header((header::ALLOW, allow));
        }
        if let Some(retry_after) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds_rounded_up(retry_after).to_string()));
        }
        if let Some(challenge) = self.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
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
        Self { retry_after: Some(RETRY_SOON), ..Self::new(Code::Unavailable, detail) }
    }
}

impl From<&Denial> for Problem {
    fn from(denial: &Denial) -> Self {
        if matches!(denial, Denial::KeysUnavailable) {
            let detail = "the keys of the token's issuer have not been loaded yet";
            return Self { retry_after: Some(RETRY_SOON), ..Self::new(Code::Unavailable, detail) };
        }
        Self { challenge: Some(challenge(*denial)), ..Self::new(Code::Unauthenticated, denial.to_string()) }
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Forbidden => Self::new(Code::Forbidden, "no policy permits ReadBackupUrls on this instance"),
            Failure::InstanceNotFound => Self::instance_not_found(),
            Failure::QuotaExhausted(refusal) => Self {
                retry_after: Some(refusal.retry_after),
                ..Self::new(
                    Code::UpstreamRateLimited,
                    "the upstream's quota cannot serve this call in time; wait as long as Retry-After says",
                )
            },
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
        let (code, detail) = match error {
            CallError::Timeout => (Code::UpstreamTimeout, "the upstream did not answer in time".to_owned()),
            CallError::Refused { class, .. } => match class {
                Class::InvalidRequest => (Code::InvalidRequest, "the upstream finds the request malformed".to_owned()),
                Class::InstanceNotFound => (Code::InstanceNotFound, "the upstream knows no such instance".to_owned()),
                Class::BackupNotFound => (Code::BackupNotFound, "the instance has no such backup".to_owned()),
                Class::UnsupportedByInstance => {
                    (Code::UnsupportedByInstance, "the upstream says that the instance cannot do this".to_owned())
                }
                Class::BackupNotReady => {
                    (Code::BackupNotReady, "the backup or its instance is not in a state to be downloaded".to_owned())
                }
                Class::RateLimited => {
                    (Code::UpstreamRateLimited, "the upstream refuses more calls for the moment".to_owned())
                }
                Class::Denied => {
                    (Code::UpstreamDenied, "this is the operator's to mend; it has been logged".to_owned())
                }
                Class::Failed => (Code::UpstreamError, "the upstream reports an error".to_owned()),
            },
            other => {
                let mut detail = String::from("the call to the upstream failed: ");
                let _ = write!(detail, "{other}");
                (Code::UpstreamError, detail)
            }
        };
        let retry_after = (code == Code::UpstreamRateLimited).then_some(RETRY_SOON);
        Self { upstream: upstream_said(error), retry_after, ..Self::new(code, detail) }
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
    fn retry_after_rounds_up_and_is_never_zero() {
        assert_eq!(seconds_rounded_up(Duration::ZERO), 1);
        assert_eq!(seconds_rounded_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_rounded_up(Duration::from_secs(2)), 2);
        assert_eq!(seconds_rounded_up(Duration::from_millis(2_001)), 3);
    }
}
