//! An issuer that trusts everybody: its keys, their rotation, and tokens for the asking. [`crate::oidc`] serves it.

mod keys;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use keys::KeyTrio;
pub use token::{Algorithm, SigningKey, TokenSpec};

/// What becomes of the keys that a rotation replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldKeys {
    /// They stay in the key set, and their tokens stay good.
    Keep,
    /// They leave the key set.
    Drop,
}

/// The issuer's name and keys.
pub(crate) struct Issuer {
    url: String,
    ring: RwLock<KeyRing>,
}

struct KeyRing {
    generation: u32,
    current: Arc<KeyTrio>,
    previous: Option<Arc<KeyTrio>>,
    /// The earlier keys that are still in the key set.
    kept: Vec<Arc<KeyTrio>>,
}

impl Issuer {
    pub(crate) fn new(url: &str) -> Self {
        let ring = KeyRing { generation: 1, current: Arc::new(KeyTrio::generate(1)), previous: None, kept: Vec::new() };
        Self { url: url.into(), ring: RwLock::new(ring) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes new keys and signs with them from now on. Takes a while: making an RSA key is work.
    pub(crate) fn rotate(&self, old: OldKeys) {
        let generation = self.read(|ring| ring.generation) + 1;
        let fresh = Arc::new(KeyTrio::generate(generation));
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.generation = generation;
        let replaced = std::mem::replace(&mut ring.current, fresh);
        ring.previous = Some(Arc::clone(&replaced));
        match old {
            OldKeys::Keep => ring.kept.push(replaced),
            OldKeys::Drop => ring.kept.clear(),
        }
    }

    /// Makes a token at the machine's time `now`.
    pub(crate) fn mint(&self, spec: &TokenSpec, now: i64) -> String {
        let keys = match spec.key {
            SigningKey::Current => self.read(|ring| Arc::clone(&ring.current)),
            SigningKey::Previous => {
                self.read(|ring| ring.previous.clone().unwrap_or_else(|| Arc::clone(&ring.current)))
            }
            // Keys that nobody has seen, under the name of the current ones.
            SigningKey::Unpublished => Arc::new(KeyTrio::generate(self.read(|ring| ring.current.generation()))),
        };
        token::mint(spec, &self.url, &keys, now)
    }

    /// The document that verifiers of its tokens read.
    pub(crate) fn key_set(&self) -> Value {
        let keys: Vec<Value> =
            self.read(|ring| ring.kept.iter().chain([&ring.current]).flat_map(|trio| trio.public()).collect());
        json!({ "keys": keys })
    }

    /// Where all that is, and what it can do.
    pub(crate) fn discovery(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "token_endpoint": format!("{url}/token"),
            "authorization_endpoint": format!("{url}/authorize"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        })
    }

    fn read<T>(&self, read: impl FnOnce(&KeyRing) -> T) -> T {
        read(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}
