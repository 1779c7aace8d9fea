//! How a request of a known caller ends: its record first, its answer after that.

use std::time::Instant;

use actix_web::HttpResponse;

use super::{problem::Problem, request::Incoming};
use crate::{
    audit::AuditError,
    broker::{Failure, OpenRecord, Settled},
    domain::Action,
    metrics::{Metrics, Scope},
    tencent::error::CallError,
    traces::Step,
};

impl Incoming {
    /// Ends a request that could not be understood.
    pub(super) fn refuse(&self, problem: &Problem) -> impl Future<Output = HttpResponse> {
        let record = self.edge.worker.record_of_error(&self.asker);
        self.edge.lines.not_understood(&self.context, &self.asker.caller, problem, self.now());
        let answer = problem.respond(&self.context);
        self.leave(record, answer)
    }

    /// Ends a request with what came of it: `respond` says it where it is good, the list of problems where it is not.
    pub(super) fn conclude<T>(
        &self,
        action: Action,
        settled: Settled<T>,
        respond: impl FnOnce(&T) -> HttpResponse,
    ) -> impl Future<Output = HttpResponse> {
        let (outcome, record) = settled.into_parts();
        let answer = match outcome {
            Ok(good) => respond(&good),
            Err(failure) => {
                count_rejection(self.broker().metrics(), &failure);
                let problem = Problem::of(&failure, action);
                let whose = (&*self.asker.caller, action);
                self.edge.lines.failed(&self.context, whose, (&failure, &problem), self.now());
                problem.respond(&self.context)
            }
        };
        self.leave(record, answer)
    }

    /// The answer, once its record is written; else a 503, and nothing of the answer leaves.
    ///
    /// What waits holds the answer and little else: thirty requests wait at a time, and what they hold is moved about.
    fn leave(&self, record: OpenRecord, answer: HttpResponse) -> impl Future<Output = HttpResponse> {
        let span = self.context.trace.step(Step::Audit);
        let written = self.edge.worker.settle(record, answer.status().as_u16());
        async move {
            match written.await {
                Ok(()) => answer,
                Err(error) => {
                    span.fail("not_written");
                    self.withhold(error)
                }
            }
        }
    }

    fn withhold(&self, error: AuditError) -> HttpResponse {
        let problem = Problem::from(error);
        self.edge.lines.withheld(&self.context, &error, &problem, self.now());
        problem.respond(&self.context)
    }

    fn now(&self) -> Instant {
        self.broker().clock().monotonic()
    }
}

fn count_rejection(metrics: &Metrics, failure: &Failure) {
    match failure {
        Failure::QuotaExhausted(_) => metrics.rejection(Scope::Upstream),
        Failure::Upstream(error) if matches!(**error, CallError::CircuitOpen(_)) => metrics.rejection(Scope::Circuit),
        _ => {}
    }
}
