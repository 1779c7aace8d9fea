//! When a store counts as away, and when it is tried again: a pure rule that takes the time as an argument.

use std::time::{Duration, Instant};

/// Trips in a row without an answer in time after which the store counts as away. One may be a lost packet; each costs
/// the request that makes it `shared.timeout`.
const MOST_UNANSWERED: u32 = 3;

/// The first pause before the store is tried again, which doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause: a store that comes back is noticed within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A connection that lasted this long has nothing to do with the failures before it.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// What is remembered of a store.
#[derive(Debug)]
pub(super) struct Breaker {
    unanswered: u32,
    /// Attempts and connections in a row that came to nothing.
    failures: u32,
    connected_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self { unanswered: 0, failures: 0, connected_at: None }
    }

    /// A connection was made, over which the store answered.
    pub(super) fn connected(&mut self, now: Instant) {
        self.unanswered = 0;
        self.connected_at = Some(now);
    }

    /// A trip was answered.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// A trip was not answered in time; says whether the store counts as away by that.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.unanswered += 1;
        self.unanswered >= MOST_UNANSWERED && self.lost(now)
    }

    /// The connection is of no use any more: the store counts as away.
    pub(super) fn lost(&mut self, now: Instant) -> bool {
        let lasted = self.connected_at.take().map(|at| now.saturating_duration_since(at));
        if lasted.is_some_and(|lasted| lasted >= STEADY_AFTER) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        true
    }

    /// How long to wait before the store is tried again. A store that accepts connections and then fails is tried as
    /// seldom as one that accepts none.
    pub(super) fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    fn scene() -> (Breaker, Clock) {
        let clock = Clock::manual(from_unix_seconds(0));
        let mut breaker = Breaker::new();
        breaker.connected(clock.monotonic());
        (breaker, clock)
    }

    #[test]
    fn three_trips_in_a_row_without_an_answer_are_one_too_many() {
        let (mut breaker, clock) = scene();

        let verdicts: Vec<_> = (0..3).map(|_| breaker.failed(clock.monotonic())).collect();

        assert_eq!(verdicts, [false, false, true]);
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let (mut breaker, clock) = scene();

        breaker.failed(clock.monotonic());
        breaker.failed(clock.monotonic());
        breaker.answered();

        assert!(!breaker.failed(clock.monotonic()));
    }

    #[test]
    fn pauses_double_up_to_the_longest_one() {
        let (mut breaker, clock) = scene();

        let pauses: Vec<_> = (0..8)
            .map(|_| {
                breaker.lost(clock.monotonic());
                breaker.pause().as_millis()
            })
            .collect();

        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn a_store_that_accepts_and_fails_is_tried_less_and_less() {
        let (mut breaker, clock) = scene();

        for _ in 0..4 {
            clock.advance(Duration::from_secs(1));
            breaker.lost(clock.monotonic());
            breaker.connected(clock.monotonic());
        }

        assert_eq!(breaker.pause(), Duration::from_millis(400));
    }

    #[test]
    fn a_connection_that_lasted_makes_up_for_what_was_before_it() {
        let (mut breaker, clock) = scene();
        for _ in 0..8 {
            breaker.lost(clock.monotonic());
        }
        breaker.connected(clock.monotonic());

        clock.advance(STEADY_AFTER);
        breaker.lost(clock.monotonic());

        assert_eq!(breaker.pause(), FIRST_PAUSE);
    }
}
