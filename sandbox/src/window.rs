//! The vendor's limit: so many arrivals of one (sub-account, host, action) in any rolling second.
//!
//! Pure: the arrival times are arguments. It never decides what is one bucket; its keeper does.
//! A rolling second is half open: two arrivals exactly one second apart do not share one. The vendor says that the
//! first 20 of a second pass; whether refused calls count too is unknown, so that is a switch.

use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What became of one arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the limit lets this arrival through.
    pub(crate) passes: bool,
    /// Arrivals in the rolling second that ends with this one, itself and refused ones included: the number that
    /// the vendor's message names.
    pub(crate) in_this_second: usize,
}

/// The arrivals of the last second, and the largest second seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct RollingSecond {
    all: VecDeque<Duration>,
    counting: VecDeque<Duration>,
    largest: usize,
}

impl RollingSecond {
    /// Counts an arrival at `at` (time since the start, not before the last one) and judges it by `limit` a second.
    pub(crate) fn arrive(&mut self, at: Duration, limit: usize, count_refused: bool) -> Verdict {
        forget_before(&mut self.all, at);
        forget_before(&mut self.counting, at);
        self.all.push_back(at);
        self.largest = self.largest.max(self.all.len());

        let passes = self.counting.len() < limit;
        if passes || count_refused {
            self.counting.push_back(at);
        }
        Verdict { passes, in_this_second: self.all.len() }
    }

    /// The most arrivals that any rolling second held, refused ones included.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Starts looking for the largest second anew, without forgetting the second that is under way.
    pub(crate) fn forget_largest(&mut self) {
        self.largest = 0;
    }
}

fn forget_before(arrivals: &mut VecDeque<Duration>, at: Duration) {
    while arrivals.front().is_some_and(|first| at.saturating_sub(*first) >= SECOND) {
        arrivals.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_twenty_of_a_second_pass_and_the_next_is_refused() {
        let mut second = RollingSecond::default();

        let verdicts: Vec<_> = (0..21).map(|n| second.arrive(ms(n), 20, false)).collect();

        assert!(verdicts[..20].iter().all(|v| v.passes));
        assert_eq!(verdicts[20], Verdict { passes: false, in_this_second: 21 });
    }

    #[test]
    fn an_arrival_exactly_one_second_later_is_in_another_second() {
        let mut second = RollingSecond::default();
        second.arrive(ms(0), 1, false);

        let just_before = second.arrive(ms(999), 1, false);
        let on_the_second = second.arrive(ms(1000), 1, false);

        assert!(!just_before.passes);
        assert!(on_the_second.passes);
    }

    #[test]
    fn a_refused_arrival_counts_against_the_limit_only_when_asked() {
        let mut lenient = RollingSecond::default();
        let mut hostile = RollingSecond::default();
        for at in [0, 600] {
            lenient.arrive(ms(at), 1, false);
            hostile.arrive(ms(at), 1, true);
        }

        let after_a_second = (lenient.arrive(ms(1100), 1, false), hostile.arrive(ms(1100), 1, true));

        assert!(after_a_second.0.passes);
        assert!(!after_a_second.1.passes);
    }

    proptest! {
        #[test]
        fn the_largest_second_is_that_of_a_full_count(mut at in prop::collection::vec(0u64..5_000, 1..200)) {
            at.sort_unstable();
            let mut second = RollingSecond::default();

            let passed: Vec<u64> = at.iter().copied().filter(|at| second.arrive(ms(*at), 20, false).passes).collect();

            let count = |of: &[u64], end: u64| of.iter().filter(|x| **x <= end && end - **x < 1000).count();
            prop_assert_eq!(second.largest(), at.iter().map(|end| count(&at, *end)).max().unwrap_or(0));
            prop_assert!(passed.iter().all(|end| count(&passed, *end) <= 20));
        }
    }
}
