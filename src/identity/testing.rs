//! Keys, key sets and tokens for the tests of this room: real signatures, over whatever a test wants signed.

use std::{
    num::NonZeroU32,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Algorithm, FailureLimits, IssuerSettings, KeySetUrl, KeySource, Settings, VerifiedToken,
    key_set::KeySet,
    token::{Rules, Times},
};
use crate::domain::{Caller, clock::from_unix_seconds};

pub(super) const NOW: u64 = 1_764_000_000;
pub(super) const ISSUER: &str = "https://sso.example.internal";

/// The secret of an issuer that signs with HS256.
pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A key pair under a key id.
pub(super) struct SigningKey {
    pub(super) kid: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// The keys of the issuer, and one of nobody's; made once, because an RSA key takes its time.
pub(super) static RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::rsa("rsa-1"));
pub(super) static P256: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::p256("ec-1"));
pub(super) static P384: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::p384("ec-2"));
pub(super) static ED25519: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::ed25519("ed-1"));
pub(super) static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::p256("ec-1"));

impl SigningKey {
    pub(super) fn rsa(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(super) fn p256(kid: &'static str) -> Self {
        Self { kid, pair: Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()) }
    }

    pub(super) fn p384(kid: &'static str) -> Self {
        Self { kid, pair: Pair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()) }
    }

    pub(super) fn ed25519(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    /// The algorithm that the key signs with unless a test says otherwise.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a JWK, without `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "kid": self.kid, "n": b64(&n), "e": b64(&e)})
            }
            Pair::P256(pair) => ec_jwk(self.kid, "P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => ec_jwk(self.kid, "P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": b64(pair.public_key().as_ref())})
            }
        }
    }

    /// The same with further members, or others in place of these.
    pub(super) fn jwk_with(&self, members: Value) -> Value {
        with(self.jwk(), members)
    }

    /// The public key in DER, the secret of an attacker who takes RS256 for HS256.
    pub(super) fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The signature by the named algorithm; an RSA key knows several.
    pub(super) fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of these two texts, signed as the header says.
    pub(super) fn token_of(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header)
            .ok()
            .and_then(|header| header["alg"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        format!("{signed}.{}", b64(&self.signature(&algorithm, signed.as_bytes())))
    }

    /// A token with these claims under the usual header.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_of(&self.header().to_string(), &claims.to_string())
    }

    /// The usual header: `alg`, `kid` and `typ`.
    pub(super) fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.kid, "typ": "JWT"})
    }
}

/// Claims that are accepted at [`NOW`].
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": "redis-backup-gateway",
        "sub": "alice",
        "exp": NOW + 600,
        "iat": NOW,
        "groups": ["dba", "on-call"],
    })
}

/// The members of both, those of the second in place of the first's.
pub(super) fn with(mut object: Value, members: Value) -> Value {
    if let (Value::Object(object), Value::Object(members)) = (&mut object, members) {
        object.extend(members);
    }
    object
}

/// All but one member.
pub(super) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

/// The issuer whose keys are [`RSA`], [`P256`], [`P384`] and [`ED25519`].
pub(super) fn issuer() -> IssuerSettings {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
    IssuerSettings {
        name: "sso".into(),
        prefix: "".into(),
        issuer: ISSUER.to_owned(),
        audiences: vec!["redis-backup-gateway".to_owned(), "backup-cli".to_owned()],
        algorithms: vec![Rs256, Ps256, Es256, Es384, EdDsa],
        keys: KeySource::Url(KeySetUrl::try_from("https://sso.example.internal/jwks").unwrap()),
        ca_file: None,
        bearer_token_file: None,
        groups_claim: vec!["groups".to_owned()],
    }
}

/// Settings with these issuers, and times that no test waits for.
pub(super) fn settings(issuers: Vec<IssuerSettings>) -> Settings {
    Settings {
        leeway: rules().leeway,
        max_token_life: rules().max_token_life,
        jwks_refresh: Duration::from_secs(300),
        jwks_cooldown: Duration::from_secs(10),
        jwks_max_stale: Duration::from_secs(86_400),
        revoked_file: None,
        failed_auth: FailureLimits {
            requests_per_second: NonZeroU32::new(50).unwrap(),
            burst: NonZeroU32::new(200).unwrap(),
        },
        issuers,
    }
}

/// What was verified of a token with these in it.
pub(super) fn verified(subject: &str, jti: &str, kid: &str) -> VerifiedToken {
    VerifiedToken {
        caller: Arc::new(Caller::plain("sso", subject)),
        times: Times { expires_at: now() + Duration::from_secs(600), not_before: None, issued_at: Some(now()) },
        jti: Some(jti.into()),
        kid: Some(kid.into()),
    }
}

pub(super) fn rules() -> Rules {
    Rules { leeway: Duration::from_secs(30), max_token_life: Duration::from_secs(86_400) }
}

pub(super) fn now() -> SystemTime {
    from_unix_seconds(NOW)
}

/// The entries of the issuer's key set.
pub(super) fn jwks() -> Vec<Value> {
    vec![RSA.jwk(), P256.jwk(), P384.jwk(), ED25519.jwk()]
}

/// A JWK set as bytes.
pub(super) fn document(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn key_set(keys: &[Value]) -> Arc<KeySet> {
    Arc::new(KeySet::parse(&document(keys)).unwrap())
}

/// HMAC with SHA-256.
pub(super) fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A token of these two texts, signed with a secret.
pub(super) fn hs256_token_of(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    format!("{signed}.{}", b64(&hmac(secret, signed.as_bytes())))
}

pub(super) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ec_jwk(kid: &str, crv: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": crv, "kid": kid, "x": b64(x), "y": b64(y)})
}
