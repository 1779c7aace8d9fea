//! An OIDC issuer that trusts everybody: discovery, key set, rotation, and tokens for the asking.
//!
//! It goes by the machine's clock, not by the cloud's: the two are different services.

mod keys;
mod token;

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use keys::KeyTrio;
pub use token::{Algorithm, SigningKey, TokenSpec};

use crate::fault::{self, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::world::World;

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

    fn key_set(&self) -> Value {
        let keys: Vec<Value> =
            self.read(|ring| ring.kept.iter().chain([&ring.current]).flat_map(|trio| trio.public()).collect());
        json!({ "keys": keys })
    }

    fn discovery(&self) -> Value {
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

/// Serves discovery, key set and tokens.
pub(crate) struct IssuerService {
    pub(crate) world: Arc<World>,
}

impl Service for IssuerService {
    type Ticket = ();

    fn connected(&self) {
        self.world.connected("issuer");
    }

    fn cuts_before_reading(&self) -> bool {
        self.world.cuts_before_reading(&[Target::Discovery, Target::Jwks])
    }

    fn head_read(&self, _: &Head) {}

    async fn answer(&self, request: Request, (): ()) -> Answer {
        let (world, issuer) = (&self.world, &self.world.issuer);
        let struck = |on| world.take_faults(Struck { on, action: "", endpoint: "" });
        match (request.head.method(), request.head.path()) {
            ("GET" | "HEAD", "/.well-known/openid-configuration") => {
                world.read_discovery();
                fault::apply(&struck(Target::Discovery), Answer::now(Reply::json(200, &issuer.discovery())))
            }
            ("GET" | "HEAD", "/jwks") => {
                world.read_key_set();
                fault::apply(&struck(Target::Jwks), Answer::now(Reply::json(200, &issuer.key_set())))
            }
            ("POST", "/token") => Answer::now(token_reply(world, &request.body).await),
            ("POST" | "GET" | "HEAD", _) => Answer::now(Reply::html(404)),
            _ => Answer::now(Reply::html(405)),
        }
    }

    fn unix_now(&self) -> i64 {
        self.world.unix_now()
    }
}

/// Mints the token that a JSON body describes; an empty body asks for the default one. Signing with RSA, and making
/// a key for a forged token, take long enough to disturb the arrival times of others, so another thread does it.
pub(crate) async fn token_reply(world: &Arc<World>, body: &[u8]) -> Reply {
    let spec: TokenSpec = match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
        Ok(spec) => spec,
        Err(error) => {
            let why = error.to_string();
            return Reply::json(400, &json!({"error": "invalid_request", "error_description": why}));
        }
    };
    let (world, lifetime_s) = (Arc::clone(world), spec.lifetime_s);
    match tokio::task::spawn_blocking(move || world.issuer.mint(&spec, world.unix_now())).await {
        Ok(token) => {
            let answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s});
            Reply::json(200, &answer).with_header("Cache-Control", "no-store")
        }
        Err(_) => Reply::json(500, &json!({"error": "server_error"})),
    }
}
