//! When a key set is fetched: on its interval, sooner after a failure, and at once for an unknown key id.
//!
//! Pure: moments and randomness are arguments. However many callers ask for an unknown key, they share one fetch, and
//! none follows it within the cooldown; so a stranger's invented key ids cost the issuer six requests a minute.

use std::time::{Duration, Instant};

/// The first wait after a failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure: an issuer that comes back is noticed within half a minute.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How many callers may wait for a fetch. Further ones are refused at once: a flood must not fill the memory.
const MAX_WAITERS: usize = 4000;

/// The state of one issuer's fetches. They are numbered from 1 and do not overlap.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    cooldown: Duration,
    due: Instant,
    failures: u32,
    started: u64,
    /// The fetch that callers with an unknown key wait for; later than `started` until it begins.
    wanted: Option<u64>,
    /// When the last fetch for an unknown key began.
    wanted_at: Option<Instant>,
    waiters: usize,
}

/// What a caller with an unknown key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The key set is as new as it gets.
    Refuse,
    /// Wait until this fetch has ended.
    WaitFor {
        /// Its number.
        fetch: u64,
    },
}

/// What the refresher does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Fetch now.
    Fetch,
    /// Nothing for so long, unless a caller asks.
    Sleep(Duration),
}

impl Schedule {
    /// A schedule whose first fetch is due at once.
    pub(super) fn new(now: Instant, refresh: Duration, cooldown: Duration) -> Self {
        Self { refresh, cooldown, due: now, failures: 0, started: 0, wanted: None, wanted_at: None, waiters: 0 }
    }

    /// A caller holds a token whose key is not in the set. Each [`Answer::WaitFor`] takes one of the places, until
    /// [`leave`](Self::leave).
    ///
    /// A fetch under way that nobody wanted does not count: it may have been answered before the key was published.
    pub(super) fn ask(&mut self, now: Instant) -> Answer {
        let is_cooling = self.wanted_at.is_some_and(|began| now.duration_since(began) < self.cooldown);
        let fetch = match self.wanted {
            Some(fetch) => fetch,
            None if is_cooling => return Answer::Refuse,
            None => self.started + 1,
        };
        if self.waiters >= MAX_WAITERS {
            return Answer::Refuse;
        }
        self.wanted = Some(fetch);
        self.waiters += 1;
        Answer::WaitFor { fetch }
    }

    /// A caller waits no longer.
    pub(super) fn leave(&mut self) {
        self.waiters = self.waiters.saturating_sub(1);
    }

