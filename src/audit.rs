//! Who was given what: one record a decision, written before the answer leaves.
//!
//! It never decides and never drops: what cannot be written in time is an error, and the answer stays here. What the
//! records look like and how they are checked is told in `docs/audit.md`.

mod chain;
mod find;
mod fingerprint;
mod key;
mod record;
mod sink;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use chain::{
    Hash, InvalidHash, Link, SegmentId,
    verify::{Broken, Flaw, Place, Unverified, Verified, Verifier},
};
pub use find::{Found, Search};
pub use fingerprint::{Fingerprints, Remembered};
pub use key::{Key, KeyError, KeyId, Keys};
pub use record::{CacheUse, Decision, Record};
pub use sink::{Audit, AuditError, Desk, KEY_FILE, OpenError, ReopenError, StartError};

/// What `[audit]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records go.
    pub sink: Sink,
    /// The longest that a record may take to be written before the answer becomes a 503.
    pub timeout: Duration,
}

/// Where the records go, and the file of the key that ties them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output. Without a key file the key is made at the start and gone at the end.
    Stdout {
        /// The file of the key.
        key_file: Option<PathBuf>,
    },
    /// A file, whose chain goes on over restarts.
    File {
        /// The file.
        path: PathBuf,
        /// The file of the key.
        key_file: PathBuf,
    },
}

impl Settings {
    /// The file of the key, where one is named.
    pub fn key_file(&self) -> Option<&Path> {
        match &self.sink {
            Sink::Stdout { key_file } => key_file.as_deref(),
            Sink::File { key_file, .. } => Some(key_file),
        }
    }
}
