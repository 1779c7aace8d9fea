//! Lines for the person, or the script, that runs a command. Log lines of the running gateway are `telemetry`'s.

use std::io::{Write as _, stderr, stdout};

/// A line on standard output. A reader that has gone (`| head`) is no failure, which `println!` would make it.
pub(super) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// A line that was read somewhere, byte for byte.
pub(super) fn bytes(line: &[u8]) {
    let mut stdout = stdout().lock();
    let _ = stdout.write_all(line).and_then(|()| stdout.write_all(b"\n"));
}

/// A line on standard error.
pub(super) fn error(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
