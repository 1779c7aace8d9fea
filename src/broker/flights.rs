//! One fetch for everybody who waits for the same thing.
//!
//! A fetch is a task of its own that no caller can cancel; callers subscribe to its outcome. Each waiter stands in its
//! own line of the quota's queue and keeps its own deadline and its own refusal: nobody is handed another's 429.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{sync::watch, time::sleep_until};

use super::{behalf::Behalf, upstreams::Upstream};
use crate::{
    domain::Clock,
    quota::{Fetch, FetchHandle, Line, Place, Refusal, Standing},
    tencent::{ApiAction, error::CallError},
    traces::{Span, SpanContext, Step},
};

/// Fetches that may die under one waiter before it is told so. More than one is a process that falls apart.
const MOST_BOARDINGS: u32 = 3;

/// What a fetch came to; shared by all who waited for it.
pub(super) type Outcome<V> = Result<V, Arc<CallError>>;

/// The fetches under way or in the queue, by what they fetch.
pub(super) struct Flights<K, V> {
    in_flight: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

/// A fetch as its waiters see it.
struct Flight<V> {
    fetch: FetchHandle,
    outcome: watch::Receiver<Option<Outcome<V>>>,
    /// Where the span of the fetch is, for those who join it.
    span: Option<SpanContext>,
}

/// A caller who waits for a fetch.
pub(super) struct Passenger<V> {
    place: Place,
    outcome: watch::Receiver<Option<Outcome<V>>>,
    /// The span of the wait, where the fetch is another's.
    _span: Option<Span>,
}

/// The side of a new fetch that makes the call. Whoever drops it unfinished strands nobody: its waiters are told.
pub(super) struct Pilot<K: Hash + Eq, V> {
    key: K,
    /// The fetch in the quota's queue.
    pub(super) fetch: Fetch,
    /// The caller who asked first.
    pub(super) behalf: Behalf,
    outcome: watch::Sender<Option<Outcome<V>>>,
    in_flight: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

/// On what terms a caller waits for a fetch.
pub(super) struct Terms<'a> {
    /// The endpoint that is called.
    pub(super) upstream: &'a Upstream,
    /// What is called there.
    pub(super) action: ApiAction,
    /// The line that the caller stands in.
    pub(super) line: Line,
    /// When the caller needs an answer.
    pub(super) deadline: Instant,
    /// Whose request that is.
    pub(super) behalf: Behalf,
    /// The clock.
    pub(super) clock: &'a Clock,
}

/// How an outcome was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It was known by the time that the caller would have stood in line.
    Known,
    /// Another caller's fetch brought it.
    Joined,
    /// The caller's own fetch brought it.
    Opened,
}

/// What came of boarding.
pub(super) enum Boarding<K: Hash + Eq, V> {
    /// There is nothing to fetch any more.
    Known(Outcome<V>),
    /// Somebody fetches this already; wait with them.
    Joined(Passenger<V>),
    /// Nobody did: spawn the pilot, then wait.
    Opened(Passenger<V>, Pilot<K, V>),
    /// The queue says at once that this caller would wait too long.
    Refused(Refusal),
}

