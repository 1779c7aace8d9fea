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

    /// Learns from a wish at `asked_at` that brought so many tokens, the last of them to be used from `last_due` on.
    ///
    /// Whoever waits asks when its last token is used up, so that the time from there is the distance. The time from the
    /// token before would count silences, too, and those are over.
    pub(super) fn learn(&mut self, granted: usize, last_due: Instant, asked_at: Instant) {
        if granted == 0 {
            return;
        }
        let apart = last_due.saturating_duration_since(asked_at) / granted as u32;
        self.gap = (self.gap * 3 + apart.clamp(self.interval, LONGEST_GAP)) / 4;
        self.last_due = last_due;
    }

    /// When a token will be there for somebody who has `beyond` others before them that nothing is granted to so far.
    pub(super) fn due(&self, beyond: usize, ask_again_at: Instant, now: Instant) -> Instant {
        let next = if self.last_due > now { self.last_due + self.gap } else { now };
        next.max(ask_again_at) + self.gap * beyond as u32
    }
}
