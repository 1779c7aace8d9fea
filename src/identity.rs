//! Who calls: bearer tokens, the key sets they are checked against, and nothing else.
//!
//! It never says what a caller may do, and it never fetches anything that a token names.

mod authorization;
mod json;
mod jwks;

pub mod key_set;
pub mod token;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use authorization::{bearer, challenge};
pub use jwks::Refresher;
pub use token::{Reason, VerifiedToken};

use self::{
    jwks::Keys,
    token::{Rules, UnverifiedToken},
};
use crate::{domain::Clock, outbound::TlsRoots};

/// Turns bearer tokens into callers. One for the process, shared by all workers.
#[derive(Debug)]
pub struct Identity {
    issuers: Vec<Issuer>,
    rules: Rules,
    clock: Clock,
}

#[derive(Debug)]
struct Issuer {
    settings: IssuerSettings,
    keys: Arc<Keys>,
}

/// Why a request has no caller. The text is for whoever sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It carries no bearer token.
    #[error("the request carries no bearer token")]
    NoToken,
    /// It carries one that is not accepted.
    #[error("{0}")]
    Refused(Reason),
    /// The token's issuer is known, but its keys were never loaded: not the caller's fault.
    #[error("the keys of the token's issuer are not available")]
    KeysUnavailable,
}

/// Whether an issuer's tokens can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerReadiness {
    /// The issuer's name in the configuration.
    pub name: Arc<str>,
    /// Whether a key set was ever loaded.
    pub has_keys: bool,
    /// When its key set was last fetched and usable, by the wall clock.
    pub last_success: Option<SystemTime>,
    /// Fetches of its key set that brought a usable one.
    pub refreshes_succeeded: u64,
    /// Fetches that did not.
    pub refreshes_failed: u64,
}

impl Identity {
    /// The identity of a configuration, and the [`Refresher`] without which no keys are ever loaded.
    ///
    /// `roots` are the authorities that the issuers' certificates are checked against.
    pub fn new(settings: Settings, roots: TlsRoots, clock: Clock) -> (Arc<Self>, Refresher) {
        let rules = Rules { leeway: settings.leeway, max_token_life: settings.max_token_life };
        let now = clock.monotonic();
        let (mut issuers, mut sources) = (Vec::new(), Vec::new());
        for issuer in settings.issuers {
            let name = Arc::clone(&issuer.name);
            let keys = Arc::new(Keys::new(name, settings.jwks_refresh, settings.jwks_cooldown, now));
            sources.push((Arc::clone(&keys), issuer.keys.clone()));
            issuers.push(Issuer { settings: issuer, keys });
        }
        let refresher = Refresher { issuers: sources, roots, clock: clock.clone() };
        (Arc::new(Self { issuers, rules, clock }), refresher)
    }

    /// The caller behind a token. It waits only where the token names a key that is not in its issuer's set: for the
    /// one fetch that all such requests share, at most two seconds, and not at all inside the cooldown after it.
    pub async fn authenticate(&self, token: &str) -> Result<VerifiedToken, Denial> {
        let outcome = self.authenticate_now(token);
        if outcome != Err(Denial::Refused(Reason::KeyUnknown)) {
            return outcome;
        }
        let unverified = UnverifiedToken::parse(token).map_err(Denial::Refused)?;
        let (Some(issuer), Some(kid)) = (self.issuer(&unverified), unverified.kid()) else {
            return outcome;
        };
        issuer.keys.wait_for(kid, self.clock.monotonic()).await;
        self.authenticate_now(token)
    }

    /// The same with the keys at hand, without waiting: an unknown key is [`Reason::KeyUnknown`].
    pub fn authenticate_now(&self, token: &str) -> Result<VerifiedToken, Denial> {
        let unverified = UnverifiedToken::parse(token).map_err(Denial::Refused)?;
        let issuer = self.issuer(&unverified).ok_or(Denial::Refused(Reason::IssuerUnknown))?;
        unverified.check_algorithm(&issuer.settings).map_err(Denial::Refused)?;
        let keys = issuer.keys.current();
        let keys = keys.as_ref().ok_or(Denial::KeysUnavailable)?;
        unverified.verify(&issuer.settings, keys, &self.rules, self.clock.wall()).map_err(Denial::Refused)
    }

    /// Which issuers have keys, in the order of the configuration.
    pub fn readiness(&self) -> Vec<IssuerReadiness> {
        let readiness = |issuer: &Issuer| IssuerReadiness {
            name: Arc::clone(&issuer.settings.name),
            has_keys: issuer.keys.current().is_some(),
            last_success: issuer.keys.last_success(),
            refreshes_succeeded: issuer.keys.refreshes().0,
            refreshes_failed: issuer.keys.refreshes().1,
        };
        self.issuers.iter().map(readiness).collect()
    }

    /// The issuer that an unverified token names. What follows uses that issuer's keys, so a lie here helps nobody.
    fn issuer(&self, token: &UnverifiedToken<'_>) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.settings.issuer == token.issuer())
    }
}

impl Denial {
    /// The name in metrics and logs.
    /// Every word that [`Self::as_str`] can return.
    pub fn reasons() -> Vec<&'static str> {
        let others = [Self::NoToken, Self::KeysUnavailable].map(Self::as_str);
        others.into_iter().chain(Reason::ALL.into_iter().map(Reason::as_str)).collect()
    }

    /// The reason as a word of a closed set, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Refused(reason) => reason.as_str(),
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

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

    /// The algorithm of this exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

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
