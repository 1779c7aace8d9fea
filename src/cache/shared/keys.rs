//! The keys of what is shared, and what is derived from each: one that seals, one that names, and a name of its own.

use std::{fmt, fs, path::Path};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, zeroize::Zeroizing};
use sha2::Sha256;

use crate::domain::key_file::{KeyFile, KeyFileError, SecretKey};

/// The key in force, and those before it, which still open and name what was put under them.
pub struct Ring {
    keys: Vec<Key>,
}

/// One key as it is used.
struct Key {
    id: [u8; ID_BYTES],
    seal: RandomizedNonceKey,
    name: Hmac<Sha256>,
}

/// The name of a thing in the store under one key. It says nothing of the thing to whoever has not the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alias(String);

/// What stands in the clear before a sealed text: by it a replica knows a value that it has.
pub(super) type Stamp = [u8; STAMP_BYTES];

/// Bytes of a key's own name.
const ID_BYTES: usize = 4;

/// Bytes of a thing's name: half of the HMAC, so that two things share one with a chance of one in 2^64 after 2^32 of
/// them, and then the value of one does not open as the other's.
const ALIAS_BYTES: usize = 16;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// What stands before a sealed text: the version of this form, the key's name, the stamp, the nonce.
const HEADER_BYTES: usize = 1 + ID_BYTES + STAMP_BYTES + NONCE_BYTES;

/// Bytes of a stamp.
pub(super) const STAMP_BYTES: usize = 8;

/// Where the stamp stands. `look.lua` counts from 1.
const STAMP_AT: std::ops::Range<usize> = 1 + ID_BYTES..1 + ID_BYTES + STAMP_BYTES;

const VERSION: u8 = 1;

impl Ring {
    /// Reads the file of the keys. Blocks.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has no key, or a line that is none.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let KeyFile { current, previous } = KeyFile::of(path, fs::read_to_string(path))?;
        Ok(Self { keys: std::iter::once(&current).chain(&previous).map(Key::derive).collect() })
    }

    /// The names of a thing: under the key in force, and under those before it.
    pub(super) fn aliases(&self, parts: &[&[u8]]) -> Vec<Alias> {
        self.keys.iter().map(|key| key.alias(parts)).collect()
    }

    /// Seals `text` under the key in force, so that it opens as the value of `alias` alone.
    ///
    /// Nonces are random: 2^32 values under one key are the limit of NIST SP 800-38D, six years at twenty a second.
    ///
    /// # Errors
    ///
    /// `None` where there is no randomness.
    pub(super) fn seal(&self, alias: &Alias, stamp: Stamp, mut text: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let aad = associated(alias, key.id, stamp);
        let nonce = key.seal.seal_in_place_append_tag(Aad::from(aad), &mut *text).ok()?;
        let mut sealed = Vec::with_capacity(HEADER_BYTES + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&stamp);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Some(sealed)
    }

    /// Opens what was sealed for `alias` under any of the keys. `None` where it was not, or is no longer what it was.
    pub(super) fn open(&self, alias: &Alias, sealed: &[u8]) -> Option<(Stamp, Zeroizing<Vec<u8>>)> {
        let (header, text) = sealed.split_at_checked(HEADER_BYTES)?;
        let (id, stamp) = (header.get(1..=ID_BYTES)?, Stamp::try_from(header.get(STAMP_AT)?).ok()?);
        if header.first() != Some(&VERSION) {
            return None;
        }
        let key = self.keys.iter().find(|key| key.id == id)?;
        let nonce = Nonce::try_assume_unique_for_key(header.get(STAMP_AT.end..)?).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = key.seal.open_in_place(nonce, Aad::from(associated(alias, key.id, stamp)), &mut text).ok()?.len();
        text.truncate(length);
        Some((stamp, text))
    }
}

/// What a value is bound to: its name, so that no value can be put in another's place; and what stands before it.
fn associated(alias: &Alias, id: [u8; ID_BYTES], stamp: Stamp) -> Vec<u8> {
    [b"redis-backup-gateway/cache/v1:", alias.0.as_bytes(), &[VERSION], &id, &stamp].concat()
}

