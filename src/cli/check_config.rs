//! `check-config`: says yes, or everything that is wrong.

use super::{Outcome, output, report, setup};
use crate::{config::Loaded, server};

/// Looks at what a valid configuration refers to, with the eyes of a start, and prints the configuration where that was
/// asked for.
pub(super) fn run(loaded: &Loaded, print: bool) -> Outcome {
    let missing = loaded.check_files();
    let mut problems = missing.clone();
    for server::Failure { key, reason } in server::check_files(&setup(loaded.config.clone(), None)) {
        let key = key.expect("what is wrong with a file is about the key that names it");
        // A file that is missing has been told already.
        if !missing.iter().any(|problem| problem.key() == Some(key)) {
            problems.push(loaded.problem(key, reason));
        }
    }
    if !problems.is_empty() {
        report(&problems, true);
        return Outcome::No;
    }
    if print {
        output::line(loaded.print().trim_end());
    } else {
        output::line("configuration is valid");
    }
    Outcome::Done
}
