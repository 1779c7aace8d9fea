//! What callers of the bucket hold: the fetch, the way to it, a place in line, a token.
//!
//! Each gives back what it stands for when it is dropped, so that no panic, no timeout and no hang-up leaks any of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    Abandoned, Claim, FetchId, Granted, Line, PlaceId, Refusal, RefusalReason, Shared, Standing, Stood, Token,
};

/// A fetch, owned by the task that makes the call. Dropping it closes the fetch: its places leave their lines.
pub struct Fetch {
    shared: Arc<Shared>,
    id: FetchId,
    changed: Arc<Notify>,
}

impl Fetch {
    pub(super) fn open(shared: &Arc<Shared>) -> Self {
        let now = shared.clock.monotonic();
        let (id, changed) = shared.lock().open(now);
        Self { shared: shared.clone(), id, changed }
    }

    /// For those who want to wait for this fetch.
    pub fn handle(&self) -> FetchHandle {
        FetchHandle { shared: self.shared.clone(), id: self.id }
    }

    /// Waits until the first place for this fetch comes up, however long nobody has stood for it so far.
    ///
    /// Decided under the lock: either there is a token and somebody who waits for the result, or the fetch is
    /// abandoned, stays so, and has cost nothing. After a grant, [`Self::requeue`] comes before the next call of this.
    /// Safe to drop halfway: a token that was granted meanwhile is there at the next call.
    pub async fn granted(&mut self) -> Result<Grant, Abandoned> {
        loop {
            let now = self.shared.clock.monotonic();
            let claim = self.shared.lock().claim(self.id, now);
            match claim {
                Claim::Granted(Granted { token, waited }) => {
                    return Ok(Grant { shared: self.shared.clone(), token, waited });
                }
                Claim::Abandoned => {
                    // A token may have gone back.
                    self.shared.wake.notify_one();
                    return Err(Abandoned);
                }
                Claim::NotYet => self.changed.notified().await,
            }
        }
    }