/// Why a wait ended without an outcome.
#[derive(Debug)]
pub(super) enum WaitEnded {
    /// Others came first until the wait grew past `max_wait`.
    Overtaken(Refusal),
    /// The request's own deadline came.
    DeadlineOver,
    /// The task that fetched died.
    Lost,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self { in_flight: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// What fetching `key` brings: with those who fetch it already, else by a fetch that `spawn` is to start.
    ///
    /// `known` says what is known of it meanwhile. A fetch whose task dies, as a worker's tasks do when it stops, is
    /// begun anew from here, where somebody still lives to wait for it.
    ///
    /// # Errors
    ///
    /// When the wait ends without an outcome.
    pub(super) async fn obtain(
        &self,
        key: &K,
        terms: &Terms<'_>,
        known: impl Fn() -> Option<Outcome<V>>,
        spawn: impl Fn(Pilot<K, V>),
    ) -> Result<(Outcome<V>, How), WaitEnded> {
        for _ in 0..MOST_BOARDINGS {
            let (passenger, how) = match self.board(key, terms, &known) {
                Boarding::Known(outcome) => return Ok((outcome, How::Known)),
                Boarding::Joined(passenger) => (passenger, How::Joined),
                Boarding::Opened(passenger, pilot) => {
                    spawn(pilot);
                    (passenger, How::Opened)
                }
                Boarding::Refused(refusal) => return Err(WaitEnded::Overtaken(refusal)),
            };
            match passenger.arrive(terms.clock, terms.deadline).await {
                Err(WaitEnded::Lost) => {}
                outcome => return Ok((outcome?, how)),
            }
        }
        Err(WaitEnded::Lost)
    }

    /// Puts a caller in line for `key`, behind those of its own line who came before.
    pub(super) fn board(
        &self,
        key: &K,
        terms: &Terms<'_>,
        known: impl FnOnce() -> Option<Outcome<V>>,
    ) -> Boarding<K, V> {
        let now = terms.clock.monotonic();
        // Held until the fetch can be found here, so that it is not given up between finding and joining it, and so that
        // whoever finds none sees what the last one brought: a pilot clears this under the same lock, after that.
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = in_flight.get(key) {
            match flight.fetch.stand(&terms.line, now, terms.deadline) {
                Standing::Waiting(place) | Standing::Underway(place) => {
                    let span = Some(wait_for(flight.span, &terms.behalf));
                    return Boarding::Joined(Passenger { place, outcome: flight.outcome.clone(), _span: span });
                }
                Standing::Refused(refusal) => return Boarding::Refused(refusal),
                // Its last waiter left a moment ago, and its pilot has not tidied up yet.
                Standing::Abandoned => {}
            }
        }
        if let Some(outcome) = known() {
            return Boarding::Known(outcome);
        }
        if let Err(open) = terms.upstream.check(now) {
            return Boarding::Known(Err(Arc::new(open.into())));
        }
        let fetch = terms.upstream.bucket(terms.action).open_fetch();
        let handle = fetch.handle();
        let place = match handle.stand(&terms.line, now, terms.deadline) {
            Standing::Waiting(place) | Standing::Underway(place) => place,
            Standing::Refused(refusal) => return Boarding::Refused(refusal),
            Standing::Abandoned => unreachable!("a fetch that nobody has left yet is not abandoned"),
        };
        let (sender, receiver) = watch::channel(None);
        let behalf = terms.behalf.for_fetch();
        let span = behalf.trace.context();
        in_flight.insert(key.clone(), Flight { fetch: handle, outcome: receiver.clone(), span });
        let pilot = Pilot { key: key.clone(), fetch, behalf, outcome: sender, in_flight: Arc::clone(&self.in_flight) };
        Boarding::Opened(Passenger { place, outcome: receiver, _span: None }, pilot)
    }

    /// Whether somebody fetches `key` right now.
    pub(super) fn is_in_flight(&self, key: &K) -> bool {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }
}

impl<V: Clone> Passenger<V> {
    /// Waits for the outcome, but not past `deadline`, and in the queue not past `max_wait`.
    ///
    /// Dropping the future is a hang-up: it leaves the queue and costs nothing.
    pub(super) async fn arrive(mut self, clock: &Clock, deadline: Instant) -> Result<Outcome<V>, WaitEnded> {
        tokio::select! {
            biased;
            outcome = landed(&mut self.outcome) => outcome,
            refusal = self.place.overtaken() => Err(WaitEnded::Overtaken(refusal)),
            () = sleep_until(deadline.into()) => {
                // Whoever still stands in line was not kept waiting by the upstream but by others.
                let refusal = self.place.refusal(clock.monotonic());
                Err(refusal.map_or(WaitEnded::DeadlineOver, WaitEnded::Overtaken))
            }
        }
    }
}

/// The span of a caller who waits for the fetch of another, whose span is there.
fn wait_for(fetch: Option<SpanContext>, behalf: &Behalf) -> Span {
    behalf.trace.remark();
    let span = behalf.trace.step(Step::Fetch);
    span.note("gateway.collapsed", true);
    span.link(fetch);
    span
}

async fn landed<V: Clone>(outcome: &mut watch::Receiver<Option<Outcome<V>>>) -> Result<Outcome<V>, WaitEnded> {
    match outcome.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().ok_or(WaitEnded::Lost),
        Err(_) => Err(WaitEnded::Lost),
    }
}

impl<K: Hash + Eq, V> Pilot<K, V> {
    /// Tells everybody who waits. What the outcome brought must be in the cache by now, for after this a newcomer
    /// finds no fetch to join.
    pub(super) fn land(self, outcome: Outcome<V>) {
        self.clear();
        self.outcome.send_replace(Some(outcome));
    }

    fn clear(&self) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        // An abandoned flight may have been replaced under its key; that one is not ours to remove.
        if in_flight.get(&self.key).is_some_and(|flight| flight.outcome.same_channel(&self.outcome.subscribe())) {
            in_flight.remove(&self.key);
        }
    }
}

impl<K: Hash + Eq, V> Drop for Pilot<K, V> {
    fn drop(&mut self) {
        self.clear();
    }
}
