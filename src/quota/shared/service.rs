//! Whether the store does what the quota needs of it, going by its answers, and when to say that it does not.
//!
//! Pure: time is an argument. A store that is away is the business of whoever connects to it; this is about one that
//! answers.

use std::time::{Duration, Instant};

/// For so long a quota may be without a sign of life that was carried out: longer than any silence after which it goes
/// on by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is said again.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Service {
    /// When a sign of life was carried out last; in the beginning the beginning.
    renewed_at: Instant,
    failed_at: Option<Instant>,
    /// What was last said, and when.
    complaint: Option<(String, Instant)>,
}

impl Service {
    /// Nothing so far, at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { renewed_at: now, failed_at: None, complaint: None }
    }

    /// A sign of life was carried out.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.renewed_at = now;
    }

    /// A script failed, or answered what it cannot. Whether to say so: where the reason is another than before, and now
    /// and again.
    pub(super) fn failed(&mut self, reason: &str, now: Instant) -> bool {
        self.failed_at = Some(now);
        let is_said = self
            .complaint
            .as_ref()
            .is_some_and(|(said, at)| said == reason && now.saturating_duration_since(*at) < COMPLAIN_EVERY);
        if !is_said {
            self.complaint = Some((reason.to_owned(), now));
        }
        !is_said
    }

    /// Whether the quota is that of all. Not where signs of life, or wishes for tokens, have failed of late.
    pub(super) fn is_shared(&self, now: Instant) -> bool {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < PATIENCE;
        is_recent(self.renewed_at) && !self.failed_at.is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    #[test]
    fn a_quota_without_a_sign_of_life_for_seconds_is_not_shared_until_there_is_one() {
        let start = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut service = Service::new(start);

        let before = [Duration::ZERO, PATIENCE - Duration::from_millis(1), PATIENCE].map(|after| start + after);
        let before = before.map(|at| service.is_shared(at));
        service.renewed(start + PATIENCE);

        assert_eq!(before, [true, true, false]);
        assert!(service.is_shared(start + PATIENCE));
    }

    #[test]
    fn a_script_that_fails_shows_for_seconds_whatever_is_renewed() {
        let start = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut service = Service::new(start);

        service.failed("it fails", start);
        service.renewed(start + PATIENCE);

        assert!(!service.is_shared(start + PATIENCE - Duration::from_millis(1)));
        assert!(service.is_shared(start + PATIENCE));
    }

    #[test]
    fn the_same_reason_is_said_once_a_minute_and_another_at_once() {
        let start = Clock::manual(from_unix_seconds(0)).monotonic();
        let mut service = Service::new(start);
        let mut said = |reason, after: u64| service.failed(reason, start + Duration::from_secs(after));

        assert_eq!([said("a", 0), said("a", 59), said("a", 60), said("b", 61)], [true, false, true, true]);
    }
}
