//! When to say that a certificate is about to end. Pure.
//!
//! Issuers of short certificates renew them at two thirds of their life, so a fifth is late; for long ones two weeks is
//! enough to do something about it, and a fifth of ten years would be noise.

use std::time::{Duration, SystemTime};

use super::certificate::Validity;

/// The longest before the end that anything is said.
const LONGEST_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The part of its life that a certificate must have left to be passed over in silence: one in so many.
const PART_OF_LIFE: u32 = 5;

/// How often it is said again.
const REPEAT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Remembers when it was said last.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    at: SystemTime,
    had_ended: bool,
}

impl Reminder {
    /// Whether it is time to say it, for the first time, once more, or because the certificate has ended since.
    pub(super) fn is_due(&mut self, validity: &Validity, now: SystemTime) -> bool {
        let notice = (validity.life() / PART_OF_LIFE).min(LONGEST_NOTICE);
        if now + notice < validity.not_after {
            self.said = None;
            return false;
        }
        let has_ended = validity.not_after < now;
        let is_known = self.said.as_ref().is_some_and(|said| {
            let since = now.duration_since(said.at).unwrap_or_default();
            since < REPEAT_AFTER && said.had_ended == has_ended
        });
        if !is_known {
            self.said = Some(Said { at: now, had_ended: has_ended });
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::from_unix_seconds;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    /// The hours, counted from the beginning, at which something is said while a certificate lives and for two days more.
    fn hours_said(life_days: u64) -> Vec<u64> {
        let begin = 1_700_000_000;
        let validity =
            Validity { not_before: from_unix_seconds(begin), not_after: from_unix_seconds(begin + life_days * DAY) };
        let mut reminder = Reminder::default();
        let hours = 0..(life_days + 2) * 24;
        hours.filter(|hour| reminder.is_due(&validity, from_unix_seconds(begin + hour * HOUR))).collect()
    }

    #[test]
    fn a_long_certificate_is_announced_daily_for_two_weeks_and_at_once_when_it_has_ended() {
        let said = hours_said(90);

        let before: Vec<u64> = (76..=90).map(|day| day * 24).collect();
        assert_eq!(said, [before, vec![90 * 24 + 1, 91 * 24 + 1]].concat());
    }

    #[test]
    fn a_short_certificate_is_announced_when_a_fifth_of_its_life_is_left() {
        let said = hours_said(1);

        assert_eq!(said, [20, 25, 49]);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_repeat_it() {
        let validity = Validity { not_before: from_unix_seconds(0), not_after: from_unix_seconds(90 * DAY) };
        let mut reminder = Reminder::default();

        let said = [80, 79, 80].map(|day| reminder.is_due(&validity, from_unix_seconds(day * DAY)));

        assert_eq!(said, [true, false, false]);
    }
}
