//! Lines for the person, or the script, that runs a command. Log lines of the running gateway are `telemetry`'s.

use std::io::{Write as _, stderr, stdout};

/// A line on standard output. A reader that has gone (`| head`) is no failure, which `println!` would make it.
pub(super) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// A line on standard error.
pub(super) fn error(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
