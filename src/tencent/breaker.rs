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
    /// Counts the changes of state, so that a call is known by the state that let it through.
    era: u64,
}

/// A call that was let through.
#[derive(Debug)]
#[must_use = "the breaker learns from what became of the call"]
pub struct Pass {
    era: u64,
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
        Self { state: State::Closed { failures_in_a_row: 0 }, era: 0 }
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
    pub fn enter(&mut self, now: Instant) -> Result<Pass, CircuitOpen> {
        self.check(now)?;
        if let State::Open { pause, .. } | State::Probing { pause, .. } = self.state {
            self.change(State::Probing { since: now, pause });
        }
        Ok(Pass { era: self.era })
    }

    /// The upstream answered, if only to refuse.
    ///
    /// A call that left before the state last changed says nothing of the state that there is: only the probe closes an
    /// open circuit.
    pub fn answered(&mut self, pass: &Pass) {
        if pass.era != self.era {
            return;
        }
        match &mut self.state {
            State::Closed { failures_in_a_row } => *failures_in_a_row = 0,
            State::Open { .. } | State::Probing { .. } => self.change(State::Closed { failures_in_a_row: 0 }),
        }
    }

    /// The upstream did not answer, or with a 5xx, by `now`. For a call that left earlier see [`answered`](Self::answered).
    pub fn failed(&mut self, pass: &Pass, now: Instant) {
        if pass.era != self.era {
            return;
        }
        match &mut self.state {
            State::Closed { failures_in_a_row } if *failures_in_a_row + 1 < FAILURES_TO_OPEN => *failures_in_a_row += 1,
            State::Closed { .. } => self.change(State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE }),
            State::Open { .. } => {}
            State::Probing { pause, .. } => {
                let pause = (*pause * 2).min(LONGEST_PAUSE);
                self.change(State::Open { until: now + pause, pause });
            }
        }
    }

    /// The call was not made, or nothing was learnt of it. Where it was the probe, another may go at once.
    pub fn withdrawn(&mut self, pass: &Pass) {
        if let State::Probing { since, pause } = self.state
            && pass.era == self.era
        {
            self.change(State::Open { until: since, pause });
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
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
            fail(&mut breaker, clock);
        }
        breaker
    }

    fn fail(breaker: &mut Breaker, clock: &Clock) {
        let pass = breaker.enter(clock.monotonic()).unwrap();
        breaker.failed(&pass, clock.monotonic());
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
                fail(&mut breaker, &clock);
            }
            let pass = breaker.enter(clock.monotonic()).unwrap();
            breaker.answered(&pass);
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

        let probe = breaker.enter(clock.monotonic()).unwrap();
        assert_eq!(breaker.enter(clock.monotonic()).unwrap_err(), CircuitOpen { retry_after: WAIT_FOR_PROBE });
        breaker.answered(&probe);
        assert!(breaker.enter(clock.monotonic()).is_ok());
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
            fail(&mut breaker, &clock);
        }

        assert_eq!(pauses, [2, 4, 8, 15, 15]);
    }

    #[test]
    fn a_lost_probe_does_not_keep_the_circuit_open_for_ever() {
        let clock = clock();
        let mut breaker = opened(&clock);
        clock.advance(FIRST_PAUSE);
        let lost = breaker.enter(clock.monotonic()).unwrap();

        clock.advance(PROBE_LOST_AFTER);
        let next = breaker.enter(clock.monotonic());
        breaker.answered(&lost);

        assert!(next.is_ok());
        assert!(breaker.is_open(), "a lost probe came back and spoke for the next one");
    }

    #[test]
    fn a_probe_that_is_withdrawn_leaves_its_place_to_another_at_once() {
        let clock = clock();
        let mut breaker = opened(&clock);
        clock.advance(FIRST_PAUSE);
        let probe = breaker.enter(clock.monotonic()).unwrap();

        breaker.withdrawn(&probe);
        let next = breaker.enter(clock.monotonic()).unwrap();
        breaker.withdrawn(&probe);
        let meanwhile = breaker.check(clock.monotonic());
        breaker.failed(&next, clock.monotonic());

        assert_eq!(meanwhile, Err(CircuitOpen { retry_after: WAIT_FOR_PROBE }));
        assert_eq!(breaker.check(clock.monotonic()), Err(CircuitOpen { retry_after: FIRST_PAUSE * 2 }));
    }

    #[test]
    fn a_straggler_neither_lengthens_the_pause_nor_closes_the_circuit() {
        let clock = clock();
        let mut breaker = Breaker::default();
        let stragglers = [breaker.enter(clock.monotonic()).unwrap(), breaker.enter(clock.monotonic()).unwrap()];
        for _ in 0..FAILURES_TO_OPEN {
            fail(&mut breaker, &clock);
        }
        clock.advance(FIRST_PAUSE);
        let probe = breaker.enter(clock.monotonic()).unwrap();

        breaker.failed(&stragglers[0], clock.monotonic());
        breaker.answered(&stragglers[1]);
        let meanwhile = breaker.check(clock.monotonic());
        breaker.answered(&probe);

        assert_eq!(meanwhile, Err(CircuitOpen { retry_after: WAIT_FOR_PROBE }));
        assert_eq!(breaker.check(clock.monotonic()), Ok(()));
    }
}