    /// How many callers wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiters
    }

    /// What to do while no fetch is under way.
    pub(super) fn next(&self, now: Instant) -> Step {
        if self.wanted.is_some() || now >= self.due {
            return Step::Fetch;
        }
        Step::Sleep(self.due - now)
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.started += 1;
        if self.wanted == Some(self.started) {
            self.wanted_at = Some(now);
        }
    }

    /// The fetch has ended. `luck` is uniform in 0..1 and moves the next one by up to a tenth either way, so that
    /// replicas that started together do not stay together. Returns the fetch's number.
    pub(super) fn end(&mut self, now: Instant, is_ok: bool, luck: f64) -> u64 {
        let pause = if is_ok {
            self.failures = 0;
            self.refresh
        } else {
            let doubled = FIRST_RETRY.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
            self.failures = (self.failures + 1).min(16);
            doubled.min(LAST_RETRY).min(self.refresh)
        };
        self.due = now + pause.mul_f64(0.9 + 0.2 * luck);
        // Also what an earlier fetch was wanted for that never ended, for its task had panicked.
        if self.wanted.is_some_and(|wanted| wanted <= self.started) {
            self.wanted = None;
        }
        self.started
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Clock;

    const REFRESH: Duration = Duration::from_secs(300);
    const COOLDOWN: Duration = Duration::from_secs(10);
    const MIDDLE: f64 = 0.5;

    fn start() -> Instant {
        Clock::manual(std::time::SystemTime::UNIX_EPOCH).monotonic()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A schedule that fetched well at `now`.
    fn fetched(now: Instant) -> Schedule {
        let mut schedule = Schedule::new(now, REFRESH, COOLDOWN);
        schedule.begin(now);
        schedule.end(now, true, MIDDLE);
        schedule
    }

    #[test]
    fn the_first_fetch_is_due_at_once_and_the_next_after_the_interval() {
        let now = start();
        let mut schedule = Schedule::new(now, REFRESH, COOLDOWN);

        assert_eq!(schedule.next(now), Step::Fetch);
        schedule.begin(now);
        schedule.end(now, true, MIDDLE);

        assert_eq!(schedule.next(now), Step::Sleep(REFRESH));
        assert_eq!(schedule.next(now + REFRESH), Step::Fetch);
    }

    #[test]
    fn what_was_wanted_of_a_fetch_that_never_ended_is_brought_by_the_next() {
        let now = start();
        let mut schedule = fetched(now);
        assert_eq!(schedule.ask(now), Answer::WaitFor { fetch: 2 });
        schedule.begin(now);

        schedule.begin(now);
        let ended = schedule.end(now, true, MIDDLE);

        assert!(ended > 2);
        assert_eq!(schedule.next(now), Step::Sleep(REFRESH));
    }

    #[test]
    fn the_interval_is_moved_by_a_tenth_at_most() {
        let now = start();
        let mut schedule = fetched(now);

        schedule.end(now, true, 0.0);
        assert_eq!(schedule.next(now), Step::Sleep(seconds(270)));
        schedule.end(now, true, 1.0);
        assert_eq!(schedule.next(now), Step::Sleep(seconds(330)));
    }

    #[test]
    fn failures_are_retried_ever_later_and_forgotten_by_a_success() {
        let now = start();
        let mut schedule = Schedule::new(now, REFRESH, COOLDOWN);

        let mut pauses = Vec::new();
        for _ in 0..40 {
            schedule.begin(now);
            schedule.end(now, false, MIDDLE);
            pauses.push(schedule.next(now));
        }
        schedule.end(now, true, MIDDLE);
        schedule.end(now, false, MIDDLE);

        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 30].map(|pause| Step::Sleep(seconds(pause))));
        assert_eq!(pauses[39], Step::Sleep(seconds(30)));
        assert_eq!(schedule.next(now), Step::Sleep(seconds(1)));
    }

    #[test]
    fn a_retry_is_never_later_than_the_interval() {
        let now = start();
        let mut schedule = Schedule::new(now, Duration::from_millis(200), COOLDOWN);

        schedule.begin(now);
        schedule.end(now, false, MIDDLE);

        assert_eq!(schedule.next(now), Step::Sleep(Duration::from_millis(200)));
    }

    #[test]
    fn all_who_ask_share_one_fetch_and_the_cooldown_counts_from_its_beginning() {
        let now = start();
        let mut schedule = fetched(now);

        let answers = [schedule.ask(now), schedule.ask(now + seconds(1))];
        let step = schedule.next(now + seconds(1));
        schedule.begin(now + seconds(1));
        let joined = schedule.ask(now + seconds(2));
        let ended = schedule.end(now + seconds(3), true, MIDDLE);

        assert_eq!(answers, [Answer::WaitFor { fetch: 2 }; 2]);
        assert_eq!(step, Step::Fetch);
        assert_eq!(joined, Answer::WaitFor { fetch: 2 });
        assert_eq!(ended, 2);
        assert_eq!(schedule.ask(now + seconds(3)), Answer::Refuse);
        assert_eq!(schedule.ask(now + seconds(11) - Duration::from_nanos(1)), Answer::Refuse);
        assert_eq!(schedule.ask(now + seconds(11)), Answer::WaitFor { fetch: 3 });
    }

    #[test]
    fn a_failed_fetch_cools_down_too() {
        let now = start();
        let mut schedule = fetched(now);

        schedule.ask(now);
        schedule.begin(now);
        schedule.end(now, false, MIDDLE);

        assert_eq!(schedule.ask(now + seconds(9)), Answer::Refuse);
    }

    #[test]
    fn a_fetch_that_nobody_asked_for_neither_answers_nor_cools_down() {
        let now = start();
        let mut schedule = Schedule::new(now, REFRESH, COOLDOWN);

        schedule.begin(now);
        let answer = schedule.ask(now);
        let first = schedule.end(now, true, MIDDLE);

        assert_eq!(answer, Answer::WaitFor { fetch: 2 });
        assert_eq!(first, 1);
        assert_eq!(schedule.next(now), Step::Fetch);
    }

    #[test]
    fn the_places_of_those_who_wait_are_bounded_and_given_back() {
        let now = start();
        let mut schedule = fetched(now);

        let waiting = (0..MAX_WAITERS).filter(|_| schedule.ask(now) != Answer::Refuse).count();
        let refused = schedule.ask(now);
        schedule.leave();

        assert_eq!(waiting, MAX_WAITERS);
        assert_eq!(refused, Answer::Refuse);
        assert_eq!(schedule.ask(now), Answer::WaitFor { fetch: 2 });
    }

    proptest! {
        /// Strangers ask at any moments; a refresher fetches whenever it is told to.
        #[test]
        fn fetches_for_unknown_keys_begin_a_cooldown_apart(
            gaps_ms in prop::collection::vec((0_u64..4000, 0_u64..2000, any::<bool>()), 1..200)
        ) {
            let mut now = start();
            let mut schedule = fetched(now);
            let mut began: Vec<Instant> = Vec::new();
            for (gap, duration, is_ok) in gaps_ms {
                now += Duration::from_millis(gap);
                if let Answer::WaitFor { .. } = schedule.ask(now) {
                    schedule.leave();
                }
                if schedule.next(now) == Step::Fetch {
                    if schedule.wanted.is_some() {
                        began.push(now);
                    }
                    schedule.begin(now);
                    now += Duration::from_millis(duration);
                    schedule.end(now, is_ok, MIDDLE);
                }
            }
            prop_assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= COOLDOWN));
        }
    }
}
