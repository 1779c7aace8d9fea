//! A lock in the store, held by whoever fetches for all replicas. Dropping it gives it back.

use std::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use super::{LANDED, Name, Shared, Value, value::whole_millis};
use crate::store::StoreError;

/// How long a lock lasts unless it is renewed: what others wait for where the replica that fetches dies.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// How often a lock is renewed: two trips may come to nothing before it is lost.
const RENEW_EVERY: Duration = Duration::from_millis(600);

/// Nothing larger goes to the store, for one trip would keep all others waiting. An entry of five files has 5 KiB.
const MOST_BYTES: usize = 1 << 20;

/// What is longer in the store is nobody's of us: beside what was fetched stand its times, the seal and a header.
pub(super) const MOST_SEALED_BYTES: usize = MOST_BYTES + 256;

/// A lock that is ours.
pub struct Lock {
    shared: Shared,
    name: Name,
    owner: String,
    is_settled: AtomicBool,
}

impl Lock {
    pub(super) fn new(shared: Shared, name: Name, owner: String) -> Self {
        Self { shared, name, owner, is_settled: AtomicBool::new(false) }
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// It was never had, so there is nothing to give back.
    pub(super) fn forget(mut self) {
        *self.is_settled.get_mut() = true;
    }

    /// Renews it for as long as this is polled. Once it is another's it stays so, and the fetch goes on all the same.
    pub async fn keep(&self) -> Infallible {
        let lease = LEASE.as_millis().to_string();
        let (keys, args) = ([self.name.lock_key()], [self.owner.as_bytes(), lease.as_bytes()]);
        loop {
            sleep(RENEW_EVERY).await;
            if self.shared.0.store.run::<u8>(&self.shared.0.scripts.renew, &keys, &args).await == Ok(0) {
                tracing::info!("the lock of a fetch was lost; another replica may fetch the same");
                return std::future::pending().await;
            }
        }
    }

    /// Puts what was fetched where all find it, where something was, gives the lock back, and tells those who wait: one
    /// trip.
    ///
    /// # Errors
    ///
    /// Where the store does not answer. Then the lock ends by itself.
    pub async fn settle(&self, value: Option<&Value>) -> Result<(), StoreError> {
        self.is_settled.store(true, Ordering::Relaxed);
        let value = value.filter(|value| !value.kept_for.is_zero() && value.body.expose().len() <= MOST_BYTES);
        let sealed = value.and_then(|value| {
            let ring = self.shared.0.ring.load();
            // The name may be one of a key that is no longer in force; the ring that opens it has this key, too.
            ring.seal(self.name.current(), value.stamp(), value.encode())
        });
        let kept_for = value.map_or(0, |value| whole_millis(value.kept_for)).max(1);
        give_back(&self.shared, &self.name, &self.owner, sealed.unwrap_or_default(), kept_for).await
    }
}

async fn give_back(
    shared: &Shared,
    name: &Name,
    owner: &str,
    sealed: Vec<u8>,
    kept_for_ms: u64,
) -> Result<(), StoreError> {
    let keys = [name.value_key(), name.lock_key()];
    let kept_for_ms = kept_for_ms.to_string();
    let args =
        [owner.as_bytes(), &sealed, kept_for_ms.as_bytes(), LANDED.as_bytes(), name.current().as_str().as_bytes()];
    shared.0.store.run::<()>(&shared.0.scripts.settle, &keys, &args).await
}

impl Drop for Lock {
    fn drop(&mut self) {
        if *self.is_settled.get_mut() {
            return;
        }
        // Whoever was to fetch left, was refused, or died. Where no runtime is left to tell the store, the lease ends.
        if let Ok(runtime) = Handle::try_current() {
            let (shared, name, owner) = (self.shared.clone(), self.name.clone(), std::mem::take(&mut self.owner));
            runtime.spawn(async move { give_back(&shared, &name, &owner, Vec::new(), 1).await });
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("name", &self.name).finish_non_exhaustive()
    }
}
