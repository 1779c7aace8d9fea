//! Who calls: bearer tokens, the key sets they are checked against, and nothing else.

use std::{path::PathBuf, sync::Arc, time::Duration};

/// What `[auth]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tolerated difference of clocks for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The longest that a token may still be valid.
    pub max_token_life: Duration,
    /// The time between two refreshes of a key set in the background.
    pub jwks_refresh: Duration,
    /// The least time between fetches caused by unknown key ids.
    pub jwks_cooldown: Duration,
    /// The issuers, in the order of the file; at least one.
    pub issuers: Vec<IssuerSettings>,
}

/// One `[[auth.issuers]]`.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// Names the issuer in logs, audit and metrics; unique.
    pub name: Arc<str>,
    /// Stands before `sub` and groups in policies; unique.
    pub prefix: Arc<str>,
    /// The exact value of `iss`.
    pub issuer: String,
    /// Accepted values of `aud`; at least one.
    pub audiences: Vec<String>,
    /// Accepted signature algorithms; at least one.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// The path of the claim that lists groups, split at the dots; empty where no claim is named.
    pub groups_claim: Vec<String>,
}

/// Where an issuer's key set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A URL, `https` or `http` on loopback.
    Url(String),
    /// A file with a JWK set, re-read on the refresh interval.
    File(PathBuf),
}

/// A signature algorithm of RFC 7518 or RFC 8037 that an issuer may use. Asymmetric ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// EdDSA on Curve25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, in the order of RFC 7518.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The value of `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}
