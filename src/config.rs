//! Configuration: what was written, with the place of every value, becomes what it means, valid by type.
//!
//! One TOML file over built-in defaults, under environment variables. It never stops at the first mistake, and nothing
//! in here holds a secret: keys to the cloud stand elsewhere. The reasons are in `docs/adr/0005-configuration.md`.

mod environment;
mod field;
mod files;
mod keys;
mod print;
mod problem;
mod raw;
#[cfg(test)]
mod reference;
mod section;
mod shape;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use environment::Variables;
pub use problem::{Origin, Problem, Problems};

use crate::{
    audit, cache, http::cors, identity, policy, quota, server, store, telemetry, tencent, traces::CollectorUrl,
};
use problem::Notes;
use raw::Table;

/// What the configuration means. A value of this type has passed every check that needs no file and no network.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: server::Settings,
    /// `[cors]`
    pub cors: cors::Settings,
    /// `[auth]`
    pub auth: identity::Settings,
    /// `[policy]`
    pub policy: policy::Settings,
    /// `[tencent]`
    pub tencent: tencent::Settings,
    /// `[rate_limit]`
    pub rate_limit: quota::Limits,
    /// `[rate_limit.per_caller]`
    pub per_caller: quota::CallerLimits,
    /// `[cache]`
    pub cache: cache::Rules,
    /// `[shared]`; nothing where no store is named.
    pub shared: Option<store::Settings>,
    /// `[audit]`
    pub audit: audit::Settings,
    /// `[log]`
    pub log: telemetry::Settings,
    /// `log.otlp_endpoint`
    pub otlp: Option<CollectorUrl>,
}

/// A valid configuration, together with what was written and where.
pub struct Loaded {
    /// What it means.
    pub config: Config,
    written: Table,
}

/// Reads `file`, if one is named, over the defaults and under `variables`.
///
/// Errs with every problem of both at once. When the file cannot be read or is not TOML, what its values mean is
/// unknown, so of the rest only the problems of the variables are reported.
pub fn load(file: Option<&Path>, variables: &Variables) -> Result<Loaded, Problems> {
    let notes = Notes::default();
    let mut written = file.and_then(|path| raw::read_file(path, &notes)).unwrap_or_default();
    let file_problems = notes.take();

    raw::overlay(&mut written, environment::read(variables, &notes));
    shape::check(&mut written, &notes);
    keys::fill_defaults(&mut written);
    let config = section::read(&written, &notes);

    let mut problems = notes.take();
    if !file_problems.is_empty() {
        problems.retain(|problem| matches!(problem.origin(), Some(Origin::Variable(_))));
        problems.splice(0..0, file_problems);
    }
    match config {
        Ok(config) if problems.is_empty() => Ok(Loaded { config, written }),
        _ => Err(Problems::from(problems)),
    }
}

impl Loaded {
    /// The effective configuration as TOML that can be read back, each value with its origin in a comment.
    ///
    /// There is nothing to mask: no key takes a secret, and a URL with a password in it is refused.
    pub fn print(&self) -> String {
        print::print(&self.written)
    }

    /// Looks at the files that the configuration names: which are missing, of the wrong kind, or not readable.
    pub fn check_files(&self) -> Problems {
        let notes = Notes::default();
        files::check(&self.written, &self.config, &notes);
        Problems::from(notes.take())
    }

    /// A problem with the value of `key` (a dotted path, without list indices) that only its own room could find,
    /// such as a policy that does not parse. `message` says what would be right.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let origin = raw::find(&self.written, key).map(|node| node.origin.clone());
        Problem::new(Some(key.to_owned()), origin, message.into())
    }
}
