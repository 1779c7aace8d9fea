//! Why there are no credentials, or no new ones. No text here repeats a value that was found.

use std::{io, path::PathBuf};

use crate::tencent::{endpoint::Endpoint, error::CallError};

/// Why there are no credentials, or no new ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing is there.
    #[error("no cloud credentials: {looked_for}")]
    Missing {
        /// What was looked for, and where.
        looked_for: String,
    },
    /// A value is there that cannot be one of the vendor's.
    #[error("{what} {problem}")]
    Invalid {
        /// The variable, or the member of the document and its file.
        what: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// The file is not the document that it should be.
    #[error("{path}:{line}:{column}: is not {{\"secret_id\": …, \"secret_key\": …, \"token\"?: …}} in JSON")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped in that line.
        column: usize,
    },
    /// The file is not the profile that it should be, nor begins like a JSON document.
    #[error("{path}:{line}: is neither [section] nor \"name = value\" for a name that was not given yet")]
    NotProfile {
        /// The file.
        path: PathBuf,
        /// The line that is wrong, from 1.
        line: usize,
    },
    /// The server's metadata service gave no key.
    #[error("the metadata service at {endpoint} {problem}")]
    Metadata {
        /// Where it was asked.
        endpoint: Endpoint,
        /// What it did instead.
        problem: MetadataProblem,
    },
    /// The file with the token of a cluster's identity cannot be read, or holds none.
    #[error("the identity token {path} cannot be read: {reason}")]
    IdentityToken {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// The token service gave no key.
    #[error("{action} at the token service failed: {error}")]
    Sts {
        /// What was asked of it.
        action: &'static str,
        /// What it did instead.
        error: CallError,
    },
}

/// What a metadata service does in place of handing out a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataProblem {
    /// The machine is no server of the vendor, or has no role.
    #[error("knows no role of this machine")]
    NoRole,
    /// It takes too long.
    #[error("does not answer in time")]
    Timeout,
    /// There is none, or the connection broke.
    #[error("cannot be reached")]
    Unreachable,
    /// It answers with this status.
    #[error("answers with status {0}")]
    Status(u16),
    /// It answers something else.
    #[error("answers with something that is no key")]
    Malformed,
}

impl CredentialsError {
    /// Whether the same attempt may succeed a little later. What is wrong with a file or a variable stays wrong until
    /// somebody mends it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Metadata { .. } | Self::IdentityToken { .. } | Self::Sts { .. })
    }
}
