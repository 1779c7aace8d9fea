//! An issuer's keys: from a JWK set to keys that can verify a signature.
//!
//! Pure. A key that is unknown, unsuitable or weak is left out with a reason for the operator's log; it never lends
//! its name to another algorithm, and a symmetric key never comes from a key set: it is the whole of an issuer's keys,
//! from a file of its own, or not there at all (RFC 8725 section 3.1).

mod ed25519;
mod jwk;
mod verifier;

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest, Sha256};

pub use jwk::Unusable;
use verifier::Verifier;

use super::{
    Algorithm,
    json::{self, Json},
    reason::Reason,
};

/// A longer document is refused unread.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 100;

/// RFC 7518 section 3.2 asks for a key at least as long as the hash.
const MIN_SECRET_BYTES: usize = 32;
/// A longer secret is a file that was meant for something else.
pub const MAX_SECRET_BYTES: usize = 4096;

/// The usable keys of a JWK set, or the one secret of an issuer; at least one.
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<Skipped>,
    fingerprint: [u8; 32],
}

/// A key and what it may be used for.
pub struct Key {
    kid: Option<Arc<str>>,
    kind: Kind,
    /// The one algorithm that the issuer reserves the key for.
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Public(Verifier),
    Secret(SecretSlice<u8>),
}

/// A key that was left out of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its id, where it has one.
    pub kid: Option<Arc<str>>,
    /// Why it cannot be used.
    pub why: Unusable,
}

/// Why a document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`MAX_KEY_SET_BYTES`].
    #[error("the key set is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    /// Not a JSON object with a list `keys`, or one with a member name that stands twice.
    #[error("the answer is not a key set")]
    Malformed,
    /// More than a hundred keys.
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
    /// No keys, or none that can be used.
    #[error("the key set holds no usable key")]
    NoUsableKey,
    /// A secret that is shorter than its hash, or longer than secrets are.
    #[error("the secret is not {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes long")]
    SecretLength,
}

/// The families of keys, each with its own algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

impl KeySet {
    /// The set of an issuer that signs with HS256 and one secret, 32 to 4096 bytes. It has no name: whatever `kid` a
    /// token carries, there is one key that it can mean.
    ///
    /// # Errors
    ///
    /// [`KeySetError::SecretLength`].
    pub fn of_secret(secret: SecretSlice<u8>) -> Result<Self, KeySetError> {
        let bytes = secret.expose_secret();
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len()) {
            return Err(KeySetError::SecretLength);
        }
        let fingerprint = Sha256::digest(bytes).into();
        let key = Key { kid: None, kind: Kind::Secret, algorithm: None, material: Material::Secret(secret) };
        Ok(Self { keys: vec![key], skipped: Vec::new(), fingerprint })
    }

    /// Reads a JWK set (RFC 7517 section 5), at most 256 KiB and a hundred keys.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let members = json::object(document).map_err(|_| KeySetError::Malformed)?;
        let Some(Json::Array(entries)) = members.get("keys") else {
            return Err(KeySetError::Malformed);
        };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }

        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for entry in entries {
            match jwk::read(entry) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(Skipped { kid: jwk::kid(entry), why }),
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self { keys, skipped, fingerprint: Sha256::digest(document).into() })
    }

    /// The key that a token means: the one that `kid` names, or without `kid` the only one that fits.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, Reason> {
        let Some(kid) = kid.filter(|_| !self.is_secret()) else {
            let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) => Err(Reason::KeyAmbiguous),
                (None, _) => Err(Reason::KeyUnsuitable),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
        match (named.next(), named.next()) {
            (Some(key), None) if key.fits(algorithm) => Ok(key),
            (Some(_), None) => Err(Reason::KeyUnsuitable),
            (Some(_), Some(_)) => Err(Reason::KeyAmbiguous),
            (None, _) if self.has(kid) => Err(Reason::KeyUnsuitable),
            (None, _) => Err(Reason::KeyUnknown),
        }
    }

    /// Whether the document names this key, usable or not: fetching it again would not help.
    pub fn has(&self, kid: &str) -> bool {
        let mut named = self.keys.iter().map(|key| &key.kid).chain(self.skipped.iter().map(|key| &key.kid));
        named.any(|name| name.as_deref() == Some(kid))
    }

    fn is_secret(&self) -> bool {
        self.keys.iter().any(|key| key.kind == Kind::Secret)
    }

    /// How many keys can be used.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The keys that were left out, in the order of the document.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Whether both were read from the same bytes.
    pub fn is_same_document(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Key {
    /// Its id in the key set.
    pub fn kid(&self) -> Option<Arc<str>> {
        self.kid.clone()
    }

    /// Whether the key may verify this algorithm: by its type and curve, and by what the issuer reserves it for.
    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.suits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm)
            && match &self.material {
                Material::Public(key) => key.verifies(algorithm, message, signature),
                Material::Secret(secret) => is_mac(secret.expose_secret(), message, signature),
            }
    }
}

/// Compares in constant time.
fn is_mac(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mac| mac.chain_update(message));
    mac.is_ok_and(|mac| mac.verify_slice(signature).is_ok())
}

/// Nothing of the keys themselves, and no fingerprint: that of a poor secret could be guessed from.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys).field("skipped", &self.skipped).finish_non_exhaustive()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, kind, algorithm, material: _ } = self;
        f.debug_struct("Key")
            .field("kid", kid)
            .field("kind", kind)
            .field("algorithm", algorithm)
            .finish_non_exhaustive()
    }
}

impl Kind {
    /// RFC 7518 section 3.1 and RFC 8037 section 3.1: ES256 is for P-256 alone, and so on.
    fn suits(self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Self::P256 => algorithm == Es256,
            Self::P384 => algorithm == Es384,
            Self::Ed25519 => algorithm == EdDsa,
            Self::Secret => algorithm == Algorithm::Hs256,
        }
    }
}

#[cfg(test)]
mod tests;
