//! The cloud keys, read from where the operator put them.
//!
//! They never leave this room but as a [`Credentials`] snapshot, and no error here repeats a value.

mod env;
mod file;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use secrecy::{ExposeSecret, SecretString};

/// Where the cloud credentials come from (`tencent.credentials.source`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment where it names a key, else the file where one is configured.
    Auto {
        /// `tencent.credentials.file`.
        file: Option<PathBuf>,
    },
    /// `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, `TENCENTCLOUD_TOKEN`.
    Env,
    /// A JSON document, re-read when it changes.
    File(PathBuf),
}

/// One generation of keys. A call takes one snapshot and uses nothing else, so that a rotation cannot mix an old id
/// with a new key.
pub struct Credentials {
    secret_id: SecretString,
    secret_key: SecretString,
    token: Option<SecretString>,
}

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
    #[error(
        "{path} is not {{\"secret_id\": …, \"secret_key\": …, \"token\"?: …}} in JSON (line {line}, column {column})"
    )]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped in that line.
        column: usize,
    },
}

/// The credentials in force, for all workers.
pub struct CredentialStore {
    current: ArcSwap<Credentials>,
    file: Option<file::WatchedFile>,
}

impl CredentialStore {
    /// Reads the credentials for the first time.
    ///
    /// # Errors
    /// Where there are none: the error names the variables and files that were looked for. Without credentials at its
    /// start the gateway must not start.
    pub fn load(source: &Source) -> Result<Self, CredentialsError> {
        Self::load_with(source, env::variable)
    }

    /// The snapshot to sign one call with.
    pub fn current(&self) -> Arc<Credentials> {
        self.current.load_full()
    }

    /// Reads the file again if its content changed since the last look; says whether new credentials are in force.
    /// Credentials of the environment never change. It blocks for the time of reading a small file.
    ///
    /// # Errors
    /// Where the file changed into something unusable. What was in force stays so, and the same state of the file is
    /// reported once, not at every look.
    pub fn reload_if_changed(&self) -> Result<bool, CredentialsError> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let Some(credentials) = file.read_if_changed()? else {
            return Ok(false);
        };
        self.current.store(Arc::new(credentials));
        Ok(true)
    }

    fn load_with(
        source: &Source,
        variable: impl Fn(&'static str) -> Result<Option<SecretString>, CredentialsError>,
    ) -> Result<Self, CredentialsError> {
        match source {
            Source::Env => env::read(variable)?.map(Self::fixed).ok_or_else(|| missing(None)),
            Source::File(path) => Self::watched(path),
            Source::Auto { file } => match (env::read(variable)?, file) {
                (Some(credentials), _) => Ok(Self::fixed(credentials)),
                (None, Some(path)) => Self::watched(path),
                (None, None) => Err(missing(Some("tencent.credentials.file is not set"))),
            },
        }
    }

    fn fixed(credentials: Credentials) -> Self {
        Self { current: ArcSwap::from_pointee(credentials), file: None }
    }

    fn watched(path: &Path) -> Result<Self, CredentialsError> {
        let (file, credentials) = file::WatchedFile::open(path)?;
        Ok(Self { current: ArcSwap::from_pointee(credentials), file: Some(file) })
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
        })
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
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialStore")
    }
}

/// The parts of a credential.
#[derive(Clone, Copy)]
enum Member {
    SecretId,
    SecretKey,
    Token,
}

fn missing(also: Option<&str>) -> CredentialsError {
    let mut looked_for = format!("{} and {} are not set", env::SECRET_ID, env::SECRET_KEY);
    if let Some(also) = also {
        looked_for = format!("{looked_for}, and {also}");
    }
    CredentialsError::Missing { looked_for }
}

#[cfg(test)]
mod tests;
