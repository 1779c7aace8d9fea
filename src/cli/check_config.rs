//! `check-config`: says yes, or everything that is wrong.

use super::{Outcome, output, report};
use crate::{
    audit::Keys,
    cache::shared::Ring,
    config::Loaded,
    domain::Clock,
    identity::{Identity, IdentityError},
    policy::Policies,
};

/// Looks at what a valid configuration refers to, and prints the configuration where that was asked for.
pub(super) fn run(loaded: &Loaded, print: bool) -> Outcome {
    let mut problems = loaded.check_files();
    // A folder that is missing has been told already.
    if loaded.config.policy.dir.is_dir()
        && let Err(errors) = Policies::load(&loaded.config.policy.dir)
    {
        for error in errors.iter() {
            problems.push(loaded.problem("policy.dir", error.to_string()));
        }
    }
    if let Some(path) = loaded.config.audit.key_file().filter(|path| path.is_file())
        && let Err(error) = Keys::load(path)
    {
        problems.push(loaded.problem("audit.key_file", error.to_string()));
    }
    if let Some(path) = loaded.config.shared.as_ref().and_then(|shared| shared.encryption_key_file.as_deref())
        && path.is_file()
        && let Err(error) = Ring::load(path)
    {
        problems.push(loaded.problem("shared.encryption_key_file", error.to_string()));
    }
    if let Err(error) = Identity::new(&loaded.config.auth, Clock::machine()) {
        let key = match error {
            IdentityError::Revocations(_) => "auth.revoked_file",
            IdentityError::Roots { .. } | IdentityError::SecretFile { .. } | IdentityError::Secret { .. } => {
                "auth.issuers"
            }
        };
        problems.push(loaded.problem(key, error.to_string()));
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
