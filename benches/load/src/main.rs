//! The gateway under load, beside a bare actix-web server that answers the same bytes.
//!
//! Whatever is compared here is measured in one run, in rounds that take turns: a machine that is slow for a minute is
//! slow for both. `docs/performance.md` says what each row means and what it cannot say.

mod bare;
mod burst;
mod client;
mod collector;
mod figures;
mod haproxy;
mod instructions;
mod machine;
mod pem;
mod process;
mod rows;
mod stage;
mod time;
mod tls;
mod wrk;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;

use crate::rows::Row;

/// The gateway's, so that the yardstick, which is this program, too, has no other. It holds so little at once that its own
/// hit costs the same with glibc's: the comparison is fair by either, and this one leaves nothing to ask.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures the rows that are named, or all of them, and prints the table.
    Rows(Measure),
    /// Counts the instructions of a hit in valgrind, and fails where they are more than is allowed.
    Instructions(instructions::Arguments),
    /// Serves what standard input says, and nothing else: the yardstick. The rows start it by themselves.
    Bare(bare::Arguments),
}

#[derive(Args)]
struct Measure {
    /// The gateway's program, as it is released.
    #[arg(long)]
    gateway: PathBuf,
    /// Rounds of each comparison; they take turns.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of load in a round.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// The rows; all of them unless some are named, HAProxy's only where it is installed.
    #[arg(value_enum)]
    rows: Vec<Row>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Rows(measure) => self::measure(&measure),
        Command::Instructions(arguments) => instructions::run(&arguments),
        Command::Bare(arguments) => bare::run(&arguments).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program that fails says why")]
            {
                eprintln!("load: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn measure(measure: &Measure) -> Result<()> {
    let mut rows = if measure.rows.is_empty() { Row::USUAL.to_vec() } else { measure.rows.clone() };
    match haproxy::version() {
        _ if !measure.rows.is_empty() => {}
        Some(_) => rows.push(Row::Haproxy),
        None => say("HAProxy is not installed, so it is not measured: `make bench ROWS=haproxy` installs it.")?,
    }
    let gateway = std::fs::canonicalize(&measure.gateway)?;
    let plan = rows::Plan { gateway: &gateway, rounds: measure.rounds, seconds: measure.seconds };
    say(&machine::description(&gateway))?;
    say(&figures::header())?;
    for row in rows {
        for figure in row.measure(&plan).map_err(|error| format!("{row:?}: {error}"))? {
            say(&figure.to_string())?;
        }
    }
    Ok(())
}

/// A line of the result.
fn say(line: &str) -> io::Result<()> {
    use io::Write as _;
    writeln!(io::stdout().lock(), "{line}")
}
