//! The issuer as OpenID Connect has it: discovery, key set, and tokens for the asking.
//!
//! It goes by the machine's clock, not by the cloud's: the two are different services.

use std::sync::Arc;

use serde_json::json;

use crate::fault::{self, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::issuer::TokenSpec;
use crate::world::World;

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
