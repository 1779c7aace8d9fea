//! How a request of a known caller ends: its record first, its answer after that.

use actix_web::HttpResponse;

use super::{problem::Problem, request::Incoming};
use crate::{
    broker::{Failure, OpenRecord, Settled},
    domain::Action,
    metrics::{Metrics, Scope},
    tencent::error::CallError,
};

impl Incoming {
    /// Ends a request that could not be understood.
    pub(super) async fn refuse(self, problem: &Problem) -> HttpResponse {
        let record = self.edge.worker.record_of_error(&self.asker);
        let answer = problem.respond(&self.context);
        self.leave(record, answer).await
    }

    /// Ends a request with what came of it: `respond` says it where it is good, the list of problems where it is not.
    pub(super) async fn conclude<T>(
        self,
        action: Action,
        settled: Settled<T>,
        respond: impl FnOnce(&T) -> HttpResponse,
    ) -> HttpResponse {
        let (outcome, record) = settled.into_parts();
        let answer = match outcome {
            Ok(good) => respond(&good),
            Err(failure) => {
                count_rejection(self.broker().metrics(), &failure);
                tracing::info!(
                    request_id = self.context.request_id.as_str(),
                    trace_id = self.context.trace_id.as_deref(),
                    action = action.as_str(),
                    error = %failure,
                    "a request ended in a problem"
                );
                Problem::of(&failure, action).respond(&self.context)
            }
        };
        self.leave(record, answer).await
    }

    /// The answer, once its record is written; else a 503, and nothing of the answer leaves.
    async fn leave(self, record: OpenRecord, answer: HttpResponse) -> HttpResponse {
        match self.edge.worker.settle(record, answer.status().as_u16()).await {
            Ok(()) => answer,
            Err(error) => {
                tracing::error!(request_id = self.context.request_id.as_str(), %error, "an answer was withheld");
                Problem::from(error).respond(&self.context)
            }
        }
    }
}

fn count_rejection(metrics: &Metrics, failure: &Failure) {
    match failure {
        Failure::QuotaExhausted(_) => metrics.rejection(Scope::Upstream),
        Failure::Upstream(error) if matches!(**error, CallError::CircuitOpen(_)) => metrics.rejection(Scope::Circuit),
        _ => {}
    }
}
