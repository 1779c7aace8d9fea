//! A circuit breaker for one endpoint: after enough failures in a row it is left alone for a while.
//!
//! Pure: a moment comes in, a verdict goes out. A refusal that the upstream put into words is an answer and no
//! failure; only silence, broken connections and 5xx count.

use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
const FAILURES_TO_OPEN: u32 = 5;

/// The first pause; each probe that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause, so that an upstream that came back is noticed soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A probe that was not heard of for so long is lost, and another may go.
const PROBE_LOST_AFTER: Duration = Duration::from_secs(15);

/// What those hear who come while a probe is under way.
const WAIT_FOR_PROBE: Duration = Duration::from_secs(1);

/// The state of one endpoint's circuit.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Calls go through.
    Closed { failures_in_a_row: u32 },
    /// No call goes through before `until`; the next one then is a probe.
    Open { until: Instant, pause: Duration },
    /// One call finds out for all.
    Probing { since: Instant, pause: Duration },
}

/// The circuit is open: nothing was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream failed repeatedly and is left alone for a moment")]
pub struct CircuitOpen {
    /// When it is worth trying again.
    pub retry_after: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures_in_a_row: 0 } }
    }
}

impl Breaker {
    /// Whether a call could go through at `now`. Nothing changes by asking.
    ///
    /// # Errors
    ///
    /// When the circuit is open, with the time until it is worth trying again.
    pub fn check(&self, now: Instant) -> Result<(), CircuitOpen> {
        let retry_after = match self.state {
            State::Closed { .. } => return Ok(()),
            State::Open { until, .. } if until > now => until - now,
            State::Open { .. } => return Ok(()),
            State::Probing { since, .. } if now.saturating_duration_since(since) < PROBE_LOST_AFTER => WAIT_FOR_PROBE,
            State::Probing { .. } => return Ok(()),
        };
        Err(CircuitOpen { retry_after })
    }

    /// Lets a call through at `now`, as the probe where the circuit was open.
    ///
    /// # Errors
    ///
    /// When the circuit is open, or another call is the probe.
    pub fn enter(&mut self, now: Instant) -> Result<(), CircuitOpen> {
        self.check(now)?;
        if let State::Open { pause, .. } | State::Probing { pause, .. } = self.state {
            self.state = State::Probing { since: now, pause };
        }
        Ok(())
    }

    /// The upstream answered, if only to refuse.
    pub fn answered(&mut self) {
        self.state = State::Closed { failures_in_a_row: 0 };
    }

    /// The upstream did not answer, or with a 5xx, at `now`.
    pub fn failed(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures_in_a_row } if failures_in_a_row + 1 < FAILURES_TO_OPEN => {
                State::Closed { failures_in_a_row: failures_in_a_row + 1 }
            }
            State::Closed { .. } => State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE },
            // A call that left before the circuit opened says nothing new.
            State::Open { until, pause } => State::Open { until, pause },
            State::Probing { pause, .. } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Open { until: now + pause, pause }
            }
        };
    }

    /// Whether calls are being refused or probed at present.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    fn opened(clock: &Clock) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            breaker.enter(clock.monotonic()).unwrap();
            breaker.failed(clock.monotonic());
        }
        breaker
    }

    fn clock() -> Clock {
        Clock::manual(from_unix_seconds(0))
    }

    #[test]
    fn it_opens_only_after_failures_in_a_row() {
        let clock = clock();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.failed(clock.monotonic());
            }
            breaker.answered();
        }

        assert!(!breaker.is_open());
        assert!(opened(&clock).is_open());
    }

    #[test]
    fn an_open_circuit_says_how_long_it_stays_open() {
        let clock = clock();
        let breaker = opened(&clock);
        clock.advance(Duration::from_millis(500));

        assert_eq!(
            breaker.check(clock.monotonic()),
            Err(CircuitOpen { retry_after: FIRST_PAUSE - Duration::from_millis(500) })
        );
    }

    #[test]
    fn one_probe_goes_and_its_success_closes_the_circuit() {
        let clock = clock();
        let mut breaker = opened(&clock);
        clock.advance(FIRST_PAUSE);

        assert_eq!(breaker.enter(clock.monotonic()), Ok(()));
        assert_eq!(breaker.enter(clock.monotonic()), Err(CircuitOpen { retry_after: WAIT_FOR_PROBE }));
        breaker.answered();
        assert_eq!(breaker.enter(clock.monotonic()), Ok(()));
    }

    #[test]
    fn probes_that_fail_come_ever_later_but_not_without_bound() {
        let clock = clock();
        let mut breaker = opened(&clock);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let CircuitOpen { retry_after } = breaker.check(clock.monotonic()).unwrap_err();
            pauses.push(retry_after.as_secs());
            clock.advance(retry_after);
            breaker.enter(clock.monotonic()).unwrap();
            breaker.failed(clock.monotonic());
        }

        assert_eq!(pauses, [2, 4, 8, 15, 15]);
    }

    #[test]
    fn a_lost_probe_does_not_keep_the_circuit_open_for_ever() {
        let clock = clock();
        let mut breaker = opened(&clock);
        clock.advance(FIRST_PAUSE);
        breaker.enter(clock.monotonic()).unwrap();

        clock.advance(PROBE_LOST_AFTER);

        assert_eq!(breaker.enter(clock.monotonic()), Ok(()));
    }

    #[test]
    fn a_straggler_does_not_lengthen_the_pause() {
        let clock = clock();
        let mut breaker = opened(&clock);
        clock.advance(FIRST_PAUSE / 2);

        breaker.failed(clock.monotonic());
        clock.advance(FIRST_PAUSE / 2);

        assert_eq!(breaker.check(clock.monotonic()), Ok(()));
    }
}
