//! What is replaced while the gateway serves: on SIGHUP, and when a watched file changes.
//!
//! A reload that fails keeps what was in force, says why, and is counted. It never runs on a worker or on the thread
//! that grants the quota's tokens: files may be slow, and a set of policies takes a while to check.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::Signal,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::tls::{self, Tls};
use crate::{
    audit::Audit,
    broker::Broker,
    cache::{self, shared::Ring},
    domain::{Clock, Steady},
    identity::{self, Identity, IdentityError},
    metrics::Metrics,
    policy::{self, Policies},
    tencent::credentials::{Change, CredentialStore, CredentialsError},
};

/// What the cloud credentials are called in the log and in the counts.
const CREDENTIALS: &str = "credentials";

/// How often watched files are looked at. Kubernetes swaps the links of mounted files without a signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there may be something to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A second has passed.
    Look,
    /// SIGHUP: the operator wants it, whether anything has changed or not.
    Signal,
}

/// What is wrong with what was to be taken into force, a line each.
#[derive(Debug)]
pub(super) struct Refused(Vec<String>);

/// Something that can be replaced. Each knows itself how to see whether there is anything new.
#[derive(Clone)]
pub(super) struct Reloadable {
    what: &'static str,
    reload: Arc<Mutex<Reload>>,
}

type Reload = dyn FnMut(Trigger) -> Option<Result<(), Refused>> + Send;

impl Reloadable {
    /// `reload` blocks. It answers nothing where there is nothing to do.
    pub(super) fn new(
        what: &'static str,
        reload: impl FnMut(Trigger) -> Option<Result<(), Refused>> + Send + 'static,
    ) -> Self {
        Self { what, reload: Arc::new(Mutex::new(reload)) }
    }

    /// The policies of a folder, of which those are in force that `taken` is the look of.
    pub(super) fn policies(dir: PathBuf, taken: policy::Fingerprint, broker: Arc<Broker>) -> Self {
        let mut steady = Steady::new(taken);
        Self::new("policies", move |trigger| {
            let now = policy::Fingerprint::of(&dir);
            match trigger {
                Trigger::Look if !steady.look(now) => return None,
                Trigger::Look => {}
                Trigger::Signal => steady.take(now),
            }
            let loaded = Policies::load(&dir);
            let refused = |errors: policy::PolicyErrors| Refused(errors.iter().map(ToString::to_string).collect());
            Some(loaded.map(|policies| broker.replace_policies(policies)).map_err(refused))
        })
    }

    /// The cloud credentials. They are renewed elsewhere and for more reasons; SIGHUP is one of them.
    pub(super) fn credentials(store: Arc<CredentialStore>) -> Self {
        Self::new(CREDENTIALS, move |trigger| {
            if trigger == Trigger::Signal {
                store.reload();
                if !store.can_change() {
                    tracing::warn!(what = CREDENTIALS, "those of the environment change with a restart");
                }
            }
            None
        })
    }
}

impl Reloadable {
    /// The list of revocations and the keys of issuers in files. The room of identity looks at both by itself; SIGHUP has
    /// them taken as they are, whatever was seen before.
    pub(super) fn identity(identity: &Arc<Identity>) -> [Self; 2] {
        let (revoking, verifying) = (Arc::clone(identity), Arc::clone(identity));
        let revocations = Self::new(identity::Reloaded::Revocations.as_str(), move |trigger| {
            let outcome = (trigger == Trigger::Signal).then(|| revoking.reload_revocations()).flatten()?;
            Some(outcome.map_err(|error| Refused(vec![error.to_string()])))
        });
        let key_files = Self::new(identity::Reloaded::KeyFile.as_str(), move |trigger| {
            let outcome = (trigger == Trigger::Signal).then(|| verifying.reload_key_files()).flatten()?;
            let line = |error: IdentityError| error.to_string();
            Some(outcome.map_err(|errors| Refused(errors.into_iter().map(line).collect())))
        });
        [revocations, key_files]
    }

    /// The audit's key, and on a signal its file.
    pub(super) fn audit(audit: Audit, key_file: Option<PathBuf>) -> Self {
        let look = move || key_file.as_deref().and_then(digest);
        let mut steady = Steady::new(look());
        Self::new("audit", move |trigger| {
            let now = look();
            match trigger {
                Trigger::Look if !steady.look(now) => return None,
                Trigger::Look => {}
                Trigger::Signal => steady.take(now),
            }
            Some(audit.reopen().map_err(|error| Refused(vec![error.to_string()])))
        })
    }
}

