//! Real time: what is measured here lives in it.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Now.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; here alone")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "the thread has nothing else to do until then")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}
