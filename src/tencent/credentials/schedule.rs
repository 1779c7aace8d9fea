//! When keys that end are renewed. Pure: both clocks and luck are arguments.
//!
//! Renewal begins while the last third of the life is still ahead, and at least ten minutes before the end where the
//! life is long enough, so that an outage of whoever hands out keys is nobody's outage.

use std::time::{Duration, Instant, SystemTime};

/// However long the life: so long before its end renewal has begun. A life that is not twice as long has half of it.
const LEAST_MARGIN: Duration = Duration::from_secs(10 * 60);

/// Whoever hands out keys may hand out the same one again, with less life left each time; so long is waited at least.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// The longest sleep. The machine may have been suspended meanwhile, or its clock set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// After the first failed attempt, doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// When the next attempt is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    renew_at: Option<SystemTime>,
    retry_at: Option<Instant>,
    failures: u32,
}

impl Schedule {
    /// Keys that end at `expires_at`, or never, are in force since `now`. `luck` is uniform in 0..1.
    pub(super) fn renewed(&mut self, expires_at: Option<SystemTime>, now: SystemTime, luck: f64) {
        *self = Self { renew_at: expires_at.map(|end| now + renew_in(life(end, now), luck)), ..Self::default() };
    }

    /// An attempt failed, and another may succeed.
    pub(super) fn failed(&mut self, now: Instant, luck: f64) {
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_RETRY);
        self.failures += 1;
        self.retry_at = Some(now + pause.mul_f64(0.5 + luck / 2.0));
    }

    /// An attempt failed, and so would another until somebody has mended what is wrong.
    pub(super) fn gave_up(&mut self) {
        *self = Self::default();
    }

    /// The time until it is worth looking again; zero where an attempt is due.
    pub(super) fn sleep(&self, wall: SystemTime, monotonic: Instant) -> Duration {
        let left = match (self.retry_at, self.renew_at) {
            (Some(retry_at), _) => retry_at.saturating_duration_since(monotonic),
            (None, Some(renew_at)) => life(renew_at, wall),
            (None, None) => LONGEST_SLEEP,
        };
        left.min(LONGEST_SLEEP)
    }
}

fn life(end: SystemTime, now: SystemTime) -> Duration {
    end.duration_since(now).unwrap_or_default()
}

/// The time from now until keys are renewed that live for `life` from now.
fn renew_in(life: Duration, luck: f64) -> Duration {
    let margin = (life / 3).max(LEAST_MARGIN.min(life / 2));
    let jitter = (life / 20).mul_f64(luck);
    (life - margin).saturating_sub(jitter).max(LEAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    const fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn renewal_begins_well_before_the_end() {
        for (life, renewed_in) in [
            (minutes(720), minutes(480)),
            (minutes(120), minutes(80)),
            (minutes(24), minutes(14)),
            (minutes(20), minutes(10)),
            (minutes(10), minutes(5)),
            (Duration::from_secs(4), Duration::from_secs(2)),
            (Duration::from_secs(1), Duration::from_secs(1)),
            (Duration::ZERO, Duration::from_secs(1)),
        ] {
            assert_eq!(renew_in(life, 0.0), renewed_in, "{life:?}");
        }
    }

    #[test]
    fn attempts_that_fail_are_repeated_ever_more_rarely_and_a_success_forgets_them() {
        let (wall, now) = (from_unix_seconds(1000), Clock::manual(from_unix_seconds(1000)).monotonic());
        let mut schedule = Schedule::default();

        let pauses: Vec<_> = (0..8)
            .map(|_| {
                schedule.failed(now, 1.0);
                schedule.retry_at.unwrap() - now
            })
            .collect();
        schedule.renewed(None, wall, 0.0);

        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs));
        assert_eq!(schedule.sleep(wall, now), LONGEST_SLEEP);
    }

    #[test]
    fn a_clock_that_steps_past_the_moment_makes_it_due() {
        let (wall, now) = (from_unix_seconds(1000), Clock::manual(from_unix_seconds(1000)).monotonic());
        let mut schedule = Schedule::default();
        schedule.renewed(Some(wall + minutes(120)), wall, 0.0);

        assert_eq!(schedule.sleep(wall, now), LONGEST_SLEEP);
        assert_eq!(schedule.sleep(wall + minutes(80), now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn whatever_the_life_and_the_luck_half_of_it_is_left_or_ten_minutes_and_nobody_hurries(
            life_s in 2_u64..100_000, luck in 0.0..1.0_f64,
        ) {
            let life = Duration::from_secs(life_s);

            let renewed_in = renew_in(life, luck);

            prop_assert!(renewed_in >= LEAST_PAUSE);
            prop_assert!(life - renewed_in >= LEAST_MARGIN.min(life / 2));
            prop_assert!(life - renewed_in >= life / 3);
        }
    }
}
