//! The program: arguments in, one command, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    redis_backup_gateway::cli::run()
}
