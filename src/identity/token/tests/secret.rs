//! Rows about an issuer that signs with HS256 and a secret of its own, and about those that do not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Case;
use crate::identity::{
    Algorithm,
    key_set::KeySet,
    reason::Reason,
    testing::{self, ED25519, P256, RSA, SECRET, hs256_token_of, with},
};

pub(super) fn cases() -> Vec<Case> {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let token = |members: Value| hs256_token_of(SECRET, &with(header.clone(), members).to_string(), &claims());
    let other_secret = |secret: &[u8]| hs256_token_of(secret, &header.to_string(), &claims());
    vec![
        Case::accepted("HS256 with the issuer's secret", token(json!({}))).with_secret(),
        Case::accepted("HS256 under a kid, of which a secret has none", token(json!({"kid": "k"}))).with_secret(),
        Case::refused("HS256 with another secret", Reason::Signature, other_secret(&[7; 32])).with_secret(),
        Case::refused("HS256 with a secret cut short", Reason::Signature, other_secret(&SECRET[..31])).with_secret(),
        Case::refused("HS256 with no secret", Reason::Signature, other_secret(b"")).with_secret(),
        Case::refused("HS384 where HS256 is meant", Reason::Algorithm, token(json!({"alg": "HS384"}))).with_secret(),
        Case::refused("none where HS256 is meant", Reason::Algorithm, token(json!({"alg": "none"}))).with_secret(),
        Case::refused("hs256", Reason::Algorithm, token(json!({"alg": "hs256"}))).with_secret(),
        Case::refused("crit under a secret", Reason::Extension, token(json!({"crit": ["b64"]}))).with_secret(),
        Case::refused("RS256 where HS256 is meant", Reason::Algorithm, RSA.token(&testing::claims())).with_secret(),
        Case::refused("EdDSA where HS256 is meant", Reason::Algorithm, ED25519.token(&testing::claims())).with_secret(),
        Case::refused("a public key's HS256 among public keys", Reason::Algorithm, {
            hs256_token_of(&P256.public_der(), &with(P256.header(), json!({"alg": "HS256"})).to_string(), &claims())
        }),
        Case::refused("HS256 with a secret that stands in the key set", Reason::Algorithm, {
            hs256_token_of(SECRET, r#"{"alg":"HS256","kid":"shared"}"#, &claims())
        })
        .with_keys(&[P256.jwk(), json!({"kty": "oct", "kid": "shared", "alg": "HS256", "k": testing::b64(SECRET)})]),
        Case::refused("HS256 allowed by mistake beside public keys", Reason::KeyUnsuitable, {
            hs256_token_of(&RSA.public_der(), &with(RSA.header(), json!({"alg": "HS256"})).to_string(), &claims())
        })
        .with_algorithm(Algorithm::Hs256),
    ]
}

fn claims() -> String {
    testing::claims().to_string()
}

impl Case {
    /// For the issuer that has a secret and uses nothing but HS256.
    fn with_secret(mut self) -> Self {
        self.issuer.algorithms = vec![Algorithm::Hs256];
        self.keys = Arc::new(KeySet::of_secret(SECRET.to_vec().into()).unwrap());
        self
    }

    fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.issuer.algorithms.push(algorithm);
        self
    }
}
