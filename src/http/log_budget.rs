//! Lines about strangers, at a bounded rate: whoever sends nonsense must not be able to fill the disk.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// One worker's budget of log lines.
#[derive(Debug, Default)]
pub struct LogBudget(Cell<Option<Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    written: u32,
    left_out: u64,
}

const WINDOW: Duration = Duration::from_secs(1);
const LINES_PER_WINDOW: u32 = 10;

impl LogBudget {
    /// Whether a line may be written, and how many were left out since the last one that was; nothing if it may not.
    pub(super) fn spend(&self, now: Instant) -> Option<u64> {
        let window = self.0.get().unwrap_or(Window { began: now, written: 0, left_out: 0 });
        let (window, verdict) = match window {
            Window { began, left_out, .. } if now.saturating_duration_since(began) >= WINDOW => {
                (Window { began: now, written: 1, left_out: 0 }, Some(left_out))
            }
            Window { written, left_out, .. } if written < LINES_PER_WINDOW => {
                (Window { written: written + 1, left_out: 0, ..window }, Some(left_out))
            }
            Window { left_out, .. } => (Window { left_out: left_out + 1, ..window }, None),
        };
        self.0.set(Some(window));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    #[test]
    fn so_many_lines_a_second_are_written_and_the_next_says_how_many_were_not() {
        let clock = Clock::manual(from_unix_seconds(0));
        let budget = LogBudget::default();
        let spend = || budget.spend(clock.monotonic());

        let first: Vec<_> = (0..15).map(|_| spend()).collect();
        clock.advance(WINDOW);
        let next = [spend(), spend()];

        assert_eq!(first[..10], [Some(0); 10]);
        assert_eq!(first[10..], [None; 5]);
        assert_eq!(next, [Some(5), Some(0)]);
    }
}
