//! A bound on how often something is said: what a stranger can cause must not fill a disk.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets so many through in each second, and counts the rest.
#[derive(Debug)]
pub struct Throttle {
    per_second: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    second_began: Option<Instant>,
    admitted: u32,
    suppressed: u64,
}

impl Throttle {
    /// One that lets `per_second` through.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, state: Mutex::default() }
    }

    /// Whether to say it at `now`, with the number of those that went unsaid since the last time.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(1);
        if state.second_began.is_none_or(is_over) {
            state.second_began = Some(now);
            state.admitted = 0;
        }
        if state.admitted >= self.per_second {
            state.suppressed += 1;
            return None;
        }
        state.admitted += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    #[test]
    fn so_many_are_said_in_a_second_and_the_rest_is_counted() {
        let clock = Clock::manual(from_unix_seconds(0));
        let throttle = Throttle::new(2);

        let first: Vec<_> = (0..5).map(|_| throttle.admit(clock.monotonic())).collect();
        clock.advance(Duration::from_secs(1));
        let second: Vec<_> = (0..2).map(|_| throttle.admit(clock.monotonic())).collect();

        assert_eq!(first, [Some(0), Some(0), None, None, None]);
        assert_eq!(second, [Some(3), Some(0)]);
    }
}
