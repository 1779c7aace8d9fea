//! Who calls: bearer tokens, the key sets they are checked against, and nothing else.
//!
//! It never says what a caller may do, and it never fetches anything that a token names.

mod algorithm;
mod authorization;
mod failures;
mod json;
mod jwks;
mod known;
mod reason;
mod reload;
mod revocation;
mod settings;

pub mod key_set;
pub mod token;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

pub use algorithm::Algorithm;
pub use authorization::{b64token, bearer, challenge};
pub use jwks::{Refresher, Reloaded};
pub use known::LastToken;
pub use reason::Reason;
pub use revocation::{Mistake, RevocationError};
pub use settings::{FailureLimits, InvalidKeySetUrl, IssuerSettings, KeySetUrl, KeySource, Settings};
pub use token::VerifiedToken;

use self::{
    failures::Failures,
    jwks::Keys,
    key_set::{KeySet, KeySetError},
    known::{Fingerprint, Known, KnownTokens},
    revocation::Revocations,
    token::{Rules, UnverifiedToken},
};
use crate::{
    domain::Clock,
    outbound::{RootsError, TlsRoots},
};

/// Turns bearer tokens into callers. One for the process, shared by all workers.
#[derive(Debug)]
pub struct Identity {
    issuers: Vec<Issuer>,
    rules: Rules,
    revocations: Arc<Revocations>,
    known: KnownTokens,
    failures: Failures,
    clock: Clock,
}

#[derive(Debug)]
struct Issuer {
    settings: IssuerSettings,
    keys: Arc<Keys>,
    /// What no name of its tokens may begin with; empty where it has a prefix of its own.
    foreign_prefixes: Vec<Arc<str>>,
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
    /// The token's issuer is known, but its keys were never loaded, or too long ago: not the caller's fault.
    #[error("the keys of the token's issuer are not available")]
    KeysUnavailable,
    /// Its address has failed too often, and what it carries was not looked at.
    #[error("too many requests from this address carried no acceptable token")]
    TooManyFailures {
        /// When the address is heard again.
        retry_after: Duration,
    },
}

/// Why there is no identity of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The list of revocations is not one.
    #[error("the list of revocations: {0}")]
    Revocations(#[from] RevocationError),
    /// An issuer's `ca_file` is of no use.
    #[error("ca_file of issuer {issuer}: {error}")]
    Roots {
        /// The issuer's name.
        issuer: Arc<str>,
        /// What is wrong with the file.
        error: RootsError,
    },
    /// An issuer's `hs256_secret_file` cannot be read.
    #[error("hs256_secret_file of issuer {issuer}: {path} cannot be read: {reason}")]
    SecretFile {
        /// The issuer's name.
        issuer: Arc<str>,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: io::ErrorKind,
    },
    /// An issuer's `hs256_secret_file` holds no secret that is fit for use.
    #[error("hs256_secret_file of issuer {issuer}: {error}")]
    Secret {
        /// The issuer's name.
        issuer: Arc<str>,
        /// What is wrong with it.
        error: KeySetError,
    },
    /// An issuer's file of keys was to be read again, and is of no use.
    #[error("the keys of issuer {issuer}: {reason}")]
    KeyFile {
        /// The issuer's name.
        issuer: Arc<str>,
        /// What is wrong with the file.
        reason: String,
    },
}

impl IdentityError {
    /// The configuration key of the file, a dotted path.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Revocations(_) => "auth.revoked_file",
            Self::Roots { .. } | Self::SecretFile { .. } | Self::Secret { .. } | Self::KeyFile { .. } => "auth.issuers",
        }
    }
}

/// Whether an issuer's tokens can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerReadiness {
    /// The issuer's name in the configuration.
    pub name: Arc<str>,
    /// Whether a key set was loaded, and not too long ago.
    pub has_keys: bool,
    /// When its key set was last fetched and usable, by the wall clock.
    pub last_success: Option<SystemTime>,
    /// Fetches of its key set that brought a usable one.
    pub refreshes_succeeded: u64,
    /// Fetches that did not.
    pub refreshes_failed: u64,
    /// Whether its keys stand in a file that could not be used when it was last read.
    pub has_bad_file: bool,
}

