//! The sandbox's clock: the one room that asks the machine for the time.
//!
//! Everything else takes time as an argument, so that the rolling second, signatures and expiry are tested without
//! waiting. The skew of the cloud is not kept here but in the settings: it is added by whoever plays the cloud.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells monotonic time since the start of a sandbox, and the machine's wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// Starts the monotonic clock at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the sandbox's clock room")]
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start, never going back.
    #[expect(clippy::disallowed_methods, reason = "this is the sandbox's clock room")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }

    /// The machine's wall clock in whole seconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the sandbox's clock room")]
    pub(crate) fn unix_now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default()
    }
}
