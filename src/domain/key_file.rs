//! The form of files of secret keys: 32 bytes in base64 a line, the key in force first, previous keys on further lines.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{
    ExposeSecret as _, SecretBox, SecretString,
    zeroize::{Zeroize as _, Zeroizing},
};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// A secret key.
pub type SecretKey = SecretBox<[u8; KEY_BYTES]>;

/// The keys of one file.
#[derive(Debug)]
pub struct KeyFile {
    /// The one in force.
    pub current: SecretKey,
    /// Those before it, the latest first.
    pub previous: Vec<SecretKey>,
}

/// Why there is no key. It never repeats what stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// A line holds something else than a key.
    #[error("line {0}: a key is 32 bytes in base64, as `openssl rand -base64 32` prints them")]
    NotAKey(
        /// The line, counted from 1.
        usize,
    ),
    /// There is no key in the text.
    #[error("empty: the first line is the key in force, previous keys stand on further lines")]
    Empty,
}

/// Why a file gives no keys. It never repeats what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read as text.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is something else in the file than keys.
    #[error("{path}, {what}")]
    NoKeys {
        /// The file.
        path: PathBuf,
        /// What there is.
        what: NoKeys,
    },
}

impl KeyFile {
    /// What came of reading the file at `path`.
    ///
    /// # Errors
    ///
    /// When it could not be read, has no key, or a line that is none.
    pub fn of(path: &Path, read: io::Result<String>) -> Result<Self, KeyFileError> {
        let text = read.map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&SecretString::from(text)).map_err(|what| KeyFileError::NoKeys { path: path.to_owned(), what })
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// When there is no key in it, or a line that is none.
    pub fn parse(text: &SecretString) -> Result<Self, NoKeys> {
        let lines = text.expose_secret().lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let keys = lines.map(|(index, line)| decode(line).ok_or(NoKeys::NotAKey(index + 1)));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?.into_iter();
        let current = keys.next().ok_or(NoKeys::Empty)?;
        Ok(Self { current, previous: keys.collect() })
    }
}

fn decode(line: &str) -> Option<SecretKey> {
    let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
    let mut key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok()?;
    let secret = SecretBox::new(Box::new(key));
    key.zeroize();
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(byte: u8) -> String {
        format!("{}\n", STANDARD.encode([byte; KEY_BYTES]))
    }

    fn parse(text: &str) -> Result<KeyFile, String> {
        KeyFile::parse(&SecretString::from(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_line_is_in_force_and_further_ones_came_before() {
        let keys = parse(&format!("\n{}{}  {}", line(7), line(8), line(9))).unwrap();

        assert_eq!(keys.current.expose_secret(), &[7; KEY_BYTES]);
        assert_eq!(keys.previous.iter().map(|key| key.expose_secret()[0]).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line_and_not_repeated() {
        let short = STANDARD.encode([1; 31]);

        for (text, said) in [
            (String::new(), "empty: "),
            ("\n \n".to_owned(), "empty: "),
            (short.clone(), "line 1: "),
            (format!("{}hunter2", line(1)), "line 2: "),
            (format!("{}!", line(1).trim()), "line 1: "),
        ] {
            let error = parse(&text).unwrap_err();

            assert!(error.starts_with(said), "{error}");
            assert!(!error.contains(&short) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_read_shows_no_key() {
        let shown = format!("{:?}", parse(&format!("{}{}", line(7), line(8))).unwrap());

        assert!(!shown.contains('7') && shown.contains("REDACTED"), "{shown}");
    }
}
