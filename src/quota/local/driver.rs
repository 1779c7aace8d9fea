//! The task that hands tokens to those who wait, and asks for them where they come from elsewhere.
//!
//! It sleeps until a token is due or until it is woken by a change; it never polls.

use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use super::{BucketKeys, Fleet, Shared, Taken};

/// A trip to the store for tokens.
type Asking = Pin<Box<dyn Future<Output = Option<Taken>> + Send>>;

/// The task of one bucket. Without it, whoever has to wait waits for ever.
pub struct Driver {
    /// Weak, so that the driver does not keep a bucket alive that nobody uses.
    shared: Weak<Shared>,
    wake: Arc<Notify>,
    /// Who grants the tokens, where it is not this process.
    fleet: Option<(Fleet, BucketKeys)>,
}

/// What is due at a moment.
struct Due {
    /// When to look again; `None` where only an event can tell.
    pause: Option<Duration>,
    /// A trip that has to begin.
    asking: Option<Asking>,
}

impl Driver {
    pub(super) fn new(shared: &Arc<Shared>, wake: Arc<Notify>, fleet: Option<(Fleet, BucketKeys)>) -> Self {
        Self { shared: Arc::downgrade(shared), wake, fleet }
    }

    /// Serves those who wait until every handle of the bucket is gone. To be spawned once, on a runtime with timers.
    pub async fn run(&self) {
        let mut asking: Option<Asking> = None;
        // A trip that was under way when this task panicked is not answered any more.
        if let Some(shared) = self.shared.upgrade() {
            shared.took(None, shared.clock.monotonic());
        }
        while let Some(shared) = self.shared.upgrade() {
            let now = shared.clock.monotonic();
            let due = self.look(&shared, now);
            drop(shared);
            asking = asking.or(due.asking);
            // Whichever comes first leads to the same look at the state.
            let event = async {
                tokio::select! {
                    reply = answer(&mut asking) => Some(reply),
                    () = self.wake.notified() => None,
                }
            };
            let answered = match due.pause {
                Some(pause) => timeout(pause, event).await.ok().flatten(),
                None => event.await,
            };
            if let Some(reply) = answered {
                asking = None;
                if let Some(shared) = self.shared.upgrade() {
                    shared.took(reply.as_ref(), shared.clock.monotonic());
                }
            }
        }
    }

    fn look(&self, shared: &Shared, now: Instant) -> Due {
        let (next, wish) = {
            let mut state = shared.lock();
            let next = state.serve_due(now);
            let wish = state.wish(now);
            // A wish under way changes what there is to wait for.
            (if wish.is_some() { state.serve_due(now) } else { next }, wish)
        };
        let asking =
            self.fleet.as_ref().zip(wish).map(|((fleet, keys), take)| -> Asking { Box::pin(fleet.take(keys, &take)) });
        Due { pause: next.map(|next| next.saturating_duration_since(now)), asking }
    }
}

async fn answer(asking: &mut Option<Asking>) -> Option<Taken> {
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
