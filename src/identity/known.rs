//! Tokens that were verified, so that the next request with one costs a hash and a look-up.
//!
//! The SHA-256 of the whole token is the key: a shorter hash could be met by a forged token, and the token itself would
//! be a secret that lies in memory for a day. Only successes are kept, until they are met again after their time or there
//! is no room, and being kept proves nothing by itself: whoever takes an entry out checks again what time and revocation
//! may have changed.

use std::{cell::RefCell, fmt, sync::Arc};

use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};

use super::{key_set::KeySet, token::VerifiedToken};
use crate::domain::FastHashing;

/// What all entries together may weigh.
const MOST_BYTES: u64 = 32 << 20;

/// How many that is of tokens of the usual size.
const MOST_TOKENS: usize = 32_768;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// The tokens.
pub(super) struct KnownTokens(Cache<Fingerprint, Arc<Known>, ByBytes, FastHashing>);

#[derive(Clone)]
struct ByBytes;

/// A token, and what its acceptance rests on.
pub(super) struct Known {
    /// What it says.
    pub(super) token: Arc<VerifiedToken>,
    /// The place of its issuer in the configuration.
    pub(super) issuer: usize,
    /// The key set that verified it. Held, so that no other set can come to lie at its address.
    pub(super) keys: Arc<KeySet>,
}

/// The last token that one connection brought twice in a row. It lives as long as the connection does, as the bytes that it
/// was read from do in the connection's buffer, and is wiped when it goes; a client sends the same one for an hour or so,
/// and to compare two texts costs a twentieth of hashing one. A proxy's connection, on which many clients take turns, keeps
/// few. What is met here is checked like whatever is known.
#[derive(Default)]
pub struct LastToken(RefCell<Last>);

#[derive(Default)]
struct Last {
    /// Of the token before.
    before: Option<Fingerprint>,
    kept: Option<Kept>,
}

struct Kept {
    token: Zeroizing<Box<[u8]>>,
    known: Arc<Known>,
}

/// Above this a token, and what is known by it, is not kept for a connection: there are thousands of them.
const LARGEST_KEPT_BYTES: usize = 2 << 10;

impl LastToken {
    /// What is known of the token that is kept, where this is the same.
    pub(super) fn get(&self, token: &[u8]) -> Option<Arc<Known>> {
        let last = self.0.borrow();
        last.kept.as_ref().filter(|kept| **kept.token == *token).map(|kept| Arc::clone(&kept.known))
    }

    /// Notes a token that is known, and keeps it where it was the one before, too, unless it is large.
    pub(super) fn note(&self, token: &[u8], fingerprint: Fingerprint, known: &Arc<Known>) {
        let mut last = self.0.borrow_mut();
        let is_small = token.len() <= LARGEST_KEPT_BYTES && known.weight_bytes() <= LARGEST_KEPT_BYTES as u64;
        if last.before.replace(fingerprint) == Some(fingerprint) && is_small {
            last.kept = Some(Kept { token: Zeroizing::new(token.into()), known: Arc::clone(known) });
        }
    }

    pub(super) fn forget(&self) {
        self.0.take();
    }
}

impl fmt::Debug for LastToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastToken")
    }
}

impl Fingerprint {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl KnownTokens {
    /// No tokens yet.
    pub(super) fn new() -> Self {
        Self(Cache::with(MOST_TOKENS, MOST_BYTES, ByBytes, FastHashing::default(), DefaultLifecycle::default()))
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<Known>> {
        self.0.get(fingerprint)
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, known: Known) {
        self.0.insert(fingerprint, Arc::new(known));
    }

    pub(super) fn forget(&self, fingerprint: &Fingerprint) {
        self.0.remove(fingerprint);
    }
}

impl Weighter<Fingerprint, Arc<Known>> for ByBytes {
    fn weight(&self, _fingerprint: &Fingerprint, known: &Arc<Known>) -> u64 {
        known.weight_bytes()
    }
}

impl Known {
    /// About what the entry takes: its caller, and the structures around it.
    fn weight_bytes(&self) -> u64 {
        const STRUCTURES: usize = 640;
        (STRUCTURES + self.token.caller.weight_bytes()) as u64
    }
}

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownTokens").field(&self.0.len()).finish()
    }
}
