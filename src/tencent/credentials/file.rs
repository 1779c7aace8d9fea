//! A file of credentials that is read again when it changes.
//!
//! A change is a change of content: mounted secrets change by swapped links, and a clock's steps say nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

use super::{Credentials, CredentialsError, document};
use crate::domain::Steady;

/// No document of three values is longer, and no identity token; whatever is, is another file.
const LIMIT_BYTES: usize = 16 * 1024;

/// The file, and what it was when it was last looked at. Everything here blocks for the time of reading a small file.
pub(super) struct WatchedFile {
    path: PathBuf,
    steady: Mutex<Steady<Seen>>,
}

#[derive(PartialEq, Eq)]
enum Seen {
    Content([u8; 32]),
    Unreadable(io::ErrorKind),
}

impl WatchedFile {
    /// The file with what it says for the first time.
    pub(super) fn open(path: &Path) -> Result<(Self, Credentials), CredentialsError> {
        let (seen, credentials) = look(path);
        Ok((Self { path: path.to_owned(), steady: Mutex::new(Steady::new(seen)) }, credentials?))
    }

    /// Whether the file says something else than what was read last, and has come to rest.
    pub(super) fn has_changed(&self) -> bool {
        let (seen, _) = state(&self.path);
        self.lock().look(seen)
    }

    /// What the file says now, whether it has changed or not.
    pub(super) fn read(&self) -> Result<Credentials, CredentialsError> {
        let (seen, credentials) = look(&self.path);
        self.lock().take(seen);
        credentials
    }

    fn lock(&self) -> MutexGuard<'_, Steady<Seen>> {
        self.steady.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(path: &Path) -> (Seen, Result<Credentials, CredentialsError>) {
    let (seen, content) = state(path);
    let unreadable = |reason| CredentialsError::Unreadable { path: path.to_owned(), reason };
    (seen, content.map_err(unreadable).and_then(|content| document::parse(path, &content)))
}

fn state(path: &Path) -> (Seen, Result<Zeroizing<Vec<u8>>, io::ErrorKind>) {
    let content = content(path);
    let seen = match &content {
        Ok(content) => Seen::Content(Sha256::digest(content).into()),
        Err(reason) => Seen::Unreadable(*reason),
    };
    (seen, content)
}

/// The bytes of a small file with a secret in it.
pub(super) fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, io::ErrorKind> {
    // The whole room is taken at once: a vector that grows leaves copies of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LIMIT_BYTES + 1));
    let read = File::open(path).and_then(|file| file.take(LIMIT_BYTES as u64 + 1).read_to_end(&mut content));
    match read {
        Ok(length) if length > LIMIT_BYTES => Err(io::ErrorKind::FileTooLarge),
        Ok(_) => Ok(content),
        Err(error) => Err(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn document(id: &str) -> String {
        format!(r#"{{"secret_id": "{id}", "secret_key": "k"}}"#)
    }

    #[test]
    fn a_change_is_seen_once_it_has_come_to_rest_and_an_unchanged_file_is_none() {
        let (_folder, path) = written(&document("one"));
        let (file, before) = WatchedFile::open(&path).unwrap();

        let unchanged = file.has_changed();
        fs::write(&path, document("two")).unwrap();
        let changed = [file.has_changed(), file.has_changed()];
        let after = file.read().unwrap();

        assert_eq!((unchanged, changed), (false, [false, true]));
        assert_eq!((before.secret_id(), after.secret_id()), ("one", "two"));
        assert!(!file.has_changed());
    }

    #[test]
    fn a_bad_state_is_tried_once_and_what_follows_it_is_a_change_again() {
        let (_folder, path) = written(&document("one"));
        let (file, _) = WatchedFile::open(&path).unwrap();
        let settle = |file: &WatchedFile| (0..4).filter(|_| file.has_changed()).count();

        fs::write(&path, "{").unwrap();
        assert_eq!(settle(&file), 1);
        assert!(matches!(file.read(), Err(CredentialsError::NotJson { line: 1, .. })));
        fs::remove_file(&path).unwrap();
        assert_eq!(settle(&file), 1);
        assert!(matches!(file.read(), Err(CredentialsError::Unreadable { reason: io::ErrorKind::NotFound, .. })));

        fs::write(&path, document("two")).unwrap();
        assert_eq!(settle(&file), 1);
        assert_eq!(file.read().unwrap().secret_id(), "two");
    }

    #[test]
    fn a_swapped_link_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for generation in ["1", "2"] {
            fs::write(folder.path().join(generation), document(generation)).unwrap();
        }
        let link = folder.path().join("current");
        std::os::unix::fs::symlink("1", &link).unwrap();
        let (file, _) = WatchedFile::open(&link).unwrap();

        std::os::unix::fs::symlink("2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &link).unwrap();

        assert_eq!([file.has_changed(), file.has_changed()], [false, true]);
        assert_eq!(file.read().unwrap().secret_id(), "2");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let (_folder, path) = written(&" ".repeat(64 * 1024));

        let refused = WatchedFile::open(&path).err();

        assert!(matches!(refused, Some(CredentialsError::Unreadable { reason: io::ErrorKind::FileTooLarge, .. })));
    }
}
