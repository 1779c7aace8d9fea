//! Tokens to order, honest ones and others.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::keys::{KeyTrio, base64url};
use crate::text::random_uuid;

/// The audience of the gateway in its example configuration.
const AUDIENCE: &str = "redis-backup-gateway";

/// What a token is to say and how it is to be signed. The default is a good token of `alice`, for an hour.
///
/// The names of the fields are those of the JSON that `/token` and the control port take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenSpec {
    /// `sub`.
    pub sub: String,
    /// `groups`; left out of the token when empty.
    pub groups: Vec<String>,
    /// `aud`: a string when there is one, a list when there are more, left out when there are none.
    pub aud: Vec<String>,
    /// `iss`; the sandbox's issuer unless given.
    pub iss: Option<String>,
    /// `exp` − `iat`, in seconds; negative for a token that was never good.
    pub lifetime_s: i64,
    /// `iat` in seconds since 1970; now unless given.
    pub issued_at: Option<i64>,
    /// The algorithm.
    pub alg: Algorithm,
    /// The key.
    pub key: SigningKey,
    /// `kid`; the id of the key unless given.
    pub kid: Option<String>,
    /// Whether `kid` is left out.
    pub no_kid: bool,
    /// Further claims; they replace those above, and `null` removes one.
    pub claims: Map<String, Value>,
    /// Further members of the header; they replace those above, and `null` removes one.
    pub header: Map<String, Value>,
    /// Whether a bit of the signature is flipped.
    pub broken_signature: bool,
}

/// The algorithms that the issuer signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name as in a JOSE header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Which of the issuer's keys signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningKey {
    /// The newest one.
    Current,
    /// The one before the last rotation, whether it is still published or not.
    Previous,
    /// One that was never published, under the id of the newest one.
    Unpublished,
}

impl Default for TokenSpec {
    fn default() -> Self {
        Self {
            sub: "alice".into(),
            groups: Vec::new(),
            aud: vec![AUDIENCE.into()],
            iss: None,
            lifetime_s: 3600,
            issued_at: None,
            alg: Algorithm::Rs256,
            key: SigningKey::Current,
            kid: None,
            no_kid: false,
            claims: Map::new(),
            header: Map::new(),
            broken_signature: false,
        }
    }
}

impl TokenSpec {
    /// A good token of this subject.
    #[must_use]
    pub fn new(sub: &str) -> Self {
        Self { sub: sub.into(), ..Self::default() }
    }

    /// In one more group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.groups.push(group.into());
        self
    }

    /// For this audience instead.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.aud = vec![audience.into()];
        self
    }

    /// From this issuer instead.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.iss = Some(issuer.into());
        self
    }

    /// Good for so many seconds.
    #[must_use]
    pub fn lifetime_s(mut self, seconds: i64) -> Self {
        self.lifetime_s = seconds;
        self
    }

    /// Issued at this time, in seconds since 1970.
    #[must_use]
    pub fn issued_at(mut self, unix: i64) -> Self {
        self.issued_at = Some(unix);
        self
    }

    /// Signed with this algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.alg = algorithm;
        self
    }

    /// Signed with this key.
    #[must_use]
    pub fn signed_by(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    /// With this `kid` instead.
    #[must_use]
    pub fn kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Without a `kid`.
    #[must_use]
    pub fn without_kid(mut self) -> Self {
        self.no_kid = true;
        self
    }

    /// With one more claim; `null` removes one.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// With one more member of the header; `null` removes one.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// With a signature that is wrong by a bit.
    #[must_use]
    pub fn with_broken_signature(mut self) -> Self {
        self.broken_signature = true;
        self
    }
}

/// Makes the token (RFC 7519) at the machine's time `now`.
pub(super) fn mint(spec: &TokenSpec, issuer: &str, keys: &KeyTrio, now: i64) -> String {
    let issued_at = spec.issued_at.unwrap_or(now);
    let mut header = Map::from_iter([("alg".into(), spec.alg.name().into()), ("typ".into(), "JWT".into())]);
    if !spec.no_kid {
        header.insert("kid".into(), spec.kid.clone().unwrap_or_else(|| keys.id(spec.alg)).into());
    }
    let mut claims = Map::from_iter([
        ("iss".into(), spec.iss.as_deref().unwrap_or(issuer).into()),
        ("sub".into(), spec.sub.as_str().into()),
        ("iat".into(), issued_at.into()),
        ("exp".into(), issued_at.saturating_add(spec.lifetime_s).into()),
        ("jti".into(), random_uuid().into()),
    ]);
    match spec.aud.as_slice() {
        [] => {}
        [one] => drop(claims.insert("aud".into(), one.as_str().into())),
        more => drop(claims.insert("aud".into(), json!(more))),
    }
    if !spec.groups.is_empty() {
        claims.insert("groups".into(), json!(spec.groups));
    }
    overlay(&mut header, &spec.header);
    overlay(&mut claims, &spec.claims);

    let part = |members: Map<String, Value>| base64url(Value::Object(members).to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let mut signature = keys.sign(spec.alg, message.as_bytes());
    if spec.broken_signature {
        signature[0] ^= 1;
    }
    format!("{message}.{}", base64url(&signature))
}

fn overlay(members: &mut Map<String, Value>, with: &Map<String, Value>) {
    for (name, value) in with {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn parts(token: &str) -> (Value, Value) {
        let decode =
            |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
        let parts: Vec<&str> = token.split('.').collect();
        (decode(parts[0]), decode(parts[1]))
    }

    #[test]
    fn a_token_says_what_was_ordered() {
        let keys = KeyTrio::generate(1);
        let spec =
            TokenSpec::new("bob").group("dba").lifetime_s(60).claim("email", "b@example.com").claim("jti", Value::Null);

        let (header, claims) = parts(&mint(&spec.algorithm(Algorithm::EdDsa), "http://issuer", &keys, 1000));

        assert_eq!(header, json!({"alg": "EdDSA", "typ": "JWT", "kid": "eddsa-1"}));
        let expected = json!({"iss": "http://issuer", "sub": "bob", "aud": "redis-backup-gateway", "groups": ["dba"],
                              "iat": 1000, "exp": 1060, "email": "b@example.com"});
        assert_eq!(claims, expected);
    }
}
