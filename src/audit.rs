//! Who was given what: one record a decision, written before the answer leaves.
//!
//! It never decides and never drops: what cannot be written in time is an error, and the answer stays here.

mod record;
mod sink;

use std::time::Duration;

pub use record::{CacheUse, Decision, Record};
pub use sink::{Audit, AuditError};

/// What `[audit]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest that a record may take to be written before the answer becomes a 503.
    pub timeout: Duration,
}
