//! Requests that end without an answer, so that a drain can say what it cut.
//!
//! Nothing is counted for a request that is answered.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many requests have ended without an answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered(AtomicUsize);

/// A request under way. It borrows the count: one that it owned would be written by all workers for each request.
pub(super) struct Underway<'a>(Option<&'a Unanswered>);

impl Unanswered {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A request that is counted if it is dropped before it is answered.
    pub(super) fn underway(&self) -> Underway<'_> {
        Underway(Some(self))
    }
}

impl Underway<'_> {
    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(unanswered) = self.0 {
            unanswered.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_before_it_is_answered_is_counted() {
        let unanswered = Unanswered::default();

        unanswered.underway().answered();
        drop(unanswered.underway());

        assert_eq!(unanswered.count(), 1);
    }
}
