//! Tokens that were verified, so that the next request with one costs a hash and a look-up.
//!
//! The SHA-256 of the whole token is the key: a shorter hash could be met by a forged token, and the token itself would
//! be a secret that lies in memory for a day. Only successes are kept, and being kept proves nothing by itself: whoever
//! takes an entry out checks again what time and revocation may have changed.

use std::{fmt, sync::Arc, time::Duration};

use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::{key_set::KeySet, token::VerifiedToken};

/// What all entries together may weigh: some ten thousand tokens of the usual size.
const MOST_BYTES: u64 = 32 << 20;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// The tokens.
pub(super) struct KnownTokens(Cache<Fingerprint, Arc<Known>>);

/// A token, and what its acceptance rests on.
pub(super) struct Known {
    /// What it says.
    pub(super) token: Arc<VerifiedToken>,
    /// The place of its issuer in the configuration.
    pub(super) issuer: usize,
    /// The key set that verified it. Held, so that no other set can come to lie at its address.
    pub(super) keys: Arc<KeySet>,
}

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl KnownTokens {
    /// No tokens yet. None is kept for longer than `life`, which no token outlives.
    pub(super) fn new(life: Duration) -> Self {
        // moka takes no lifetime beyond a thousand years.
        const LONGEST: Duration = Duration::from_secs(366 * 86_400);
        let cache = Cache::builder()
            .max_capacity(MOST_BYTES)
            .weigher(|_, known: &Arc<Known>| known.weight_bytes())
            .time_to_live(life.min(LONGEST))
            .build();
        Self(cache)
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<Known>> {
        self.0.get(fingerprint)
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, known: Known) {
        self.0.insert(fingerprint, Arc::new(known));
    }

    pub(super) fn forget(&self, fingerprint: &Fingerprint) {
        self.0.invalidate(fingerprint);
    }
}

impl Known {
    /// About what the entry takes: its caller, and the structures around it.
    fn weight_bytes(&self) -> u32 {
        const STRUCTURES: usize = 640;
        u32::try_from(STRUCTURES + self.token.caller.weight_bytes()).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for KnownTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownTokens").field(&self.0.entry_count()).finish()
    }
}