impl Key {
    fn derive(secret: &SecretKey) -> Self {
        let part = |label: &str| {
            let mac = keyed(secret.expose_secret()).chain_update(label.as_bytes());
            Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
        };
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&part("redis-backup-gateway/cache/key-id/v1")[..ID_BYTES]);
        let seal = RandomizedNonceKey::new(&AES_256_GCM, &*part("redis-backup-gateway/cache/seal/v1"));
        Self {
            id,
            seal: seal.expect("a key of AES-256 has 32 bytes"),
            name: keyed(&*part("redis-backup-gateway/cache/name/v1")),
        }
    }

    fn alias(&self, parts: &[&[u8]]) -> Alias {
        // The length stands before each part, so that no two lists read the same.
        let mac = parts.iter().fold(self.name.clone(), |mac, part| {
            mac.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
        });
        let mac = mac.finalize().into_bytes();
        Alias(mac.iter().take(ALIAS_BYTES).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Alias {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| u32::from_be_bytes(key.id));
        f.debug_list().entries(ids.map(|id| format!("{id:08x}"))).finish()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("an HMAC key may have any length")
}

#[cfg(test)]
pub(in crate::cache) mod testing {
    use secrecy::SecretBox;

    use super::*;

    /// Keys whose every byte is one of these, the first in force.
    pub(in crate::cache) fn ring(bytes: &[u8]) -> Ring {
        Ring { keys: bytes.iter().map(|byte| Key::derive(&SecretBox::new(Box::new([*byte; 32])))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{testing::ring, *};

    const STAMP: [u8; STAMP_BYTES] = *b"12345678";

    fn sealed(ring: &Ring, thing: &str, text: &str) -> (Alias, Vec<u8>) {
        let alias = ring.aliases(&[thing.as_bytes()]).swap_remove(0);
        let sealed = ring.seal(&alias, STAMP, Zeroizing::new(text.as_bytes().to_vec()));
        (alias, sealed.expect("the system gives randomness"))
    }

    fn opened(ring: &Ring, alias: &Alias, sealed: &[u8]) -> Option<String> {
        let (stamp, text) = ring.open(alias, sealed)?;
        assert_eq!(stamp, STAMP);
        String::from_utf8(text.to_vec()).ok()
    }

    #[test]
    fn what_was_sealed_opens_as_what_it_was() {
        let ring = ring(&[1]);

        let (alias, sealed) = sealed(&ring, "backup", "https://h/k?sign=x");

        assert_eq!(opened(&ring, &alias, &sealed).as_deref(), Some("https://h/k?sign=x"));
    }

    #[test]
    fn nothing_of_a_text_shows_and_no_two_sealings_are_alike() {
        let ring = ring(&[1]);

        let (_, one) = sealed(&ring, "backup", "https://h/k?sign=x");
        let (_, other) = sealed(&ring, "backup", "https://h/k?sign=x");

        assert_ne!(one[HEADER_BYTES..], other[HEADER_BYTES..]);
        assert!(!one.windows(4).any(|part| part == b"sign"));
    }

    #[test]
    fn a_value_does_not_open_in_the_place_of_another() {
        let ring = ring(&[1]);
        let (_, value) = sealed(&ring, "backup", "secret");
        let (elsewhere, _) = sealed(&ring, "other", "secret");

        assert_eq!(opened(&ring, &elsewhere, &value), None);
    }

    #[test]
    fn a_previous_key_opens_and_one_that_was_taken_away_does_not() {
        let (alias, value) = sealed(&ring(&[1]), "backup", "secret");

        assert_eq!(opened(&ring(&[2, 1]), &alias, &value).as_deref(), Some("secret"));
        assert_eq!(opened(&ring(&[2]), &alias, &value), None);
    }

    #[test]
    fn what_was_put_under_a_previous_key_is_found_under_its_name() {
        let before = ring(&[1]).aliases(&[b"backup"]);

        let after = ring(&[2, 1]).aliases(&[b"backup"]);

        assert_eq!(after.len(), 2);
        assert_eq!(after[1..], before);
    }

    #[test]
    fn names_are_of_one_thing_alone() {
        let ring = ring(&[1]);

        let names = [&[b"ab".as_slice(), b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"ab", b"c", b""]]
            .map(|parts| ring.aliases(parts).swap_remove(0));

        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_ring_shows_the_names_of_its_keys_and_nothing_else() {
        assert_eq!(format!("{:?}", ring(&[1, 2])), format!("[\"{}\", \"{}\"]", id_of(1), id_of(2)));
        assert_eq!(id_of(1).len(), 8);
    }

    fn id_of(byte: u8) -> String {
        ring(&[byte]).keys[0].id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn no_changed_value_opens(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<prop::sample::Index>()) {
            let ring = ring(&[1]);
            let (alias, value) = sealed(&ring, "backup", "https://h/k?sign=x");
            let mut flipped = value.clone();
            flipped[at.index(value.len())] ^= 1 << bit;
            let short = &value[..cut.index(value.len())];

            prop_assert!(ring.open(&alias, &flipped).is_none());
            prop_assert!(ring.open(&alias, short).is_none());
        }

        #[test]
        fn no_foreign_value_opens(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let ring = ring(&[1]);
            let alias = ring.aliases(&[b"backup"]).swap_remove(0);

            prop_assert!(ring.open(&alias, &value).is_none());
        }
    }
}
