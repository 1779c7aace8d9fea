//! The commands of the program.

mod serve;
mod token;

use std::io::{self, Write as _};

use clap::{Parser, Subcommand};
use sandbox::credential;

/// A loopback-only stand-in for Tencent Cloud and an OIDC issuer.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM.
    Serve(serve::Serve),
    /// Print a token of a running sandbox.
    Token(token::Token),
    /// Print the fake cloud key as environment lines.
    Credentials,
}

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> io::Result<()> {
    match arguments.command {
        Command::Serve(serve) => serve.run(),
        Command::Token(token) => token.run(),
        Command::Credentials => say(&format!(
            "TENCENTCLOUD_SECRET_ID={}\nTENCENTCLOUD_SECRET_KEY={}",
            credential::SECRET_ID,
            credential::SECRET_KEY
        )),
    }
}

/// Prints a line at once, so that a reader at the other end of a pipe sees it.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Reads `90s`, `15m`, `6h`, or plain seconds, which may be negative.
fn seconds(text: &str) -> Result<i64, String> {
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("expected a number and s, m or h".into()),
    };
    let count: i64 = digits.parse().map_err(|_| "expected a number and s, m or h".to_owned())?;
    count.checked_mul(unit).ok_or_else(|| "too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("-30s"), Ok(-30));
        assert_eq!(seconds("6h"), Ok(21_600));
        assert!(seconds("6hh").is_err() && seconds("h").is_err() && seconds("6d").is_err());
    }
}
