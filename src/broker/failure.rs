//! Why there is no answer: what can come of a request beside what was asked for.
//!
//! Nothing here knows a status; the edge says which it is.

use std::sync::Arc;

use super::flights;
use crate::{
    quota::Refusal,
    tencent::error::{CallError, UpstreamRequestId},
};

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The policy says no.
    #[error("the policy does not permit this")]
    Forbidden,
    /// None of the regions that the caller may use has the instance.
    #[error("no such instance")]
    InstanceNotFound,
    /// The instance has no backup in status `normal`.
    #[error("no finished backup")]
    NoNormalBackup,
    /// The backup has fewer files.
    #[error("no such file")]
    NoSuchFile,
    /// The upstream said no, or nothing that could be understood.
    #[error(transparent)]
    Upstream(Arc<CallError>),
    /// The shared bucket cannot serve this call in time.
    #[error("the upstream's quota is exhausted")]
    QuotaExhausted(Refusal),
    /// The request's time ran out while the upstream was asked.
    #[error("the request's time ran out")]
    DeadlineOver,
    /// The task that fetched died.
    #[error("the fetch was lost")]
    Lost,
}

impl Failure {
    /// The upstream's id of the call that failed, where it said one.
    pub(super) fn upstream_request_id(&self) -> Option<Arc<str>> {
        match self {
            Self::Upstream(error) => error.request_id().map(UpstreamRequestId::shared),
            _ => None,
        }
    }
}

impl From<flights::WaitEnded> for Failure {
    fn from(ended: flights::WaitEnded) -> Self {
        match ended {
            flights::WaitEnded::Overtaken(refusal) => Self::QuotaExhausted(refusal),
            flights::WaitEnded::DeadlineOver => Self::DeadlineOver,
            flights::WaitEnded::Lost => Self::Lost,
        }
    }
}