impl Identity {
    /// The identity of a configuration, and the [`Refresher`] without which no keys are ever loaded. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Each file that decides who is let in and cannot do so. Key sets are another matter: they may come later.
    pub fn new(settings: &Settings, clock: Clock) -> Result<(Arc<Self>, Refresher), Vec<IdentityError>> {
        let mut errors: Vec<_> = settings.issuers.iter().flat_map(check_files).collect();
        let names = settings.issuers.iter().map(|issuer| Arc::clone(&issuer.name)).collect();
        let revocations = match Revocations::load(settings.revoked_file.as_deref(), names) {
            Ok(revocations) if errors.is_empty() => Arc::new(revocations),
            Ok(_) => return Err(errors),
            Err(error) => {
                errors.push(error.into());
                return Err(errors);
            }
        };

        let rules = Rules { leeway: settings.leeway, max_token_life: settings.max_token_life };
        let now = clock.monotonic();
        let issuers: Vec<_> = settings.issuers.iter().map(|issuer| Issuer::new(issuer, settings, now)).collect();
        let sources = issuers.iter().map(|issuer| (Arc::clone(&issuer.keys), &issuer.settings)).collect();
        let refresher = Refresher::new(sources, Arc::clone(&revocations), TlsRoots::built_in(), clock.clone());
        let identity = Self {
            issuers,
            rules,
            revocations,
            known: KnownTokens::new(),
            failures: Failures::new(settings.failed_auth),
            clock,
        };
        Ok((Arc::new(identity), refresher))
    }

    /// The caller behind the `Authorization` header fields of a request from `client`.
    ///
    /// A token that is known costs a hash and a look-up, and one that its connection keeps bringing not even that. Any other
    /// is looked at only while its address has not failed
    /// too often; whatever is then refused counts against the address. Where there is no token there is nothing to look
    /// at, so the answer is the same however often the address has failed.
    ///
    /// # Errors
    ///
    /// Why there is no caller.
    pub fn admit<'s, 'a, I: IntoIterator<Item = &'a [u8]>>(
        &'s self,
        authorization: I,
        client: IpAddr,
        last: &LastToken,
    ) -> impl Future<Output = Result<Arc<VerifiedToken>, Denial>> + use<'s, 'a, I> {
        let credentials = bearer(authorization);
        let verdict = credentials.ok().and_then(|credentials| self.recognise(credentials, last));
        async move {
            match verdict {
                Some(verdict) => verdict,
                None => Box::pin(self.admit_unknown(credentials, client)).await,
            }
        }
    }

    async fn admit_unknown(
        &self,
        credentials: Result<&[u8], Denial>,
        client: IpAddr,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        if let Some(retry_after) = self.failures.pause(client, self.clock.monotonic()) {
            return Err(match credentials {
                Err(Denial::NoToken) => Denial::NoToken,
                _ => Denial::TooManyFailures { retry_after },
            });
        }
        let outcome = match credentials.and_then(b64token) {
            Ok(token) => self.verify_or_wait(token).await,
            Err(denial) => Err(denial),
        };
        if let Err(Denial::NoToken | Denial::Refused(_)) = outcome {
            self.failures.count(client, self.clock.monotonic());
        }
        outcome
    }

    /// The caller behind a token, for whom no failures are counted. It waits only where the token names a key that is
    /// not in its issuer's set: for the one fetch that all such requests share, at most two seconds, and not at all
    /// inside the cooldown after it.
    ///
    /// # Errors
    ///
    /// Why there is no caller.
    pub async fn authenticate(&self, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
        match self.recognise(token.as_bytes(), &LastToken::default()) {
            Some(verdict) => verdict,
            None => self.verify_or_wait(token).await,
        }
    }

    /// The verdict on a token that was verified before by keys that are still its issuer's; nothing for any other, whatever
    /// it is made of. `last` is that of the connection.
    pub fn recognise(&self, token: &[u8], last: &LastToken) -> Option<Result<Arc<VerifiedToken>, Denial>> {
        let known = last.get(token).or_else(|| {
            let fingerprint = Fingerprint::of(token);
            let known = self.known.get(&fingerprint)?;
            last.note(token, fingerprint, &known);
            Some(known)
        })?;
        let keys = self.issuers[known.issuer].keys.current(self.clock.monotonic());
        let Some(keys) = keys.as_ref() else { return Some(Err(Denial::KeysUnavailable)) };
        if !Arc::ptr_eq(keys, &known.keys) {
            self.forget(token, last);
            return None;
        }
        let times = known.token.times.check(&self.rules, self.clock.wall());
        let verdict = times.and_then(|()| self.revocations.check(known.issuer, &known.token));
        if verdict == Err(Reason::Expired) {
            self.forget(token, last);
        }
        Some(verdict.map(|()| Arc::clone(&known.token)).map_err(Denial::Refused))
    }

    fn forget(&self, token: &[u8], last: &LastToken) {
        self.known.forget(&Fingerprint::of(token));
        last.forget();
    }

    async fn verify_or_wait(&self, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
        let outcome = self.verify(token);
        if !matches!(outcome, Err(Denial::Refused(Reason::KeyUnknown))) {
            return outcome;
        }
        let unverified = UnverifiedToken::parse(token).map_err(Denial::Refused)?;
        let (Some((_, issuer)), Some(kid)) = (self.issuer(&unverified), unverified.kid()) else {
            return outcome;
        };
        issuer.keys.wait_for(kid, self.clock.monotonic()).await;
        self.verify(token)
    }

    /// Verifies with the keys at hand, and remembers a success.
    fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
        let unverified = UnverifiedToken::parse(token).map_err(Denial::Refused)?;
        let (place, issuer) = self.issuer(&unverified).ok_or(Denial::Refused(Reason::IssuerUnknown))?;
        unverified.check_algorithm(&issuer.settings).map_err(Denial::Refused)?;
        let keys = issuer.keys.current(self.clock.monotonic());
        let keys = keys.as_ref().ok_or(Denial::KeysUnavailable)?;
        let verified = self.verify_with(&unverified, place, keys).map(Arc::new).map_err(Denial::Refused)?;
        let known = Known { token: Arc::clone(&verified), issuer: place, keys: Arc::clone(keys) };
        self.known.insert(Fingerprint::of(token.as_bytes()), known);
        Ok(verified)
    }

    fn verify_with(&self, token: &UnverifiedToken<'_>, place: usize, keys: &KeySet) -> Result<VerifiedToken, Reason> {
        let issuer = &self.issuers[place];
        let verified = token.verify(&issuer.settings, keys, &self.rules, self.clock.wall())?;
        issuer.check_names(&verified)?;
        self.revocations.check(place, &verified)?;
        Ok(verified)
    }

    /// Which issuers have keys, in the order of the configuration.
    pub fn readiness(&self) -> Vec<IssuerReadiness> {
        let now = self.clock.monotonic();
        let readiness = |issuer: &Issuer| IssuerReadiness {
            name: Arc::clone(&issuer.settings.name),
            has_keys: issuer.keys.current(now).is_some(),
            last_success: issuer.keys.last_success(),
            refreshes_succeeded: issuer.keys.refreshes().0,
            refreshes_failed: issuer.keys.refreshes().1,
            has_bad_file: issuer.settings.keys.is_file() && issuer.keys.is_failing(),
        };
        self.issuers.iter().map(readiness).collect()
    }

    /// The issuer that an unverified token names, with its place. What follows uses that issuer's keys, so a lie here
    /// helps nobody.
    fn issuer(&self, token: &UnverifiedToken<'_>) -> Option<(usize, &Issuer)> {
        self.issuers.iter().enumerate().find(|(_, issuer)| issuer.settings.issuer == token.issuer())
    }
}

