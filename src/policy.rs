//! Permission: may this caller do this to that instance? Deny unless a policy allows.

use std::path::PathBuf;

/// What `[policy]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder whose `*.cedar` files are the policies.
    pub dir: PathBuf,
}
