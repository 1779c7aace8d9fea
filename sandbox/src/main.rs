//! The sandbox as a program: serves until a signal, or asks a running sandbox for a token.

mod command;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match command::run(command::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program that fails says why")]
            {
                eprintln!("sandbox: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
