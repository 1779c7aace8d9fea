//! The bucket of one process: the tokens and the queue behind one lock, and the task that hands tokens to the queue.
//!
//! Shared by all workers. A fetch is owned by the task that will make the call; whoever waits for it holds a
//! [`Place`], and dropping that is the whole of hanging up. The lock is never held over an await, and nothing under it
//! calls out.

mod driver;
mod handles;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    Limits,
    fair_queue::{Bounds, FairQueue, FetchId, Full, Line, PlaceId, Served, Stage},
    shared::{
        fleet::{BucketKeys, Fleet, Holder, Taken},
        ledger::Ledger,
        membership::Lease,
        protocol::{Books, Take},
    },
    tokens::{Token, Tokens},
    window::{Pace, Window},
};
use crate::domain::Clock;

pub use driver::Driver;
pub use handles::{Fetch, FetchHandle, Grant, Leash, Place};

/// The bucket of one account, endpoint and action, in this process. Clones share it.
#[derive(Clone)]
pub struct Bucket(Arc<Shared>);

/// What became of the wish to wait for a fetch.
#[derive(Debug)]
pub enum Standing {
    /// In line. Wait for the fetch's result, at most until [`Place::overtaken`].
    Waiting(Place),
    /// The call is being made, or about to be. The place counts when a retry has to stand in line again.
    Underway(Place),
    /// All who waited for this fetch left before its turn came, or it is over: open another.
    Abandoned,
    /// Not in line.
    Refused(Refusal),
}

/// Why a waiter is not, or no longer, in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The wait that the queue predicts, as it stands.
    pub retry_after: Duration,
    /// Why.
    pub reason: RefusalReason,
}

/// The reason of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The wait is longer than `rate_limit.max_wait`, or than the waiter has time.
    Wait,
    /// `rate_limit.max_queue` places are taken.
    QueueFull,
    /// The caller has taken `rate_limit.max_queue_per_caller` places.
    CallerQueueFull,
}

/// Everybody who waited for a fetch left before its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for this fetch any more")]
pub struct Abandoned;

impl Bucket {
    /// A bucket with all of its tokens, and the task that serves those who wait: [`Driver::run`] has to be spawned.
    pub fn new(limits: Limits, clock: Clock) -> (Self, Driver) {
        let window = Window::new(limits.requests_per_second, limits.guard, clock.monotonic());
        let (shared, wake) = Shared::new(limits, clock, Tokens::Local(Box::new(window)));
        let driver = Driver::new(&shared, wake, None);
        (Self(shared), driver)
    }

    /// The same, with the tokens that `fleet` has under that name; what they are is agreed on there.
    pub fn shared(limits: Limits, clock: Clock, fleet: &Fleet, name: &str) -> (Self, Driver) {
        let ledger = Ledger::new(fleet.agreement(), fleet.lease(), clock.monotonic());
        let (shared, wake) = Shared::new(limits, clock, Tokens::Shared(Box::new(ledger)));
        let holder: Weak<dyn Holder> = Arc::<Shared>::downgrade(&shared);
        let keys = fleet.enrol(name, holder);
        let driver = Driver::new(&shared, wake, Some((fleet.clone(), keys)));
        (Self(shared), driver)
    }

    /// A fetch for which nobody stands so far. The task that will make the call owns it.
    pub fn open_fetch(&self) -> Fetch {
        Fetch::open(&self.0)
    }

