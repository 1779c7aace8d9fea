//! When the next tokens will come, as far as the last ones tell: a guess, for whoever wants to know how long to wait.

use std::time::{Duration, Instant};

/// The longest distance between two grants that is believed.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// What the last grants were like.
#[derive(Debug)]
pub(super) struct Forecast {
    /// The distance between grants where nobody else wants any.
    interval: Duration,
    /// When the last token may be used that was granted.
    last_due: Instant,
    /// How far apart our grants are while others want some, too.
    gap: Duration,
}

impl Forecast {
    /// Nothing so far.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, last_due: now, gap: interval }
    }

    /// Learns from a wish for `wanted` tokens that brought `granted`, the last of them to be used from `last_due` on.
    pub(super) fn learn(&mut self, wanted: usize, granted: usize, last_due: Instant, now: Instant) {
        if granted == 0 {
            return;
        }
        if granted == wanted && last_due <= now {
            self.gap = self.interval;
        } else if self.last_due + LONGEST_GAP > now {
            let apart = last_due.saturating_duration_since(self.last_due) / granted as u32;
            self.gap = (self.gap * 3 + apart.clamp(self.interval, LONGEST_GAP)) / 4;
        }
        self.last_due = last_due;
    }

    /// When a token will be there for somebody who has `beyond` others before them that nothing is granted to so far.
    pub(super) fn due(&self, beyond: usize, ask_again_at: Instant, now: Instant) -> Instant {
        let next = if self.last_due > now { self.last_due + self.gap } else { now };
        next.max(ask_again_at) + self.gap * beyond as u32
    }
}
