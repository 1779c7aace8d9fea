//! Who was given what: one record a decision, written before the answer leaves.

use std::time::Duration;

/// What `[audit]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest that a record may take to be written before the answer becomes a 503.
    pub timeout: Duration,
}
