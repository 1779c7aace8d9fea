//! Which traces are kept: a pure rule over what is known of a request when it has ended.
//!
//! Whoever is told beforehand to keep every tenth request keeps every tenth failure. Here nobody further on has to be
//! told, for the cloud is sent no trace, so it is decided at the end: what is rare is kept, what happens thousands of
//! times a second is kept a few times a second.

use std::time::{Duration, Instant};

use crate::domain::TraceParent;

/// Traces of hits and refusals that a worker keeps in a second where nobody asked for them.
const UNASKED_PER_SECOND: u32 = 10;

/// Traces of hits and refusals that a worker keeps in a second of callers who sample them. An exporter that had to keep
/// up with whatever callers ask for would take the time of those who are served.
const ASKED_PER_SECOND: u32 = 100;

/// What is known of a request that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Worth {
    /// The caller samples its trace.
    pub(super) is_asked_for: bool,
    /// There is a verified caller; what strangers ask for counts as unasked.
    pub(super) is_vouched_for: bool,
    /// The upstream had a part in it, or it went wrong.
    pub(super) is_remarkable: bool,
}

/// What becomes of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is exported.
    Kept,
    /// It is one of many like it, and nobody misses it.
    PassedOver,
    /// Somebody asked for it, and does not get it.
    Dropped,
}

/// What a worker may still keep in this second.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    unasked: Budget,
    asked: Budget,
}

#[derive(Debug, Default)]
struct Budget {
    second_began: Option<Instant>,
    used: u32,
}

/// Whether anything of a request is recorded. A caller who says that its trace is not sampled means this part, too.
pub(super) fn is_recorded(parent: Option<&TraceParent>) -> bool {
    parent.is_none_or(|parent| parent.is_sampled)
}

impl Sampler {
    /// What becomes of a trace of this worth that ends at `now`.
    pub(super) fn judge(&mut self, worth: Worth, now: Instant) -> Fate {
        if worth.is_remarkable && worth.is_vouched_for {
            return Fate::Kept;
        }
        if worth.is_asked_for && worth.is_vouched_for {
            return if self.asked.take(ASKED_PER_SECOND, now) { Fate::Kept } else { Fate::Dropped };
        }
        if self.unasked.take(UNASKED_PER_SECOND, now) { Fate::Kept } else { Fate::PassedOver }
    }
}

impl Budget {
    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let is_over = |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(1);
        if self.second_began.is_none_or(is_over) {
            *self = Self { second_began: Some(now), used: 0 };
        }
        self.used += 1;
        self.used <= per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    const HIT: Worth = Worth { is_asked_for: false, is_vouched_for: true, is_remarkable: false };

    fn fates(sampler: &mut Sampler, worth: Worth, count: u32, now: Instant) -> [usize; 3] {
        let fates: Vec<_> = (0..count).map(|_| sampler.judge(worth, now)).collect();
        [Fate::Kept, Fate::PassedOver, Fate::Dropped].map(|fate| fates.iter().filter(|seen| **seen == fate).count())
    }

    #[test]
    fn what_is_rare_is_kept_and_what_is_common_is_kept_now_and_then() {
        let clock = Clock::manual(from_unix_seconds(0));
        let mut sampler = Sampler::default();
        let remarkable = Worth { is_remarkable: true, ..HIT };
        let asked = Worth { is_asked_for: true, ..HIT };

        for _ in 0..3 {
            let now = clock.monotonic();
            assert_eq!(fates(&mut sampler, remarkable, 1000, now), [1000, 0, 0]);
            assert_eq!(fates(&mut sampler, HIT, 1000, now), [10, 990, 0]);
            assert_eq!(fates(&mut sampler, asked, 1000, now), [100, 0, 900]);
            clock.advance(Duration::from_secs(1));
        }
    }

    #[test]
    fn a_stranger_gets_no_more_than_others_by_asking_or_by_failing() {
        let clock = Clock::manual(from_unix_seconds(0));
        let mut sampler = Sampler::default();
        let stranger = Worth { is_asked_for: true, is_vouched_for: false, is_remarkable: true };

        assert_eq!(fates(&mut sampler, stranger, 1000, clock.monotonic()), [10, 990, 0]);
    }
}
