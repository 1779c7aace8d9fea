//! The commands of the program. It only wires: rules live in the rooms below.

mod audit;
mod authorize;
mod check_config;
mod health;
mod output;

use std::{path::PathBuf, process::ExitCode, sync::LazyLock};

use clap::{Parser, Subcommand};

use crate::{
    config::{self, Config, Loaded, Problems, Variables},
    server,
};

/// Hands out pre-signed download URLs of Redis backups at Tencent Cloud to callers who hold no cloud keys
#[derive(Parser)]
#[command(name = env!("CARGO_PKG_NAME"), version = version())]
#[command(after_help = "Exit codes: 0 done, 1 said no, 2 wrong usage or configuration.")]
struct Arguments {
    /// The configuration file; GATEWAY_CONFIG names it where this is left out
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM (what happens without a command)
    Serve,
    /// List every problem of the configuration, or say that it is valid
    CheckConfig {
        /// Print the configuration that is in force, each value with its origin, secrets masked
        #[arg(long)]
        print: bool,
    },
    /// Check the records of decisions, or search them
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Say what the policies decide about a caller, and which of them do
    Authorize(Box<authorize::Question>),
    /// Ask the admin listener of a running gateway whether it is alive, for container health checks
    Health,
}

/// What the server is made of: the configuration, and the file that it was read from.
fn setup(config: Config, file: Option<PathBuf>) -> server::Setup {
    let Config { server, cors, auth, policy, tencent, rate_limit, per_caller, cache, shared, audit, log, otlp } =
        config;
    server::Setup { file, server, cors, auth, policy, tencent, rate_limit, per_caller, cache, shared, audit, log, otlp }
}

/// What the caller of the program learns from its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Done.
    Done,
    /// The answer to the question is no.
    No,
    /// The usage or the configuration is wrong.
    Wrong,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::No => 1,
            Outcome::Wrong => 2,
        })
    }
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => return usage(&message).into(),
    };
    let variables = Variables::of_process();
    let file = arguments.config.or_else(|| variables.file());
    let loaded = config::load(file.as_deref(), &variables);
    match (arguments.command.unwrap_or(Command::Serve), loaded) {
        (Command::CheckConfig { print }, Ok(loaded)) => check_config::run(&loaded, print).into(),
        (Command::CheckConfig { .. }, Err(problems)) => {
            report(&problems, file.is_some());
            Outcome::No.into()
        }
        (Command::Serve, Ok(Loaded { config, .. })) => server::run(setup(config, file)),
        (Command::Audit { command }, Ok(Loaded { config, .. })) => audit::run(&command, config.audit.key_file()).into(),
        (Command::Authorize(question), Ok(Loaded { config, .. })) => authorize::run(&question, &config).into(),
        (Command::Health, Ok(Loaded { config, .. })) => health::run(config.server.admin_listen).into(),
        (Command::Serve | Command::Audit { .. } | Command::Authorize(_) | Command::Health, Err(problems)) => {
            report(&problems, file.is_some());
            Outcome::Wrong.into()
        }
    }
}

/// Help and version are asked for and go to standard output; a wrong usage goes to standard error.
fn usage(message: &clap::Error) -> Outcome {
    // Nobody is left to tell when the terminal is gone.
    let _ = message.print();
    if message.use_stderr() { Outcome::Wrong } else { Outcome::Done }
}

fn report(problems: &Problems, has_file: bool) {
    let count = problems.iter().count();
    let noun = if count == 1 { "problem" } else { "problems" };
    output::error(&format!("the configuration has {count} {noun}:"));
    for problem in problems.iter() {
        output::error(&format!("  {problem}"));
    }
    if !has_file {
        output::error("no configuration file was named; name one with --config FILE or GATEWAY_CONFIG");
    }
}

/// `0.1.0 (revision)`
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let revision = option_env!("GATEWAY_REVISION").unwrap_or("unknown");
        format!("{} ({revision})", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
