//! Who wants new keys, and which attempt answers whom. Pure.
//!
//! A key that was revoked fails many calls at once. Each waits for an attempt that began after it failed, for an earlier
//! one may have been answered with the old key; all who fail meanwhile share it. A key that stays bad costs no more than
//! one attempt a second.

use std::time::{Duration, Instant};

/// The least time between the beginnings of two attempts that failing calls cause.
const COOLDOWN: Duration = Duration::from_secs(1);

/// The attempts are numbered from 1; one at a time is under way.
#[derive(Debug, Default)]
pub(super) struct Asks {
    begun: u64,
    /// A call has failed for its key since the last attempt began.
    wanted: bool,
    /// The operator wants an attempt.
    demanded: bool,
    /// When the last attempt began that a failing call had caused.
    last_wanted: Option<Instant>,
}

impl Asks {
    /// A call has failed for its key: the number of the attempt to wait for.
    pub(super) fn ask(&mut self) -> u64 {
        self.wanted = true;
        self.begun + 1
    }

    /// The operator wants an attempt, whatever was before.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
    }

    /// The time until somebody's attempt may begin; nothing where nobody wants one.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        if self.demanded {
            return Some(Duration::ZERO);
        }
        let rested = self.last_wanted.map_or(Duration::ZERO, |last| (last + COOLDOWN).saturating_duration_since(now));
        self.wanted.then_some(rested)
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.wanted {
            self.last_wanted = Some(now);
        }
        self.begun += 1;
        self.wanted = false;
        self.demanded = false;
    }

    /// The attempt has ended: its number. Where it brought new keys, nobody who has asked meanwhile wants another.
    pub(super) fn end(&mut self, has_renewed: bool) -> u64 {
        self.wanted &= !has_renewed;
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    fn start() -> Instant {
        Clock::manual(from_unix_seconds(0)).monotonic()
    }

    #[test]
    fn all_who_fail_before_an_attempt_begins_share_it_and_who_fails_later_waits_for_the_next() {
        let now = start();
        let mut asks = Asks::default();

        let before = [asks.ask(), asks.ask()];
        let due = asks.due_in(now);
        asks.begin(now);
        let meanwhile = asks.ask();

        assert_eq!((before, due, meanwhile), ([1, 1], Some(Duration::ZERO), 2));
        assert_eq!(asks.end(false), 1);
        assert_eq!(asks.due_in(now), Some(COOLDOWN));
    }

    #[test]
    fn new_keys_satisfy_all_who_asked_meanwhile() {
        let mut asks = Asks::default();
        asks.ask();
        asks.begin(start());
        asks.ask();

        asks.end(true);

        assert_eq!(asks.due_in(start()), None);
    }

    #[test]
    fn a_key_that_stays_bad_costs_one_attempt_a_second() {
        let start = start();
        let mut asks = Asks::default();

        let attempts = (0..5_000).step_by(10).filter(|ms| {
            let now = start + Duration::from_millis(*ms);
            asks.ask();
            let is_due = asks.due_in(now) == Some(Duration::ZERO);
            if is_due {
                asks.begin(now);
                asks.end(false);
            }
            is_due
        });

        assert_eq!(attempts.count(), 5);
    }

    #[test]
    fn the_operator_is_not_told_to_wait_and_makes_nobody_else_wait() {
        let now = start();
        let mut asks = Asks::default();
        asks.ask();
        asks.begin(now);
        asks.end(false);

        asks.demand();
        let demanded = asks.due_in(now);
        asks.begin(now);
        asks.end(true);
        asks.ask();

        assert_eq!(demanded, Some(Duration::ZERO));
        assert_eq!(asks.due_in(now + COOLDOWN), Some(Duration::ZERO));
    }
}
