//! Everything that can fail at a start, each part tried whatever became of the others.
//!
//! Nothing here serves anybody: with one part missing the others are dropped, and all that is missing is told at once.

use std::{io, net::TcpListener, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Setup,
    failures::{Failure, Failures},
    life::Signals,
    listeners,
    sharing::Sharing,
    tls::Tls,
};
use crate::{
    audit::{self, Audit},
    domain::Clock,
    identity::{self, Identity},
    outbound::TlsRoots,
    policy::{self, Policies},
    telemetry,
    tencent::credentials::{self, CredentialStore},
};

/// What a gateway is made of, all of it there.
pub(super) struct Parts {
    pub(super) signals: Signals,
    /// SIGHUP. It is listened for before anything slow: until then it would end the process.
    pub(super) hangup: Signal,
    pub(super) files: Files,
    pub(super) credentials: Arc<CredentialStore>,
    pub(super) renewer: credentials::Refresher,
    /// The listeners of callers and of health checks, bound. What connects meanwhile waits in the kernel.
    pub(super) public: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) audit: Audit,
}

/// What is read from the files that the configuration names.
pub(super) struct Files {
    pub(super) roots: TlsRoots,
    pub(super) identity: Arc<Identity>,
    pub(super) refresher: identity::Refresher,
    /// What the folder of the policies looked like just before they were read.
    pub(super) policies_seen: policy::Fingerprint,
    pub(super) policies: Policies,
    /// TLS for the public listener, where it speaks it.
    pub(super) tls: Option<Arc<Tls>>,
    /// What is shared with other gateways, where anything is.
    pub(super) sharing: Option<Sharing>,
}

impl Parts {
    /// Tries all of them.
    ///
    /// # Errors
    ///
    /// Everything that keeps the gateway from serving, at least one thing.
    pub(super) async fn gather(setup: &Setup, clock: &Clock) -> Result<Self, Vec<Failure>> {
        let mut failures = Failures::default();
        failures.keep(telemetry::start(&setup.log), Failure::of_system);
        let no_signals = |error: io::Error| Failure::of_system(format!("signals cannot be received: {error}"));
        let signals = failures.keep(Signals::register(), no_signals);
        let hangup = failures.keep(signal(SignalKind::hangup()), no_signals);
        let roots = load_roots(setup, &mut failures);
        let keys = gather_credentials(setup, roots.as_ref(), clock, &mut failures).await;
        let mut files = Files::load(setup, roots, clock, &mut failures);
        if let Some(sharing) = files.as_mut().and_then(|files| files.sharing.as_mut()) {
            sharing.begin().await;
        }
        let mut bind = |key, address| failures.keep(listeners::bind(address), |error| Failure::of(key, error));
        let public = bind("server.listen", setup.server.listen);
        let admin = bind("server.admin_listen", setup.server.admin_listen);
        // Last, for it makes the file where there is none.
        let audit = failures.keep_all(Audit::start(&setup.audit, clock.clone()), |error| of_audit(&error));

        match (signals, hangup, files, keys, public, admin, audit) {
            (
                Some(signals),
                Some(hangup),
                Some(files),
                Some((credentials, renewer)),
                Some(public),
                Some(admin),
                Some(audit),
            ) if failures.is_empty() => Ok(Self { signals, hangup, files, credentials, renewer, public, admin, audit }),
            _ => Err(failures.into_list()),
        }
    }
}

impl Files {
    /// Reads all of them. Blocks on the disk.
    fn load(setup: &Setup, roots: Option<TlsRoots>, clock: &Clock, failures: &mut Failures) -> Option<Self> {
        let identity = failures.keep_all(Identity::new(&setup.auth, clock.clone()), |error| {
            let key = error.key();
            Failure::of(key, error)
        });
        let policies_seen = policy::Fingerprint::of(&setup.policy.dir);
        let policies = failures.keep_all(Policies::load(&setup.policy.dir), |error| Failure::of("policy.dir", error));
        let tls = setup.server.tls.clone().map(|settings| {
            let tls = Tls::load(settings, clock.clone()).map(Arc::new);
            failures.keep_all(tls, |error| Failure::of(error.key, error))
        });
        let sharing = Sharing::load(setup, clock, failures);
        let (identity, refresher) = identity?;
        let tls = match tls {
            Some(tls) => Some(tls?),
            None => None,
        };
        Some(Self { roots: roots?, identity, refresher, policies_seen, policies: policies?, tls, sharing })
    }
}

/// Everything that a start would find wrong with the files that `setup` names. Neither ports nor the environment nor the
/// network are looked at: they are those of another machine, as a rule.
pub fn check_files(setup: &Setup) -> Vec<Failure> {
    let mut failures = Failures::default();
    let roots = load_roots(setup, &mut failures);
    let file = credentials::check_file(&setup.tencent.credentials);
    failures.keep(file, |error| Failure::of("tencent.credentials.file", error));
    Files::load(setup, roots, &Clock::machine(), &mut failures);
    if let Some(path) = setup.audit.key_file() {
        failures.keep(audit::Keys::load(path), |error| Failure::of(audit::KEY_FILE, error));
    }
    failures.into_list()
}

fn load_roots(setup: &Setup, failures: &mut Failures) -> Option<TlsRoots> {
    failures.keep(TlsRoots::load(setup.tencent.ca_file.as_deref()), |error| Failure::of("tencent.ca_file", error))
}

/// The first credentials. Where the operator's roots cannot be read, the built-in ones stand in for them, which are
/// trusted anyway; a call that fails then may have failed for that, so it is not told as a mistake of its own.
async fn gather_credentials(
    setup: &Setup,
    roots: Option<&TlsRoots>,
    clock: &Clock,
    failures: &mut Failures,
) -> Option<(Arc<CredentialStore>, credentials::Refresher)> {
    let built_in = TlsRoots::built_in();
    let found = CredentialStore::start(&setup.tencent.credentials, roots.unwrap_or(&built_in), clock).await;
    match found {
        Err(error) if roots.is_none() && error.may_pass() => None,
        found => failures.keep(found, |error| Failure::of("tencent.credentials", error)),
    }
}

fn of_audit(error: &audit::StartError) -> Failure {
    Failure { key: error.key(), reason: error.to_string() }
}