    /// Stands in line again, for the retry of an attempt that failed, for all who still wait for the result.
    ///
    /// They stand where their arrival puts them, before those who came later. The retry takes its own token.
    pub fn requeue(&mut self, now: Instant) -> Result<(), Abandoned> {
        self.shared.lock().requeue(self.id, now)?;
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let now = self.shared.clock.monotonic();
        self.shared.lock().close(self.id, now);
        self.shared.wake.notify_one();
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The way to a fetch for those who want to wait for it. It may outlive the fetch.
#[derive(Clone)]
pub struct FetchHandle {
    shared: Arc<Shared>,
    id: FetchId,
}

impl FetchHandle {
    /// Takes a place for the fetch in `line`.
    ///
    /// Refused where the wait that the queue predicts is longer than `rate_limit.max_wait` or ends after `deadline`,
    /// or where there is no room. A fetch that only a refused waiter has wanted so far is abandoned by that.
    pub fn stand(&self, line: &Line, now: Instant, deadline: Instant) -> Standing {
        let stood = self.shared.lock().stand(self.id, line, now, &self.shared.limits, deadline);
        match stood {
            Stood::Waiting(place) => {
                self.shared.wake.notify_one();
                Standing::Waiting(self.place(place))
            }
            Stood::Underway(place) => Standing::Underway(self.place(place)),
            Stood::Abandoned => Standing::Abandoned,
            Stood::Refused(refusal) => Standing::Refused(refusal),
        }
    }

    fn place(&self, id: PlaceId) -> Place {
        Place { shared: self.shared.clone(), id }
    }
}

impl fmt::Debug for FetchHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The time between two looks at a place whose fetch is under way: that of one token at the vendor's default rate.
const LEAST_SLEEP: Duration = Duration::from_millis(50);

/// One waiter's place for a fetch. Dropping it is hanging up, and costs nothing.
#[must_use = "a place that is dropped has left the line"]
pub struct Place {
    shared: Arc<Shared>,
    id: PlaceId,
}

impl Place {
    /// The moment from which this place has stood in line for `rate_limit.max_wait`.
    ///
    /// While the fetch is under way there is no such moment, and what comes back is the earliest that there could be
    /// one after a retry: ask again then.
    pub fn give_up_at(&self) -> Instant {
        let standing_since = self.shared.lock().queue.standing_since(self.id);
        standing_since.unwrap_or_else(|| self.shared.clock.monotonic()) + self.shared.limits.max_wait
    }

    /// What to tell this waiter on giving up at `now`; `None` while the fetch is under way, for then there is nothing
    /// to give up on.
    pub fn refusal(&self, now: Instant) -> Option<Refusal> {
        let retry_after = self.shared.lock().predicted_wait(self.id, now)?;
        Some(Refusal { retry_after, reason: RefusalReason::Wait })
    }

    /// Ends when this place has stood in line for `rate_limit.max_wait` without its turn having come.
    ///
    /// Admitted waiters get there when others, entitled to go first, arrived after them. It goes on waiting while the
    /// fetch is under way, so it is to be raced with the result.
    pub async fn overtaken(&self) -> Refusal {
        loop {
            let now = self.shared.clock.monotonic();
            let give_up_at = self.give_up_at();
            if give_up_at <= now
                && let Some(refusal) = self.refusal(now)
            {
                return refusal;
            }
            // While the fetch is under way there is nothing to give up on, and asking again at once would be polling.
            let pause = give_up_at.saturating_duration_since(now);
            tokio::time::sleep(if pause.is_zero() { LEAST_SLEEP } else { pause }).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().leave(self.id);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether a call may still leave. Clones ask for the same call.
#[derive(Clone)]
pub struct Leash {
    shared: Arc<Shared>,
    token: Token,
}

impl Leash {
    /// Whether the call, if it has not left, still may at `now`. To be asked before each step that may send it.
    ///
    /// A token of the store's may leave while this replica's lease stands, however long its connection takes to open.
    pub fn holds(&self, now: Instant) -> bool {
        self.shared.lock().tokens.may_leave(self.token, now)
    }
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leash").finish_non_exhaustive()
    }
}

/// A token for one call. It says what becomes of the call, for that decides when the token comes back.
///
/// Dropped before anything was sent, it comes back at once; dropped without an answer, the call counts as failed then.
#[must_use = "a token that is dropped goes back"]
pub struct Grant {
    shared: Arc<Shared>,
    token: Token,
    waited: Duration,
}

impl Grant {
    /// How long the fetch stood in line for this token, for the metrics; zero where nobody had to wait.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Tells whether the call may still leave.
    pub fn leash(&self) -> Leash {
        Leash { shared: self.shared.clone(), token: self.token }
    }

    /// The call was handed to an open connection.
    pub fn handed_over(&mut self, now: Instant) {
        self.shared.change_tokens(|tokens| tokens.handed_over(self.token, now));
    }

    /// The call opens a connection first. Holds whatever is, or was, said by [`Self::handed_over`].
    pub fn connecting(&mut self, _now: Instant) {
        self.shared.change_tokens(|tokens| tokens.connecting(self.token));
    }

    /// The answer's first bytes are here.
    pub fn answered(&mut self, now: Instant) {
        self.shared.change_tokens(|tokens| tokens.answered(self.token, now));
    }

    /// The answer is that the upstream counts too many calls: somebody else draws on the same quota.
    ///
    /// All of the bucket pause for a second and then go on slowly, so the retry is to stand in line again.
    pub fn refused_upstream(&mut self, now: Instant) {
        self.shared.change_tokens(|tokens| tokens.refused_upstream(self.token, now));
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let now = self.shared.clock.monotonic();
        self.shared.change_tokens(|tokens| tokens.ended(self.token, now));
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("waited", &self.waited).finish_non_exhaustive()
    }
}
