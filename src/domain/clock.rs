//! The one room that may ask the machine for the time.
//!
//! Everything else takes a [`Clock`], or better, an instant as an argument; `clippy.toml` bans the rest.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Wall-clock and monotonic time, from the machine or moved by hand.
///
/// Wall-clock time says when a signed URL dies and may step either way; monotonic time measures waiting and never
/// steps. They are asked for apart so that no rule mixes them.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Machine,
    Manual(Arc<Mutex<Manual>>),
}

struct Manual {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clock {
    /// The machine's clock.
    pub fn machine() -> Self {
        Self(Source::Machine)
    }

    /// A clock that stands at `wall` until it is moved, for tests.
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin than now")]
    pub fn manual(wall: SystemTime) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(Manual { wall, monotonic: Instant::now() }))))
    }

    /// The time of day, for lifetimes and signatures.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Source::Machine => SystemTime::now(),
            Source::Manual(manual) => manual.lock().unwrap_or_else(PoisonError::into_inner).wall,
        }
    }

    /// Monotonic time, for waits and deadlines.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            Source::Machine => Instant::now(),
            Source::Manual(manual) => manual.lock().unwrap_or_else(PoisonError::into_inner).monotonic,
        }
    }

    /// Lets `by` pass on both clocks of a manual clock; the machine's clock does not obey.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            let mut manual = manual.lock().unwrap_or_else(PoisonError::into_inner);
            manual.wall += by;
            manual.monotonic += by;
        }
    }

    /// Steps the wall clock alone of a manual clock, as an operator or NTP does.
    pub fn step_wall_to(&self, wall: SystemTime) {
        if let Source::Manual(manual) = &self.0 {
            manual.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Machine => "Clock(machine)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// Seconds since the Unix epoch; a clock before 1970 reads as zero.
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The moment `seconds` after the Unix epoch, for numbers that are ours or bounded before.
///
/// # Panics
///
/// Where there is no such moment: what others say is for [`checked_from_unix_seconds`].
pub fn from_unix_seconds(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The moment `seconds` after the Unix epoch, where it is one that RFC 3339 can say, the year 9999 at most. So whoever
/// adds a life or a margin to it meets no end of the clock either.
pub fn checked_from_unix_seconds(seconds: u64) -> Option<SystemTime> {
    (seconds <= LAST_OF_9999.unsigned_abs()).then(|| from_unix_seconds(seconds))
}

/// The last second that a year of four digits has.
const LAST_OF_9999: i64 = 253_402_300_799;

/// RFC 3339 in UTC with whole seconds, for example `2019-03-07T16:02:03Z`.
///
/// A moment that the calendar cannot express (before 1970, after year 9999) is clamped to the nearest that it can.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = i64::try_from(unix_seconds(time)).unwrap_or(LAST_OF_9999).min(LAST_OF_9999);
    let date = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// The same with milliseconds, for records: `2019-03-07T16:02:03.004Z`.
pub fn rfc3339_millis(time: SystemTime) -> String {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    let mut text = rfc3339(time);
    text.truncate(text.len() - 1);
    format!("{text}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_whole_seconds() {
        assert_eq!(rfc3339(from_unix_seconds(1_551_974_523)), "2019-03-07T16:02:03Z");
        assert_eq!(
            rfc3339_millis(from_unix_seconds(1_551_974_523) + Duration::from_micros(4_999)),
            "2019-03-07T16:02:03.004Z"
        );
    }

    #[test]
    fn what_the_calendar_cannot_say_is_clamped() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(from_unix_seconds(999_999_999_999)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_others_call_a_moment_is_one_or_nothing() {
        assert_eq!(checked_from_unix_seconds(0), Some(SystemTime::UNIX_EPOCH));
        assert_eq!(checked_from_unix_seconds(253_402_300_799), Some(from_unix_seconds(253_402_300_799)));
        assert_eq!([253_402_300_800, i64::MAX as u64, u64::MAX].map(checked_from_unix_seconds), [None; 3]);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(from_unix_seconds(100));
        let (wall, monotonic) = (clock.wall(), clock.monotonic());

        clock.advance(Duration::from_secs(5));
        clock.step_wall_to(from_unix_seconds(50));

        assert_eq!(wall, from_unix_seconds(100));
        assert_eq!(clock.wall(), from_unix_seconds(50));
        assert_eq!(clock.monotonic() - monotonic, Duration::from_secs(5));
    }
}