impl Reloadable {
    /// The certificate, its key, and the authorities of clients.
    pub(super) fn tls(tls: Arc<Tls>, metrics: Arc<Metrics>) -> Self {
        metrics.tls.expires(tls.expires());
        let mut steady = Steady::new(tls.at_start());
        Self::new("tls", move |trigger| {
            tls.remind();
            let files = tls::Files::read(tls.settings());
            match trigger {
                Trigger::Look if !steady.look(files.fingerprint()) => return None,
                Trigger::Look => {}
                Trigger::Signal => steady.take(files.fingerprint()),
            }
            // What was looked at is what is taken: between two readings somebody could swap the certificate or the key.
            let replaced = tls.replace(&files);
            metrics.tls.expires(tls.expires());
            let line = |error: &tls::TlsError| format!("{}: {error}", error.key);
            let refused = |errors: Vec<tls::TlsError>| Refused(errors.iter().map(line).collect());
            Some(replaced.map_err(refused))
        })
    }

    /// The keys of the cache that replicas share.
    pub(super) fn shared_cache(cache: cache::Shared, key_file: PathBuf) -> Self {
        let mut steady = Steady::new(digest(&key_file));
        Self::new("shared_cache", move |trigger| {
            let now = digest(&key_file);
            match trigger {
                Trigger::Look if !steady.look(now) => return None,
                Trigger::Look => {}
                Trigger::Signal => steady.take(now),
            }
            let loaded = Ring::load(&key_file).map_err(|error| Refused(vec![error.to_string()]));
            Some(loaded.map(|ring| cache.replace_keys(ring)))
        })
    }
}

/// The configuration file, which takes effect with the next start.
#[derive(Clone)]
pub(super) struct ConfigurationFile {
    path: PathBuf,
    at_start: Option<[u8; 32]>,
}

impl ConfigurationFile {
    /// The file as it is now.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { at_start: digest(&path), path }
    }

    /// Says that a change of it is not in force. Blocks.
    fn tell(&self) {
        if digest(&self.path) != self.at_start {
            let file = self.path.display();
            tracing::warn!(%file, "the configuration file has changed; it takes effect with a restart");
        }
    }
}

fn digest(file: &Path) -> Option<[u8; 32]> {
    fs::read(file).ok().map(|content| Sha256::digest(content).into())
}

/// Notes how the renewal of credentials goes.
pub(super) fn of_credentials(
    store: Arc<CredentialStore>,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> impl Fn(&Result<Change, CredentialsError>) {
    move |outcome| match outcome {
        Ok(Change::Renewed) => note(&metrics, CREDENTIALS, &Ok(())),
        Ok(Change::Same) => {
            metrics.looked_for_a_reload(CREDENTIALS, true);
            tracing::debug!(what = CREDENTIALS, "the source has no others");
        }
        Err(error) => {
            note(&metrics, CREDENTIALS, &Err(Refused(vec![error.to_string()])));
            if store.current().have_expired(clock.wall()) {
                tracing::error!("the cloud credentials have expired: the cloud is not called until there are others");
            }
        }
    }
}

/// Counts what the room of identity reloads by itself, because it reads those files anyway. It logs why.
pub(super) fn of_identity(metrics: Arc<Metrics>) -> impl Fn(identity::Reloaded, bool) {
    for what in identity::Reloaded::ALL {
        metrics.has_reloads(what.as_str());
    }
    move |what, is_ok| metrics.reloaded(what.as_str(), is_ok)
}

/// Notes how a reload went, in the log and in the counts.
fn note(metrics: &Metrics, what: &'static str, outcome: &Result<(), Refused>) {
    metrics.reloaded(what, outcome.is_ok());
    match outcome {
        Ok(()) => tracing::info!(what, "reloaded"),
        Err(Refused(reasons)) => {
            for reason in reasons {
                tracing::error!(what, reason, "not reloaded; what was in force stays so");
            }
        }
    }
}

/// What is reloaded, and what has it reloaded.
pub(super) struct Reloading {
    pub(super) reloadables: Vec<Reloadable>,
    pub(super) configuration: Option<ConfigurationFile>,
    pub(super) hangup: Signal,
    pub(super) metrics: Arc<Metrics>,
}

/// Reloads, one thing after the other, until the process ends.
pub(super) async fn run(reloading: &mut Reloading) {
    let Reloading { reloadables, configuration, hangup, metrics } = reloading;
    for Reloadable { what, .. } in &*reloadables {
        metrics.has_reloads(what);
    }
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let trigger = tokio::select! {
            _ = tick.tick() => Trigger::Look,
            _ = hangup.recv() => Trigger::Signal,
        };
        if trigger == Trigger::Signal {
            tracing::info!(signal = "SIGHUP", "reloading");
            if let Some(file) = configuration.clone() {
                let _ = spawn_blocking(move || file.tell()).await;
            }
        }
        for Reloadable { what, reload } in &*reloadables {
            let reload = Arc::clone(reload);
            let reloading = spawn_blocking(move || (reload.lock().unwrap_or_else(PoisonError::into_inner))(trigger));
            match reloading.await {
                Ok(None) => {}
                Ok(Some(outcome)) => note(metrics, what, &outcome),
                // Where it panicked has been told. The next change, or the next signal, is another try.
                Err(_) => note(metrics, what, &Err(Refused(vec!["it panicked".to_owned()]))),
            }
        }
    }
}
