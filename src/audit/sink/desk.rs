//! A worker's desk: gathers the records of one turn of the event loop, and lets their requests wait together.
//!
//! The first record wakes the desk's own task, which runs behind the connections that are ready now; whatever they had
//! to say goes with it. What comes while the writer has the batch piles up for the next, so that batches grow with the
//! load and no timer is needed. Waiters are woken on their own thread.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    mem,
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    AuditError, Shared,
    batch::Batch,
    queue::{Job, Landed, Slot},
};
use crate::{
    audit::record::{Record, Renderer},
    domain::Throttle,
};

/// See the module. It belongs to the thread on which it is first used, under a tokio `LocalSet`.
///
/// Cloning it is cheap; a clone is the same desk.
#[derive(Clone, Debug)]
pub struct Desk(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    state: RefCell<State>,
    /// What is said of records that nobody waits for and that find no room: a crowd that hangs up must not fill a disk.
    lost: Throttle,
    /// There is something to hand over, or nothing ever again.
    call: Rc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// Records that have not been handed over.
    open: Batch,
    /// Those who wait for them.
    waiters: Rc<Waiters>,
    /// When the first of those came.
    since: Option<Instant>,
    flight: Option<Flight>,
    /// Memory of the last batch.
    spare: Batch,
    renderer: Renderer,
    has_task: bool,
}

/// A batch that the writer has.
#[derive(Debug)]
struct Flight {
    slot: Arc<Slot>,
    waiters: Rc<Waiters>,
    since: Instant,
}

/// Requests that wait for the records of one batch.
#[derive(Debug, Default)]
struct Waiters {
    verdict: Cell<Option<Verdict>>,
    places: RefCell<Vec<Place>>,
}

/// Which record of the batch is waited for, and how to wake whoever does.
#[derive(Debug)]
struct Place {
    record: usize,
    waker: Option<Waker>,
}

/// What became of a batch, for its waiters.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// The kernel has so many, from the first on.
    Written(usize),
    GivenUp,
}

/// How often a worker looks whether the writer is late.
const TICK: Duration = Duration::from_millis(50);

/// Bytes that may wait for the writer in one worker; what comes beyond is refused, for memory must stay bounded.
const OPEN_BYTES: usize = 4 << 20;

/// Lines in a second about records that found no room. What goes unsaid is counted in the next.
const LINES_PER_SECOND: u32 = 5;

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.desks.send_modify(|desks| *desks += 1);
        let lost = Throttle::new(LINES_PER_SECOND);
        Self(Rc::new(Inner { shared, state: RefCell::default(), lost, call: Rc::default() }))
    }

    /// Hands the record of an answer of `status` to the sink at once, and gives what waits until the kernel has it. The
    /// record is on its way whether anybody waits or not, so nothing of it has to be kept for that long.
    ///
    /// # Errors
    ///
    /// When that is not known to have happened within `audit.timeout`, or nothing is taken at the moment.
    pub fn write(&self, record: &Record, status: u16) -> impl Future<Output = Result<(), AuditError>> + use<> {
        let place = self.take_in(record, status);
        async move {
            let (waiters, index) = place?;
            waiters.wait(index).await
        }
    }

    /// Takes a record in. Where it is waited for is which place among whom.
    fn take_in(&self, record: &Record, status: u16) -> Result<(Rc<Waiters>, usize), AuditError> {
        let shared = &self.0.shared;
        if shared.is_stalled() {
            return Err(AuditError::TooSlow);
        }
        let state = &mut *self.0.state.borrow_mut();
        if !self.0.add(state, record, status) {
            return Err(AuditError::TooSlow);
        }
        if !mem::replace(&mut state.has_task, true) {
            spawn_local(hand_over(Rc::downgrade(&self.0), Rc::clone(&self.0.call), tick(shared.timeout)));
        }
        Ok((Rc::clone(&state.waiters), state.waiters.stand_in(state.open.len() - 1)))
    }

    /// Hands over the record of a request that nobody waits for any more. It may be called from anywhere, also while
    /// the worker ends. Where there is no room for it, the log says so.
    pub fn write_unattended(&self, record: &Record, status: u16) {
        let state = &mut *self.0.state.borrow_mut();
        let has_room = self.0.add(state, record, status);
        if !state.has_task {
            self.0.submit_unattended(state);
        }
        if !has_room && let Some(suppressed) = self.0.lost.admit(self.0.shared.clock.monotonic()) {
            tracing::error!(suppressed, "the audit sink is too slow for the record of a request that was given up");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The task finds the desk gone, and ends; where it has ended before, what it left is handed over here.
        self.call.notify_one();
        let state = &mut *self.state.borrow_mut();
        self.submit_unattended(state);
        self.shared.desks.send_modify(|desks| *desks -= 1);
    }
}

/// Tells the desk where its task ends of a panic: whoever waits would wait for ever.
struct TaskEnd(Weak<Inner>);

impl Drop for TaskEnd {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(desk) = self.0.upgrade()
        {
            desk.give_up_all();
        }
    }
}

