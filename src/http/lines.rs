//! What the log says of requests: a line for each refusal and failure, at a bounded rate, and for every answer where
//! somebody asks for that. `docs/logs.md` has the fields.
//!
//! No line repeats what a stranger wrote: no path, no query, no header, but for ids that passed their grammar.

use std::time::{Duration, Instant};

use super::{context::Context, problem::Problem};
use crate::{
    audit::AuditError,
    broker::Failure,
    domain::{Action, Caller, Throttle},
    identity::Denial,
    metrics::{Method, Route},
};

/// Lines of each kind that a worker writes in a second: what a loop of somebody's can cause must not fill a disk. What
/// goes unsaid is counted in the next line of its kind.
const PER_SECOND: u32 = 5;

/// A worker's lines. Strangers cannot silence what is said of callers, nor callers what is said of the gateway.
#[derive(Debug)]
pub struct Lines {
    strangers: Throttle,
    callers: Throttle,
    failures: Throttle,
}

impl Default for Lines {
    fn default() -> Self {
        let throttle = || Throttle::new(PER_SECOND);
        Self { strangers: throttle(), callers: throttle(), failures: throttle() }
    }
}

impl Lines {
    /// A request had no acceptable token.
    pub(super) fn unauthenticated(&self, context: &Context, denial: &Denial, problem: &Problem, now: Instant) {
        let Some(suppressed) = self.strangers.admit(now) else { return };
        tracing::info!(
            request_id = context.request_id.as_str(),
            trace_id = context.trace_id.map(tracing::field::display),
            span_id = context.span_id().map(tracing::field::display),
            status = problem.status(),
            code = problem.code(),
            reason = denial.as_str(),
            suppressed,
            "a request without an acceptable token was refused"
        );
    }

    /// A caller sends too much.
    pub(super) fn over_quota(&self, context: &Context, caller: &Caller, problem: &Problem, now: Instant) {
        let Some(suppressed) = self.callers.admit(now) else { return };
        tracing::info!(
            request_id = context.request_id.as_str(),
            trace_id = context.trace_id.map(tracing::field::display),
            span_id = context.span_id().map(tracing::field::display),
            status = problem.status(),
            code = problem.code(),
            issuer = &*caller.issuer,
            subject = &*caller.subject,
            suppressed,
            "a caller has used up its own quota"
        );
    }

    /// A caller's request could not be understood.
    pub(super) fn not_understood(&self, context: &Context, caller: &Caller, problem: &Problem, now: Instant) {
        let Some(suppressed) = self.callers.admit(now) else { return };
        tracing::info!(
            request_id = context.request_id.as_str(),
            trace_id = context.trace_id.map(tracing::field::display),
            span_id = context.span_id().map(tracing::field::display),
            status = problem.status(),
            code = problem.code(),
            issuer = &*caller.issuer,
            subject = &*caller.subject,
            suppressed,
            "a request was not understood"
        );
    }

    /// A caller's request ended in a problem: policy, the quota of the cloud, or the cloud.
    pub(super) fn failed(
        &self,
        context: &Context,
        (caller, action): (&Caller, Action),
        (failure, problem): (&Failure, &Problem),
        now: Instant,
    ) {
        let throttle = if problem.status() < 500 { &self.callers } else { &self.failures };
        let Some(suppressed) = throttle.admit(now) else { return };
        tracing::info!(
            request_id = context.request_id.as_str(),
            trace_id = context.trace_id.map(tracing::field::display),
            span_id = context.span_id().map(tracing::field::display),
            status = problem.status(),
            code = problem.code(),
            issuer = &*caller.issuer,
            subject = &*caller.subject,
            action = action.as_str(),
            error = %failure,
            suppressed,
            "a request ended in a problem"
        );
    }

    /// An answer was withheld, because its record was not written.
    pub(super) fn withheld(&self, context: &Context, error: &AuditError, problem: &Problem, now: Instant) {
        let Some(suppressed) = self.failures.admit(now) else { return };
        tracing::error!(
            request_id = context.request_id.as_str(),
            trace_id = context.trace_id.map(tracing::field::display),
            span_id = context.span_id().map(tracing::field::display),
            status = problem.status(),
            code = problem.code(),
            %error,
            suppressed,
            "an answer was withheld"
        );
    }
}

/// A line for every answer: the access log, off unless `log.level` names its target. Whether it is on costs a load.
pub(super) fn answered(context: &Context, (method, route): (Method, Route), status: u16, took: Duration) {
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return;
    }
    tracing::info!(
        target: "access",
        request_id = context.request_id.as_str(),
        trace_id = context.trace_id.map(tracing::field::display),
        span_id = context.span_id().map(tracing::field::display),
        method = method.as_str(),
        route = route.as_str(),
        status,
        duration_ms = took.as_secs_f64() * 1000.0,
        "answered"
    );
}