impl Issuer {
    fn new(issuer: &IssuerSettings, settings: &Settings, now: Instant) -> Self {
        // An issuer with a prefix cannot write another's: none begins with another.
        let has_prefix = !issuer.prefix.is_empty();
        let prefixes = settings.issuers.iter().map(|other| &other.prefix);
        let foreign = prefixes.filter(|prefix| !has_prefix && !prefix.is_empty());
        Self {
            settings: issuer.clone(),
            keys: Arc::new(Keys::new(issuer, settings, now)),
            foreign_prefixes: foreign.cloned().collect(),
        }
    }

    /// Whether no name in the token could be taken for one that another issuer gave.
    fn check_names(&self, token: &VerifiedToken) -> Result<(), Reason> {
        let is_foreign = |name: &Arc<str>| self.foreign_prefixes.iter().any(|prefix| name.starts_with(&**prefix));
        let mut names = std::iter::once(&token.caller.subject).chain(&token.caller.groups);
        if names.any(is_foreign) { Err(Reason::ForeignPrefix) } else { Ok(()) }
    }
}

/// What is wrong with those files of an issuer that never change their kind.
fn check_files(settings: &IssuerSettings) -> Vec<IdentityError> {
    let issuer = || Arc::clone(&settings.name);
    let mut errors = Vec::new();
    if let Some(ca_file) = &settings.ca_file
        && let Err(error) = TlsRoots::load(Some(ca_file))
    {
        errors.push(IdentityError::Roots { issuer: issuer(), error });
    }
    if let KeySource::Secret(path) = &settings.keys {
        match jwks::read_secret(path).map(KeySet::of_secret) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => errors.push(IdentityError::Secret { issuer: issuer(), error }),
            Err(reason) => errors.push(IdentityError::SecretFile { issuer: issuer(), path: path.clone(), reason }),
        }
    }
    errors
}

impl Denial {
    /// Every word of [`Self::as_str`] for a request that was looked at.
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
            Self::TooManyFailures { .. } => "too_many_failures",
        }
    }
}
