//! The cloud keys, from wherever the operator put them: the order of the vendor's SDKs, and a role on top.
//!
//! They never leave this room but as a [`Credentials`] snapshot, and no error here repeats a value.
//! `docs/credentials.md` is the operator's side of it.

mod asks;
mod chain;
mod document;
mod env;
mod error;
mod file;
mod metadata;
mod role;
mod schedule;
mod store;
mod sts;
mod tke_oidc;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, time::SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

pub use error::{CredentialsError, MetadataProblem};
pub use role::{InvalidRoleArn, RoleArn};
pub use store::{Change, CredentialStore, Refresher};

use super::endpoint::Endpoint;
use file::WatchedFile;

/// What `[tencent.credentials]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the keys come from.
    pub source: Source,
    /// A role that is assumed with them; its keys are used then.
    pub assume_role: Option<RoleArn>,
    /// The metadata service of the server that the gateway runs on.
    pub metadata: Endpoint,
    /// The token service, for roles.
    pub sts: Endpoint,
}

/// Where the cloud credentials come from (`tencent.credentials.source`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first that is there: the environment, a file, the server's role, a cluster's identity.
    Auto {
        /// `tencent.credentials.file`; where none is named, the profile of the vendor's tools.
        file: Option<PathBuf>,
    },
    /// `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, `TENCENTCLOUD_TOKEN`.
    Env,
    /// A JSON document or a profile, re-read when it changes.
    File(PathBuf),
    /// The role of the server that the gateway runs on, from its metadata service.
    CvmRole,
    /// The identity that a Kubernetes cluster of the vendor gives to a pod, exchanged for keys.
    TkeOidc,
}

/// One generation of keys. A call takes one snapshot and uses nothing else, so that a rotation cannot mix an old id
/// with a new key.
pub struct Credentials {
    secret_id: SecretString,
    secret_key: SecretString,
    token: Option<SecretString>,
    expires_at: Option<SystemTime>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Source::Auto { file: None },
            assume_role: None,
            metadata: Endpoint::metadata(),
            sts: Endpoint::sts(),
        }
    }
}

/// Whether the file that the settings name, where they name one, holds credentials. Blocks on the disk.
///
/// # Errors
/// What is wrong with the file.
pub fn check_file(settings: &Settings) -> Result<(), CredentialsError> {
    match &settings.source {
        Source::File(path) | Source::Auto { file: Some(path) } => WatchedFile::open(path).map(drop),
        Source::Auto { file: None } | Source::Env | Source::CvmRole | Source::TkeOidc => Ok(()),
    }
}

impl Credentials {
    /// A snapshot of these values, blanks and line ends around them removed. An empty token is no token.
    ///
    /// # Errors
    /// Where a value is empty or holds blanks, control characters or non-ASCII inside: the vendor would refuse each
    /// call with a signature failure that names no cause. `origin` says in the error where the value stands.
    fn new(
        secret_id: &SecretString,
        secret_key: &SecretString,
        token: Option<&SecretString>,
        origin: impl Fn(Member) -> String,
    ) -> Result<Self, CredentialsError> {
        let clean = |member: Member, value: &SecretString| {
            let value = value.expose_secret().trim();
            let problem = if value.is_empty() {
                "is empty"
            } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                "holds a blank, a control character or a non-ASCII character"
            } else {
                return Ok(SecretString::from(value));
            };
            Err(CredentialsError::Invalid { what: origin(member), problem })
        };
        let token = token.filter(|token| !token.expose_secret().trim().is_empty());
        Ok(Self {
            secret_id: clean(Member::SecretId, secret_id)?,
            secret_key: clean(Member::SecretKey, secret_key)?,
            token: token.map(|token| clean(Member::Token, token)).transpose()?,
            expires_at: None,
        })
    }

    /// The same as temporary ones.
    fn until(self, expires_at: SystemTime) -> Self {
        Self { expires_at: Some(expires_at), ..self }
    }

    /// The key's id, printable ASCII. It is sent in the clear, and still names an account: not for logs.
    pub fn secret_id(&self) -> &str {
        self.secret_id.expose_secret()
    }

    /// The key that signs.
    pub fn secret_key(&self) -> &SecretString {
        &self.secret_key
    }

    /// The token that goes with a temporary key, printable ASCII.
    pub fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    /// When a temporary key ends (`gateway_credentials_expiry_timestamp_seconds`); nothing for a permanent one.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// Whether the key is of no use any more.
    pub fn have_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    fn exposed(&self) -> (&str, &str, Option<&str>) {
        (self.secret_id(), self.secret_key.expose_secret(), self.token.as_ref().map(ExposeSecret::expose_secret))
    }

    /// Whether both are the same key, whenever it ends.
    fn are_the_same_as(&self, other: &Self) -> bool {
        self.exposed() == other.exposed()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The parts of a credential.
#[derive(Clone, Copy)]
enum Member {
    SecretId,
    SecretKey,
    Token,
}

impl Member {
    /// The name in a file.
    fn in_file(self) -> &'static str {
        match self {
            Self::SecretId => "secret_id",
            Self::SecretKey => "secret_key",
            Self::Token => "token",
        }
    }
}

/// For members of JSON that are secrets from the moment when they are read.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}
