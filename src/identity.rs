//! Who calls: bearer tokens, the key sets they are checked against, and nothing else.
//!
//! It never says what a caller may do, and it never fetches anything that a token names.

mod algorithm;
mod authorization;
mod denial;
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
    time::{Instant, SystemTime},
};

pub use algorithm::Algorithm;
pub use authorization::{b64token, bearer, challenge};
pub use denial::Denial;
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
    token::{Parts, Rules, UnverifiedToken},
};
use crate::{
    domain::Clock,
    outbound::{RootsError, TlsRoots},
};

/// Whose token it is, or why it is not accepted.
type Verdict = Result<Arc<VerifiedToken>, Denial>;

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
        let looked_up = bearer(authorization).map(|credentials| (credentials, self.look_up(credentials, last)));
        async move {
            let unknown = match looked_up {
                Ok((_, Ok(verdict))) => return verdict,
                Ok((credentials, Err(fingerprint))) => Ok((credentials, fingerprint)),
                Err(denial) => Err(denial),
            };
            Box::pin(self.admit_unknown(unknown, client)).await
        }
    }

    async fn admit_unknown(&self, credentials: Result<(&[u8], Fingerprint), Denial>, client: IpAddr) -> Verdict {
        if let Some(retry_after) = self.failures.pause(client, self.clock.monotonic()) {
            return Err(match credentials {
                Err(Denial::NoToken) => Denial::NoToken,
                _ => Denial::TooManyFailures { retry_after },
            });
        }
        let token = credentials.and_then(|(credentials, fingerprint)| Ok((b64token(credentials)?, fingerprint)));
        let outcome = match token {
            Ok((token, fingerprint)) => self.verify_or_wait(token, fingerprint).await,
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
        match self.look_up(token.as_bytes(), &LastToken::default()) {
            Ok(verdict) => verdict,
            Err(fingerprint) => self.verify_or_wait(token, fingerprint).await,
        }
    }

    /// The verdict on a token that was verified before by keys that are still its issuer's; nothing for any other, whatever
    /// it is made of. `last` is that of the connection.
    pub fn recognise(&self, token: &[u8], last: &LastToken) -> Option<Result<Arc<VerifiedToken>, Denial>> {
        self.look_up(token, last).ok()
    }

    /// The verdict on a token that is known; else its fingerprint, by which it can be remembered.
    fn look_up(&self, token: &[u8], last: &LastToken) -> Result<Verdict, Fingerprint> {
        let known = match last.get(token) {
            Some(known) => known,
            None => {
                let fingerprint = Fingerprint::of(token);
                let known = self.known.get(&fingerprint).ok_or(fingerprint)?;
                last.note(token, fingerprint, &known);
                known
            }
        };
        let keys = self.issuers[known.issuer].keys.current(self.clock.monotonic());
        let Some(keys) = keys.as_ref() else { return Ok(Err(Denial::KeysUnavailable)) };
        if !Arc::ptr_eq(keys, &known.keys) {
            return Err(self.forget(token, last));
        }
        let times = known.token.times.check(&self.rules, self.clock.wall());
        let verdict = times.and_then(|()| self.revocations.check(known.issuer, &known.token));
        if verdict == Err(Reason::Expired) {
            self.forget(token, last);
        }
        Ok(verdict.map(|()| Arc::clone(&known.token)).map_err(Denial::Refused))
    }

    fn forget(&self, token: &[u8], last: &LastToken) -> Fingerprint {
        let fingerprint = Fingerprint::of(token);
        self.known.forget(&fingerprint);
        last.forget();
        fingerprint
    }

    /// Verifies a token, where its key is not there after waiting for it, and remembers it by its fingerprint.
    async fn verify_or_wait(&self, token: &str, fingerprint: Fingerprint) -> Verdict {
        let parts = Parts::of(token).map_err(Denial::Refused)?;
        let unverified = UnverifiedToken::read(&parts).map_err(Denial::Refused)?;
        let mut outcome = self.verify(&unverified);
        if let Err(Denial::Refused(Reason::KeyUnknown)) = outcome
            && let (Some((_, issuer)), Some(kid)) = (self.issuer(&unverified), unverified.kid())
        {
            issuer.keys.wait_for(kid, self.clock.monotonic()).await;
            outcome = self.verify(&unverified);
        }
        let known = outcome?;
        let verified = Arc::clone(&known.token);
        self.known.insert(fingerprint, known);
        Ok(verified)
    }

    /// Verifies with the keys at hand.
    fn verify(&self, token: &UnverifiedToken<'_>) -> Result<Known, Denial> {
        let (place, issuer) = self.issuer(token).ok_or(Denial::Refused(Reason::IssuerUnknown))?;
        token.check_algorithm(&issuer.settings).map_err(Denial::Refused)?;
        let keys = issuer.keys.current(self.clock.monotonic());
        let keys = keys.as_ref().ok_or(Denial::KeysUnavailable)?;
        let verified = self.verify_with(token, place, keys).map_err(Denial::Refused)?;
        Ok(Known { token: Arc::new(verified), issuer: place, keys: Arc::clone(keys) })
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
