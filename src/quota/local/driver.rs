//! The task that hands tokens to those who wait.
//!
//! It sleeps until a token is due or until it is woken by a change; it never polls.

use std::sync::{Arc, Weak};

use tokio::{sync::Notify, time::timeout};

use super::Shared;

/// The task of one bucket. Without it, whoever has to wait waits for ever.
pub struct Driver {
    /// Weak, so that the driver does not keep a bucket alive that nobody uses.
    shared: Weak<Shared>,
    wake: Arc<Notify>,
}

impl Driver {
    pub(super) fn new(shared: &Arc<Shared>, wake: Arc<Notify>) -> Self {
        Self { shared: Arc::downgrade(shared), wake }
    }

    /// Serves those who wait until every handle of the bucket is gone. To be spawned once, on a runtime with timers.
    pub async fn run(&self) {
        while let Some(shared) = self.shared.upgrade() {
            let now = shared.clock.monotonic();
            let next = shared.lock().serve_due(now);
            drop(shared);
            match next {
                // Either end of the wait leads to the same look at the state.
                Some(due) => drop(timeout(due.saturating_duration_since(now), self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
