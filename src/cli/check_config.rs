//! `check-config`: says yes, or everything that is wrong.

use super::{Outcome, output, report};
use crate::config::Loaded;

/// Looks at what a valid configuration refers to, and prints the configuration where that was asked for.
pub(super) fn run(loaded: &Loaded, print: bool) -> Outcome {
    let problems = loaded.check_files();
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
