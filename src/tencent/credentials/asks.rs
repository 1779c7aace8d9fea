//! Who wants new keys, and which attempt answers whom. Pure.
//!
//! A key that was revoked fails many calls at once. All of them share one attempt, and a key that stays bad costs no
//! more than one attempt a second.

use std::time::{Duration, Instant};

/// The least time between two attempts that failing calls cause.
const COOLDOWN: Duration = Duration::from_secs(1);

/// The attempts are numbered from 1; one at a time is under way.
#[derive(Debug, Default)]
pub(super) struct Asks {
    begun: u64,
    ended: u64,
    wanted: bool,
    last_asked: Option<Instant>,
}

impl Asks {
    /// A call has failed for its key: the number of the attempt to wait for. Nothing where the last one was a moment
    /// ago: there is nothing newer to be had.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u64> {
        if self.begun > self.ended {
            return Some(self.begun);
        }
        if self.wanted {
            return Some(self.begun + 1);
        }
        let is_early = |last: Instant| now.saturating_duration_since(last) < COOLDOWN;
        if self.last_asked.is_some_and(is_early) {
            return None;
        }
        self.last_asked = Some(now);
        self.wanted = true;
        Some(self.begun + 1)
    }

    /// The operator wants an attempt, whatever was before.
    pub(super) fn demand(&mut self) {
        self.wanted = true;
    }

    /// Whether anybody waits for an attempt that has not begun.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
        self.wanted = false;
    }

    /// The attempt has ended: its number.
    pub(super) fn end(&mut self) -> u64 {
        self.ended = self.begun;
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    #[test]
    fn all_who_ask_before_an_attempt_ends_share_it() {
        let now = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut asks = Asks::default();

        let before = [asks.ask(now), asks.ask(now)];
        asks.begin();
        let meanwhile = asks.ask(now);
        let wanted = asks.is_wanted();

        assert_eq!((before, meanwhile, wanted), ([Some(1), Some(1)], Some(1), false));
        assert_eq!(asks.end(), 1);
    }

    #[test]
    fn a_key_that_stays_bad_costs_one_attempt_a_second() {
        let now = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut asks = Asks::default();

        let attempts = (0..5_000).step_by(10).filter(|ms| {
            let asked = asks.ask(now + Duration::from_millis(*ms)).is_some();
            if asks.is_wanted() {
                asks.begin();
                asks.end();
            }
            asked
        });

        assert_eq!(attempts.count(), 5);
    }

    #[test]
    fn the_operator_is_not_told_to_wait() {
        let now = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut asks = Asks::default();
        asks.ask(now);
        asks.begin();
        asks.end();

        asks.demand();

        assert!(asks.is_wanted());
        assert_eq!(asks.ask(now), Some(2));
    }
}
