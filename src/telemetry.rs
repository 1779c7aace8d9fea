//! What the process tells its operator: log lines to standard error.
//!
//! No line carries a token, a secret, a signature or a signed URL: those types do not print themselves. Nobody waits for
//! whoever reads the lines, but the end of the process, for a moment.

mod outlet;

use std::{
    io::{self, IsTerminal as _},
    panic,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt as _};

use self::outlet::{MOST_WAITING_BYTES, Outlet, StandardError};

/// What `[log]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A level (`info`) or a filter in the form of `tracing_subscriber`'s `EnvFilter`.
    pub level: String,
    /// How a line looks.
    pub format: Format,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is no filter.
    #[error("log.level is not a level or a filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("logging was started twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// There is no thread to write the lines.
    #[error("the log has no thread: {0}")]
    Thread(io::Error),
}

/// How long the last lines may take to be read. Where nobody reads them, they are not worth a late restart.
const LAST_LINES: Duration = Duration::from_secs(1);

static OUTLET: OnceLock<Arc<Outlet>> = OnceLock::new();

static PANICS: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

static LOST_LINES: OnceLock<Box<dyn Fn(u64) + Send + Sync>> = OnceLock::new();

/// Some targets are left out unless they are asked for by name: what the web server says of itself (its account of its
/// start, and a line at `error` for every message that is not HTTP, with which a stranger could fill the disk), and the
/// access log.
fn filter(level: &str) -> String {
    let mut filter = level.to_owned();
    for (target, least) in [("actix_server", "warn"), ("actix_http", "off"), ("access", "off")] {
        if !level.contains(target) {
            filter.push_str(&format!(",{target}={least}"));
        }
    }
    filter
}

/// Starts logging for the whole process, panics included: a panic is told by its place alone. What it says may be the
/// value that should not have been there.
///
/// # Errors
///
/// When the level is no filter, logging was started before, or the system has no more threads.
pub fn start(settings: &Settings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter(&settings.level))?;
    let outlet = Outlet::start(StandardError, MOST_WAITING_BYTES, lose, |lines| {
        tracing::warn!(lines, "lines of the log were lost: nobody took them in time");
    });
    let outlet = outlet.map_err(TelemetryError::Thread)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::clone(&outlet));
    let as_json = match settings.format {
        Format::Auto => !io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    if as_json {
        builder.json().flatten_event(true).finish().try_init()?;
    } else {
        builder.with_ansi(io::stderr().is_terminal()).finish().try_init()?;
    }
    // Who starts twice has failed already.
    let _ = OUTLET.set(outlet);
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, thread = thread::current().name(), "panicked");
        if let Some(count) = PANICS.get() {
            count();
        }
    }));
    Ok(())
}

/// From now on `count` is called at each panic of the process, once logging has been started. It must not panic. The
/// first who counts is the only one.
pub fn count_panics(count: impl Fn() + Send + Sync + 'static) {
    // Whoever comes later would count the same panics.
    let _ = PANICS.set(Box::new(count));
}

/// The same for lines that are lost, with their number. It must neither panic nor log.
pub fn count_lost_lines(count: impl Fn(u64) + Send + Sync + 'static) {
    // Whoever comes later would count the same lines.
    let _ = LOST_LINES.set(Box::new(count));
}

fn lose(lines: u64) {
    if let Some(count) = LOST_LINES.get() {
        count(lines);
    }
}

/// Waits for a moment until the lines that have been logged are written, and says whether they are: where nobody reads
/// standard error, whoever writes to it otherwise would wait for ever.
pub fn flush() -> bool {
    OUTLET.get().is_none_or(|outlet| outlet.flush(LAST_LINES))
}

/// While this is there, the last lines get out, also where a panic ends the process.
#[derive(Debug, Default)]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        // They have had their moment.
        let _ = flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_targets_are_left_out_unless_asked_for() {
        assert_eq!(filter("info"), "info,actix_server=warn,actix_http=off,access=off");
        assert_eq!(filter("debug,actix_http=debug"), "debug,actix_http=debug,actix_server=warn,access=off");
        assert_eq!(filter("info,access=info"), "info,access=info,actix_server=warn,actix_http=off");
    }
}
