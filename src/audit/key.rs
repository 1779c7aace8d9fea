//! The key of the audit, and what is derived from it: a key for the chain, one for fingerprints, and a name.
//!
//! The key itself is forgotten once these are made. None of them is ever shown; the name is meant to be.

use std::{fmt, fs, path::Path};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, zeroize::Zeroizing};
use sha2::Sha256;

use crate::domain::key_file::{KEY_BYTES, KeyFile, KeyFileError, SecretKey};

/// One key as the audit uses it.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    chain: Hmac<Sha256>,
    fingerprint: Hmac<Sha256>,
}

/// The name of a key: 8 hexadecimal digits that are derived from it and say nothing about it. Segments carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KeyId::LENGTH]);

/// The key in force, and those before it, which still verify what was written under them.
#[derive(Clone, Debug)]
pub struct Keys {
    current: Key,
    previous: Vec<Key>,
}

/// Why there is no key. It never repeats what stands in the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file gives none.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The system gives no randomness, so no key can be made.
    #[error("no key can be made: {0}")]
    NoRandomness(getrandom::Error),
}

/// Bytes of a fingerprint: half of the HMAC, which RFC 2104 (section 5) allows, for a record can hold many.
const FINGERPRINT_BYTES: usize = 16;

impl Keys {
    /// Reads the file of the keys: the one in force on the first line, previous ones on further lines.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has no key, or a line that is none.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let KeyFile { current, previous } = KeyFile::of(path, fs::read_to_string(path))?;
        Ok(Self { current: Key::derive(&current), previous: previous.iter().map(Key::derive).collect() })
    }

    /// A key that nobody knows and that ends with the process.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = Box::new([0; KEY_BYTES]);
        getrandom::fill(&mut *bytes).map_err(KeyError::NoRandomness)?;
        Ok(Self { current: Key::derive(&SecretBox::new(bytes)), previous: Vec::new() })
    }

    /// The key in force.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// All keys, the one in force first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The key of that name.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.iter().find(|key| key.id == id)
    }
}

impl Key {
    fn derive(secret: &SecretKey) -> Self {
        let part = |label: &str| Zeroizing::new(mac(keyed(secret.expose_secret()), [label.as_bytes()]));
        let mut id = [0; KeyId::LENGTH];
        hex(&part("redis-backup-gateway/audit/key-id/v1")[..KeyId::LENGTH / 2], &mut id);
        Self {
            id: KeyId(id),
            chain: keyed(&*part("redis-backup-gateway/audit/chain/v1")),
            fingerprint: keyed(&*part("redis-backup-gateway/audit/fingerprint/v1")),
        }
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The HMAC under the chain's key of `parts`, one behind the other, in hexadecimal digits.
    pub(super) fn chain_hash<const N: usize>(&self, parts: [&[u8]; N]) -> [u8; 64] {
        let mut digits = [0; 64];
        hex(&mac(self.chain.clone(), parts), &mut digits);
        digits
    }

    /// What a record says of a URL: 32 hexadecimal digits.
    pub(super) fn fingerprint(&self, url: &str) -> [u8; 2 * FINGERPRINT_BYTES] {
        let mut digits = [0; 2 * FINGERPRINT_BYTES];
        hex(&mac(self.fingerprint.clone(), [url.as_bytes()])[..FINGERPRINT_BYTES], &mut digits);
        digits
    }
}

impl KeyId {
    /// Digits of a name.
    pub(super) const LENGTH: usize = 8;

    pub(super) fn of_digits(digits: [u8; Self::LENGTH]) -> Self {
        Self(digits)
    }

    pub(super) fn digits(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("an HMAC key may have any length")
}

fn mac<const N: usize>(keyed: Hmac<Sha256>, parts: [&[u8]; N]) -> [u8; 32] {
    parts.into_iter().fold(keyed, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
}

/// Writes `bytes` as lower-case hexadecimal digits, two each.
fn hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

#[cfg(test)]
pub(super) mod testing {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    /// The key whose every byte is `byte`, in force, and those of `previous` before it.
    pub(in crate::audit) fn keys(byte: u8, previous: &[u8]) -> Keys {
        let key = |byte: u8| Key::derive(&SecretBox::new(Box::new([byte; KEY_BYTES])));
        Keys { current: key(byte), previous: previous.iter().copied().map(key).collect() }
    }

    /// The text of a key file with the same keys.
    pub(in crate::audit) fn key_file(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{}\n", STANDARD.encode([*byte; KEY_BYTES]))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_in_force_and_further_ones_verify() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, testing::key_file(&[7, 8])).unwrap();

        let keys = Keys::load(&path).unwrap();

        let [current, previous] = [testing::keys(7, &[]), testing::keys(8, &[])].map(|keys| keys.current().id());
        assert_eq!(keys.current().id(), current);
        assert_eq!(keys.iter().map(Key::id).collect::<Vec<_>>(), [current, previous]);
        assert!(keys.get(previous).is_some());
        assert!(keys.get(testing::keys(9, &[]).current().id()).is_none());
    }

    #[test]
    fn a_key_shows_nothing_but_its_name() {
        let keys = testing::keys(7, &[8]);

        assert_eq!(format!("{keys:?}"), "Keys { current: Key(6a6f3ddf), previous: [Key(146b5ec4)] }");
    }

    /// Made with Python's `hmac`; `docs/audit.md` has the lines.
    #[test]
    fn what_is_derived_is_what_the_documentation_says() {
        let keys = testing::keys(7, &[]);
        let key = keys.current();

        assert_eq!(
            &key.chain_hash([b"{\"a\":", b"1"]),
            b"ed91220f91d36dbff45c9cd6f0270f40a896523a3a5feb1e41c274fc8a5219a9"
        );
        assert_eq!(&key.fingerprint("https://h/k?sign=x"), b"d389d03df03e3563a0061168c08643ed");
    }

    #[test]
    fn two_random_keys_differ() {
        let [one, other] = [Keys::random().unwrap(), Keys::random().unwrap()];

        assert_ne!(one.current().id(), other.current().id());
    }
}