/// The desk's task. It holds the desk only while it works there.
async fn hand_over(desk: Weak<Inner>, call: Rc<Notify>, mut tick: Interval) {
    let _end = TaskEnd(desk.clone());
    loop {
        call.notified().await;
        while let Some(slot) = desk.upgrade().and_then(|desk| desk.submit()) {
            let mut landed = pin!(slot.landed());
            let landed = loop {
                tokio::select! {
                    biased;
                    landed = &mut landed => break landed,
                    _ = tick.tick() => {
                        if let Some(desk) = desk.upgrade() {
                            desk.give_up_if_late();
                        }
                    }
                }
            };
            if let Some(desk) = desk.upgrade() {
                desk.land(landed);
            }
        }
        if desk.strong_count() == 0 {
            return;
        }
    }
}

fn tick(timeout: Duration) -> Interval {
    let mut tick = interval(TICK.min(timeout));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

impl Inner {
    /// Adds a record to the open batch, and calls the task where it is the first. Says whether there was room.
    fn add(&self, state: &mut State, record: &Record, status: u16) -> bool {
        if state.open.byte_len() > OPEN_BYTES {
            return false;
        }
        let (renderer, clock) = (&mut state.renderer, &self.shared.clock);
        state.open.push(|out| renderer.render(record, clock.wall(), status, out));
        if state.since.is_none() {
            state.since = Some(clock.monotonic());
            if state.flight.is_none() {
                self.call.notify_one();
            }
        }
        true
    }

    /// Hands what has gathered to the writer, with nobody who waits.
    fn submit_unattended(&self, state: &mut State) {
        state.since = None;
        if !state.open.is_empty() {
            self.shared.queue.push(Job::Write(mem::take(&mut state.open), Arc::default()));
        }
    }

    /// Hands what has gathered to the writer, where anything has.
    fn submit(&self) -> Option<Arc<Slot>> {
        let state = &mut *self.state.borrow_mut();
        if state.open.is_empty() {
            return None;
        }
        let since = state.since.take().unwrap_or_else(|| self.shared.clock.monotonic());
        let batch = mem::replace(&mut state.open, mem::take(&mut state.spare));
        let slot = Arc::new(Slot::default());
        self.shared.queue.push(Job::Write(batch, Arc::clone(&slot)));
        state.flight = Some(Flight { slot: Arc::clone(&slot), waiters: mem::take(&mut state.waiters), since });
        Some(slot)
    }

    /// Tells the waiters of the batch that has come back.
    fn land(&self, landed: Landed) {
        let Landed { written, mut batch } = landed;
        batch.clear();
        let flight = {
            let mut state = self.state.borrow_mut();
            state.spare = batch;
            state.flight.take()
        };
        if let Some(flight) = flight {
            flight.waiters.tell(Verdict::Written(written));
        }
    }

    /// Where the batch that the writer has is late: gives it up, and all that waits behind it, and lets nobody in until
    /// the writer comes back.
    fn give_up_if_late(&self) {
        let now = self.shared.clock.monotonic();
        let (in_flight, waiting) = {
            let state = &mut *self.state.borrow_mut();
            let Some(flight) = &state.flight else { return };
            if flight.waiters.verdict.get().is_some() || now < flight.since + self.shared.timeout {
                return;
            }
            if !flight.slot.give_up(&self.shared.stalled) {
                return;
            }
            state.open.withhold();
            state.since = None;
            (Rc::clone(&flight.waiters), mem::take(&mut state.waiters))
        };
        in_flight.tell(Verdict::GivenUp);
        waiting.tell(Verdict::GivenUp);
    }

    /// The task has panicked: nothing that waits is taken any further, and the next record begins a new task.
    fn give_up_all(&self) {
        let (flight, waiting, lost) = {
            let state = &mut *self.state.borrow_mut();
            state.has_task = false;
            state.since = None;
            // What is in there may be what it panicked of.
            let lost = mem::take(&mut state.open).len();
            (state.flight.take(), mem::take(&mut state.waiters), lost)
        };
        if let Some(flight) = flight {
            flight.slot.give_up(&self.shared.stalled);
            flight.waiters.tell(Verdict::GivenUp);
        }
        waiting.tell(Verdict::GivenUp);
        tracing::error!(lost, "the audit panicked in a worker; records of answers that are withheld are lost");
    }
}

impl Waiters {
    /// A place for one more, who waits for that record of the batch. Returns which.
    fn stand_in(&self, record: usize) -> usize {
        let mut places = self.places.borrow_mut();
        places.push(Place { record, waker: None });
        places.len() - 1
    }

    async fn wait(&self, index: usize) -> Result<(), AuditError> {
        poll_fn(|context| {
            let place = &mut self.places.borrow_mut()[index];
            match self.verdict.get() {
                Some(Verdict::Written(written)) if place.record < written => Poll::Ready(Ok(())),
                Some(Verdict::Written(_)) => Poll::Ready(Err(AuditError::Refused)),
                Some(Verdict::GivenUp) => Poll::Ready(Err(AuditError::TooSlow)),
                None => {
                    place.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The first verdict stands.
    fn tell(&self, verdict: Verdict) {
        if self.verdict.get().is_some() {
            return;
        }
        self.verdict.set(Some(verdict));
        for place in &mut *self.places.borrow_mut() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
impl Desk {
    /// Puts `batch` in the place of what waits to be handed over.
    pub(super) fn replace_open(&self, batch: Batch) {
        self.0.state.borrow_mut().open = batch;
    }
}