    /// How many wait: places that stand in a line, background included.
    pub fn queue_length(&self) -> usize {
        self.0.lock().queue.len()
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// What all handles and the driver share.
pub(super) struct Shared {
    limits: Limits,
    clock: Clock,
    state: Mutex<State>,
    /// Tells the driver that the next grant may be due at another moment than it sleeps until.
    wake: Arc<Notify>,
}

struct State {
    tokens: Tokens,
    queue: FairQueue,
    /// One for each open fetch.
    turns: HashMap<FetchId, Turn>,
}

/// How a fetch's owner learns that its turn has come.
struct Turn {
    /// Woken when the fetch is served or abandoned.
    changed: Arc<Notify>,
    /// The token, from the moment of the grant until the owner takes it.
    granted: Option<Granted>,
}

#[derive(Clone, Copy)]
struct Granted {
    token: Token,
    waited: Duration,
}

/// What the owner of a fetch finds.
enum Claim {
    Granted(Granted),
    Abandoned,
    NotYet,
}

/// What a waiter finds; the place is not yet in the hands that give it back.
enum Stood {
    Waiting(PlaceId),
    Underway(PlaceId),
    Abandoned,
    Refused(Refusal),
}

impl Shared {
    fn new(limits: Limits, clock: Clock, tokens: Tokens) -> (Arc<Self>, Arc<Notify>) {
        let bounds = Bounds { total: limits.max_queue, per_caller: limits.max_queue_per_caller };
        let state = State { tokens, queue: FairQueue::new(bounds), turns: HashMap::new() };
        let wake = Arc::new(Notify::new());
        (Arc::new(Self { limits, clock, state: Mutex::new(state), wake: wake.clone() }), wake)
    }

    /// What came of a wish.
    fn took(&self, reply: Option<&Taken>, now: Instant) {
        self.change_tokens(|tokens| match (tokens.ledger(), reply) {
            (Some(ledger), Some(reply)) => ledger.took(reply, now),
            (Some(ledger), None) => ledger.took_nothing(now),
            (None, _) => {}
        });
    }

    /// The state; a panic elsewhere does not close the bucket.
    ///
    /// Nothing under the lock calls out or indexes by what a caller sent, so that a poisoned lock has met a bug here.
    /// Going on risks one token or place; failing would refuse every call from then on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change to the tokens, and wakes the driver where somebody waits for one.
    fn change_tokens(&self, change: impl FnOnce(&mut Tokens)) {
        let somebody_waits = {
            let mut state = self.lock();
            change(&mut state.tokens);
            !state.queue.is_empty()
        };
        if somebody_waits {
            self.wake.notify_one();
        }
    }
}

impl Holder for Shared {
    fn books(&self, now: Instant) -> Books {
        let mut state = self.lock();
        let waiting = state.queue.fetches_waiting();
        state.tokens.ledger().map(|ledger| ledger.books(waiting, now)).unwrap_or_default()
    }

    fn booked(&self, books: &Books, leave_by: Instant) {
        if let Some(ledger) = self.lock().tokens.ledger() {
            ledger.booked(books, leave_by);
        }
    }

    fn set_lease(&self, lease: Lease) {
        self.change_tokens(|tokens| {
            if let Some(ledger) = tokens.ledger() {
                ledger.set_lease(lease);
            }
        });
    }
}

impl Drop for Shared {
    /// The driver sleeps until it is told; the last handle tells it to end.
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl State {
    fn open(&mut self, now: Instant) -> (FetchId, Arc<Notify>) {
        let fetch = self.queue.open(now);
        let changed = Arc::new(Notify::new());
        self.turns.insert(fetch, Turn { changed: changed.clone(), granted: None });
        (fetch, changed)
    }

    fn stand(&mut self, fetch: FetchId, line: &Line, now: Instant, limits: &Limits, deadline: Instant) -> Stood {
        let room = self.queue.room_in(line);
        let nobody_waits = self.queue.is_empty();
        let Some(place) = self.queue.take_place(fetch, line, now) else { return Stood::Abandoned };
        if self.queue.stage(fetch) == Some(Stage::Served) {
            return Stood::Underway(place);
        }
        if nobody_waits && self.grant_at_once(fetch, now) {
            return Stood::Underway(place);
        }
        // The place is taken on trial: only from there can it be foreseen how long it will take.
        let predicted = self.predicted_wait(place, now).unwrap_or_default();
        let reason = match room {
            Err(Full::Queue) => RefusalReason::QueueFull,
            Err(Full::Caller) => RefusalReason::CallerQueueFull,
            Ok(()) if predicted > limits.max_wait || now + predicted > deadline => RefusalReason::Wait,
            Ok(()) => return Stood::Waiting(place),
        };
        self.leave(place);
        Stood::Refused(Refusal { retry_after: predicted, reason })
    }

    /// Gives a token to a fetch while nobody else waits.
    fn grant_at_once(&mut self, fetch: FetchId, now: Instant) -> bool {
        let Some(token) = self.tokens.grant(Pace::AtOnce, now) else { return false };
        if let Some(served) = self.queue.serve(fetch) {
            self.hand_out(served, token, now);
        }
        true
    }

    /// Serves whoever is due at `now`; says when the next will be, where somebody waits and it is known.
    fn serve_due(&mut self, now: Instant) -> Option<Instant> {
        while !self.queue.is_empty() {
            let Some(token) = self.tokens.grant(Pace::Spaced, now) else { return self.tokens.next_due(now) };
            match self.queue.serve_next() {
                Some(served) => self.hand_out(served, token, now),
                None => self.tokens.ended(token, now),
            }
        }
        None
    }

    /// What to ask the store for at `now`, where tokens come from there.
    fn wish(&mut self, now: Instant) -> Option<Take> {
        let ledger = self.tokens.ledger()?;
        ledger.wish(self.queue.fetches_waiting(), now)
    }

    fn hand_out(&mut self, served: Served, token: Token, now: Instant) {
        match self.turns.get_mut(&served.fetch) {
            Some(turn) => {
                let waited = now.saturating_duration_since(served.waiting_since);
                turn.granted = Some(Granted { token, waited });
                turn.changed.notify_one();
            }
            None => self.tokens.ended(token, now),
        }
    }

    /// Takes the token that a fetch was granted. Where nobody waits for it any more, the token goes back instead.
    fn claim(&mut self, fetch: FetchId, now: Instant) -> Claim {
        let Some(turn) = self.turns.get_mut(&fetch) else { return Claim::Abandoned };
        if let Some(granted) = turn.granted.take() {
            if self.queue.waiters(fetch) > 0 {
                return Claim::Granted(granted);
            }
            self.tokens.ended(granted.token, now);
            // Standing again for nobody is what abandons it.
            self.queue.requeue(fetch, now);
            return Claim::Abandoned;
        }
        match self.queue.stage(fetch) {
            Some(Stage::Abandoned) | None => Claim::Abandoned,
            Some(_) => Claim::NotYet,
        }
    }

    /// Lets a fetch stand again after an attempt; says whether anybody still waits for it.
    fn requeue(&mut self, fetch: FetchId, now: Instant) -> Result<(), Abandoned> {
        if self.turns.get(&fetch).is_some_and(|turn| turn.granted.is_some()) {
            return Ok(());
        }
        let nobody_waits = self.queue.is_empty();
        if !self.queue.requeue(fetch, now) {
            return Err(Abandoned);
        }
        if nobody_waits {
            self.grant_at_once(fetch, now);
        }
        Ok(())
    }

    fn leave(&mut self, place: PlaceId) {
        if let Some(turn) = self.queue.leave(place).and_then(|fetch| self.turns.get(&fetch)) {
            turn.changed.notify_one();
        }
    }

    fn close(&mut self, fetch: FetchId, now: Instant) {
        if let Some(Turn { granted: Some(granted), .. }) = self.turns.remove(&fetch) {
            self.tokens.ended(granted.token, now);
        }
        self.queue.close(fetch);
    }

    /// The wait from `now` on of a place that stands in a line.
    fn predicted_wait(&self, place: PlaceId, now: Instant) -> Option<Duration> {
        Some(self.tokens.expected_wait(self.queue.turns_before(place)?, now))
    }
}

#[cfg(test)]
mod tests;
