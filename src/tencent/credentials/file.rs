//! Credentials of a JSON document that is read again when it changes.
//!
//! A change is a change of content: mounted secrets change by swapped links, and a clock's steps say nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use secrecy::{SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::{Credentials, CredentialsError, Member};

/// No document of three values is longer; whatever is, is another file.
const LIMIT_BYTES: usize = 16 * 1024;

/// The file, and what it was when it was last looked at.
pub(super) struct WatchedFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(io::ErrorKind),
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "secret")]
    secret_id: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    secret_key: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    token: Option<SecretString>,
}

impl WatchedFile {
    pub(super) fn open(path: &Path) -> Result<(Self, Credentials), CredentialsError> {
        let content = content(path).map_err(|reason| unreadable(path, reason))?;
        let credentials = parse(path, &content)?;
        let seen = Mutex::new(Seen::Content(digest(&content)));
        Ok((Self { path: path.to_owned(), seen }, credentials))
    }

    /// The credentials of the file if it is not what it was at the last look, whether that look succeeded or not.
    pub(super) fn read_if_changed(&self) -> Result<Option<Credentials>, CredentialsError> {
        let content = content(&self.path);
        let now = match &content {
            Ok(content) => Seen::Content(digest(content)),
            Err(reason) => Seen::Unreadable(*reason),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(None);
        }
        *seen = now;
        drop(seen);
        let content = content.map_err(|reason| unreadable(&self.path, reason))?;
        parse(&self.path, &content).map(Some)
    }
}

fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, io::ErrorKind> {
    // The whole room is taken at once: a vector that grows leaves copies of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LIMIT_BYTES + 1));
    let read = File::open(path).and_then(|file| file.take(LIMIT_BYTES as u64 + 1).read_to_end(&mut content));
    match read {
        Ok(length) if length > LIMIT_BYTES => Err(io::ErrorKind::FileTooLarge),
        Ok(_) => Ok(content),
        Err(error) => Err(error.kind()),
    }
}

fn parse(path: &Path, content: &[u8]) -> Result<Credentials, CredentialsError> {
    let document: Document = serde_json::from_slice(content).map_err(|error| {
        // The error's own text quotes what it found, and that may be the secret.
        CredentialsError::NotJson { path: path.to_owned(), line: error.line(), column: error.column() }
    })?;
    let origin = |member| format!("{} of {}", name(member), path.display());
    let required = |member, value: Option<SecretString>| {
        value.ok_or_else(|| CredentialsError::Missing { looked_for: format!("there is no {}", origin(member)) })
    };
    let secret_id = required(Member::SecretId, document.secret_id)?;
    let secret_key = required(Member::SecretKey, document.secret_key)?;
    Credentials::new(&secret_id, &secret_key, document.token.as_ref(), origin)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

fn digest(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

fn unreadable(path: &Path, reason: io::ErrorKind) -> CredentialsError {
    CredentialsError::Unreadable { path: path.to_owned(), reason }
}

fn name(member: Member) -> &'static str {
    match member {
        Member::SecretId => "secret_id",
        Member::SecretKey => "secret_key",
        Member::Token => "token",
    }
}
