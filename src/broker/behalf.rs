//! On whose behalf a call is made: of the caller who asked first, in the words of logs and traces.

use super::Asker;
use crate::{
    domain::{RequestId, TraceId},
    traces::{Step, Trace},
};

/// The request that a call is made for. Others may wait for the same call; they have lines and spans of their own.
#[derive(Clone, Debug)]
pub(super) struct Behalf {
    /// The id that the caller reads in the answer.
    pub(super) request_id: RequestId,
    /// The trace that the request is part of.
    pub(super) trace_id: Option<TraceId>,
    /// What the spans are written to.
    pub(super) trace: Trace,
}

impl Behalf {
    /// A request that waits for the call.
    pub(super) fn of(asker: &Asker) -> Self {
        Self { request_id: asker.request_id.clone(), trace_id: asker.trace_id, trace: asker.trace.clone() }
    }

    /// A request that has caused the call and does not wait for it: it has a trace of its own.
    pub(super) fn caused_by(asker: &Asker) -> Self {
        let trace = asker.trace.follow(Step::Refresh);
        let trace_id = trace.context().map(|context| context.trace_id).or(asker.trace_id);
        Self { request_id: asker.request_id.clone(), trace_id, trace }
    }

    /// The same for the task that fetches, which may outlive the request.
    pub(super) fn for_fetch(&self) -> Self {
        Self { trace: self.trace.fork(Step::Fetch), ..self.clone() }
    }
}
