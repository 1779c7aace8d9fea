//! TLS on the public listener: what new connections are accepted with, and how that is replaced.
//!
//! One configuration is in force for all workers at a time, and it is swapped whole: a connection never meets the
//! certificate of one moment and the client authorities of another. What has a mistake is never put in force.

mod accept;
mod certificate;
mod files;
mod mistake;
mod reminder;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};

pub(super) use accept::{Admitted, Gate};
use files::Identity;
pub(super) use files::{Files, Fingerprint};
use mistake::Mistake;
pub(super) use mistake::TlsError;

use crate::{
    domain::{
        Clock,
        clock::{rfc3339, unix_seconds},
    },
    http::Lease,
};
use certificate::Validity;
use reminder::Reminder;

/// What `[server.tls]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server's certificate and those of its issuers, in PEM.
    pub cert_file: PathBuf,
    /// The private key of the first of them, in PEM.
    pub key_file: PathBuf,
    /// Whose certificates a client must show; without it none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// The one protocol that is spoken inside. Offering it is also what keeps a client from trying another.
const ALPN: &[u8] = b"http/1.1";

/// Sessions of TLS 1.2 that are remembered for clients that take no ticket, a few hundred bytes each; the oldest makes
/// room.
const SESSIONS: usize = 1024;

/// The configuration in force, and what it takes to make the next one.
pub(super) struct Tls {
    settings: Settings,
    at_start: Fingerprint,
    means: Means,
    in_force: ArcSwap<InForce>,
    reminder: Mutex<Reminder>,
}

/// What a configuration is made of beside the files. It lives as long as the process: sessions are resumed over workers,
/// and over a change of the certificate.
struct Means {
    provider: Arc<CryptoProvider>,
    clock: Clock,
    /// Tickets that the client keeps, under keys that change every six hours and never leave the process.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// What new connections are accepted with.
struct InForce {
    config: Arc<ServerConfig>,
    clients: Arc<Clients>,
    validity: Validity,
}

/// Whose certificates clients must show, if anybody's, and how long connections last that were let in by it.
struct Clients {
    authorities: Vec<CertificateDer<'static>>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    lease: Lease,
}

impl Tls {
    /// What the files say now, taken into force. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files, at least one thing.
    pub(super) fn load(settings: Settings, clock: Clock) -> Result<Self, Vec<TlsError>> {
        let files = Files::read(&settings);
        let means = Means::new(clock).map_err(|mistake| files.refuse_certificate(mistake))?;
        let in_force = ArcSwap::from_pointee(InForce::new(&files, &means, None)?);
        Ok(Self { settings, at_start: files.fingerprint(), means, in_force, reminder: Mutex::default() })
    }

    /// Which files [`Tls::load`] has taken.
    pub(super) fn at_start(&self) -> Fingerprint {
        self.at_start
    }

    /// Where the files are.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes new files into force, for connections from now on. Those that are open stay open; where the authorities of
    /// clients have changed, those that were begun under the old ones end with their next answer.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files, at least one thing; what was in force stays so.
    pub(super) fn replace(&self, files: &Files) -> Result<(), Vec<TlsError>> {
        let before = self.in_force.load_full();
        let next = InForce::new(files, &self.means, Some(&before.clients))?;
        let have_clients_changed = !Arc::ptr_eq(&next.clients, &before.clients);
        self.in_force.store(Arc::new(next));
        if have_clients_changed {
            before.clients.lease.end();
        }
        *self.reminder.lock().unwrap_or_else(PoisonError::into_inner) = Reminder::default();
        Ok(())
    }

    /// The end of the first of the certificates in force to end.
    pub(super) fn expires(&self) -> SystemTime {
        self.in_force.load().validity.not_after
    }

    /// Says that the certificate is about to end, or has, where it is time to say so again.
    pub(super) fn remind(&self) {
        let now = self.means.clock.wall();
        let validity = self.in_force.load().validity;
        let is_due = self.reminder.lock().unwrap_or_else(PoisonError::into_inner).is_due(&validity, now);
        if !is_due {
            return;
        }
        let file = self.settings.cert_file.display();
        let not_after = rfc3339(validity.not_after);
        match validity.not_after.duration_since(now) {
            Ok(left) => {
                let days = left.as_secs() / (24 * 60 * 60);
                tracing::warn!(%file, not_after, days, "the certificate of server.tls.cert_file is about to expire");
            }
            Err(_) => {
                tracing::error!(%file, not_after, "the certificate of server.tls.cert_file has expired: clients refuse it");
            }
        }
    }
}

impl Means {
    fn new(clock: Clock) -> Result<Self, Mistake> {
        let tickets = aws_lc_rs::Ticketer::new().map_err(|_| Mistake::NoRandomness)?;
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self { provider: Arc::new(provider()), clock, tickets, sessions })
    }

    fn config(&self, key: CertifiedKey, clients: &Clients) -> ServerConfig {
        let time = Arc::new(OurTime(self.clock.clone()));
        let builder = ServerConfig::builder_with_details(Arc::clone(&self.provider), time)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3");
        let key = Arc::new(SingleCertAndKey::from(key));
        let mut config = match &clients.verifier {
            None => {
                let mut config = builder.with_no_client_auth().with_cert_resolver(key);
                config.ticketer = Arc::clone(&self.tickets);
                config.session_storage = Arc::clone(&self.sessions);
                config
            }
            // A resumed session brings its client's certificate along, and nobody looks at it again: it could have
            // ended since, or its authority could be one that is trusted no more. So each connection shows its own.
            Some(verifier) => {
                let builder = builder.with_client_cert_verifier(Arc::clone(verifier));
                let mut config = builder.with_cert_resolver(key);
                config.send_tls13_tickets = 0;
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config
    }
}

/// rustls' own choice of ciphers and curves, but for the order of key exchanges: the one that a quantum computer does
/// not undo comes first, for traffic that is recorded today holds URLs and tokens.
fn provider() -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    CryptoProvider { kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1], ..aws_lc_rs::default_provider() }
}

impl InForce {
    /// `before` is kept where the authorities of clients are the same.
    fn new(files: &Files, means: &Means, before: Option<&Arc<Clients>>) -> Result<Self, Vec<TlsError>> {
        let identity = files.identity(&means.provider, means.clock.wall());
        let clients = files.client_authorities().and_then(|authorities| match before {
            Some(before) if before.authorities == authorities => Ok(Arc::clone(before)),
            _ => Clients::new(authorities, files, &means.provider).map(Arc::new),
        });
        let (Identity { key, validity }, clients) = mistake::both(identity, clients)?;
        let config = Arc::new(means.config(key, &clients));
        Ok(Self { config, clients, validity })
    }
}

impl Clients {
    fn new(
        authorities: Vec<CertificateDer<'static>>,
        files: &Files,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Vec<TlsError>> {
        let refused = |mistake| files.refuse_client_authorities(mistake);
        if authorities.is_empty() {
            return Ok(Self { authorities, verifier: None, lease: Lease::default() });
        }
        let mut roots = RootCertStore::empty();
        for (index, authority) in authorities.iter().enumerate() {
            let unusable = |_| refused(Mistake::NoAuthority { number: index + 1 });
            roots.add(authority.clone()).map_err(unusable)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let verifier = builder.build().map_err(|_| refused(Mistake::NoCertificate))?;
        Ok(Self { authorities, verifier: Some(verifier), lease: Lease::default() })
    }
}

/// Our clock, as rustls asks for it.
#[derive(Debug)]
struct OurTime(Clock);

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.wall()))
    }
}

fn unix_time(at: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds(at)))
}

/// What is in force holds the private key, so it says nothing of itself.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}
