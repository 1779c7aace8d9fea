//! What is replaced while the gateway serves: on SIGHUP, and when a watched file changes.
//!
//! A reload that fails keeps what was in force, says why, and is counted. It never runs on a worker or on the thread
//! that grants the quota's tokens: files may be slow, and a set of policies takes a while to check.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::Signal,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    broker::Broker,
    domain::{Clock, Steady},
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

/// How often what was reloaded, and how often in vain (`gateway_reloads_total`).
#[derive(Debug, Default)]
pub struct ReloadCounts(Mutex<BTreeMap<&'static str, Count>>);

/// The reloads of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// What was new is in force.
    pub ok: u64,
    /// What was in force stays so.
    pub error: u64,
}

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

    /// The configuration file, which takes effect with the next start. On SIGHUP the log says so where it has changed.
    pub(super) fn configuration(file: PathBuf) -> Self {
        let at_start = digest(&file);
        Self::new("configuration", move |trigger| {
            if trigger == Trigger::Signal && digest(&file) != at_start {
                tracing::warn!(file = %file.display(), "the configuration file has changed; it takes effect with a restart");
            }
            None
        })
    }
}

/// Notes how the renewal of credentials goes.
pub(super) fn of_credentials(
    store: Arc<CredentialStore>,
    clock: Clock,
    counts: Arc<ReloadCounts>,
) -> impl Fn(&Result<Change, CredentialsError>) {
    move |outcome| match outcome {
        Ok(Change::Renewed) => counts.note(CREDENTIALS, &Ok(())),
        Ok(Change::Same) => tracing::debug!(what = CREDENTIALS, "the source has no others"),
        Err(error) => {
            counts.note(CREDENTIALS, &Err(Refused(vec![error.to_string()])));
            if store.current().have_expired(clock.wall()) {
                tracing::error!("the cloud credentials have expired: the cloud is not called until there are others");
            }
        }
    }
}

fn digest(file: &PathBuf) -> Option<[u8; 32]> {
    fs::read(file).ok().map(|content| Sha256::digest(content).into())
}

impl ReloadCounts {
    /// Notes how a reload went, in the log and in the counts.
    pub(super) fn note(&self, what: &'static str, outcome: &Result<(), Refused>) {
        let mut counts = self.lock();
        let count = counts.entry(what).or_default();
        match outcome {
            Ok(()) => {
                count.ok += 1;
                tracing::info!(what, "reloaded");
            }
            Err(Refused(reasons)) => {
                count.error += 1;
                for reason in reasons {
                    tracing::error!(what, reason, "not reloaded; what was in force stays so");
                }
            }
        }
    }

    /// What can be reloaded, in the order of the names.
    pub fn all(&self) -> Vec<(&'static str, Count)> {
        self.lock().iter().map(|(what, count)| (*what, *count)).collect()
    }

    fn expect(&self, reloadables: &[Reloadable]) {
        let mut counts = self.lock();
        for reloadable in reloadables {
            counts.entry(reloadable.what).or_default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reloads, one thing after the other, until the process ends.
pub(super) async fn run(reloadables: Vec<Reloadable>, mut hangup: Signal, counts: Arc<ReloadCounts>) {
    counts.expect(&reloadables);
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let trigger = tokio::select! {
            _ = tick.tick() => Trigger::Look,
            _ = hangup.recv() => Trigger::Signal,
        };
        if trigger == Trigger::Signal {
            tracing::info!(signal = "SIGHUP", "reloading");
        }
        for Reloadable { what, reload } in &reloadables {
            let reload = Arc::clone(reload);
            let reloading = spawn_blocking(move || (reload.lock().unwrap_or_else(PoisonError::into_inner))(trigger));
            // Whatever panicked in there has been told, and the next look is another try.
            if let Ok(Some(outcome)) = reloading.await {
                counts.note(what, &outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_reloaded_is_counted_from_the_start_and_by_how_it_went() {
        let counts = ReloadCounts::default();
        counts.expect(&[Reloadable::new("policies", |_| None), Reloadable::new("audit", |_| None)]);

        counts.note("policies", &Ok(()));
        counts.note("policies", &Err(Refused(vec!["one".to_owned(), "two".to_owned()])));

        assert_eq!(counts.all(), [("audit", Count::default()), ("policies", Count { ok: 1, error: 1 })]);
    }
}
