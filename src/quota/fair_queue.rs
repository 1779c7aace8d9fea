//! Who is next: round-robin over issuers, within one over callers, first-come within one caller.
//!
//! What is queued are fetches, not callers. A fetch stands in the line of each caller who waits for it and is served
//! when the first of those places comes up; then all of them leave. So a caller gets no turn more for waiting with
//! others, and waits no longer for it. Refreshes in the background stand in a line of their own, behind every person.
//!
//! Pure, and every step takes constant time, save what says otherwise. It knows nothing of tokens and never waits.

mod arena;
mod lines;
mod rehearsal;

use std::{sync::Arc, time::Instant};

use arena::{Arena, Key};
use lines::Lines;

/// The line that a place belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// A person or a program, in their turn.
    Caller {
        /// The issuer's name in our configuration. An issuer that mints a subject per job gets one share all the same.
        issuer: Arc<str>,
        /// The subject, unique within the issuer.
        caller: Arc<str>,
    },
    /// Nobody: a refresh ahead of time.
    Background,
}

/// A fetch that was opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FetchId(Key);

/// One waiter's place for one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaceId(Key);

/// How far a fetch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has stood for it so far.
    New,
    /// It stands in the line of everybody who waits for it.
    Waiting,
    /// Its turn has come; those who wait for it stand in no line.
    Served,
    /// All who waited for it left before its turn came. It will not be served any more.
    Abandoned,
}

/// A fetch whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The fetch.
    pub fetch: FetchId,
    /// Since when somebody has been standing for it.
    pub waiting_since: Instant,
}

/// How many places there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Standing places over all callers. Background places are not counted, so that they take nobody's place.
    pub total: usize,
    /// Standing places of one caller, and of the background.
    pub per_caller: usize,
}

/// Why there is no room for one more place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The queue holds as many as it may.
    Queue,
    /// The caller holds as many as they may.
    Caller,
}

/// The queue of one bucket.
#[derive(Debug)]
pub struct FairQueue {
    bounds: Bounds,
    fetches: Arena<Fetch>,
    /// Those of them that somebody stands for.
    waiting: usize,
    lines: Lines,
}

#[derive(Debug)]
struct Fetch {
    stage: Stage,
    waiting_since: Instant,
    /// In no particular order; each place knows where it is in here.
    places: Vec<Key>,
}

impl Fetch {
    /// Comes to another stage; `waiting` counts the fetches that wait.
    fn enter(&mut self, stage: Stage, waiting: &mut usize) {
        *waiting -= usize::from(self.stage == Stage::Waiting);
        *waiting += usize::from(stage == Stage::Waiting);
        self.stage = stage;
    }
}

impl FairQueue {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, fetches: Arena::new(), waiting: 0, lines: Lines::new() }
    }

    /// Places that stand in a line.
    pub fn len(&self) -> usize {
        self.lines.people_standing() + self.lines.background_standing()
    }

    /// Fetches that somebody stands for.
    pub fn fetches_waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nobody stands in any line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is kept: no fetch, no place, no name.
    pub fn holds_nothing(&self) -> bool {
        self.fetches.is_empty() && self.waiting == 0 && self.lines.hold_nothing()
    }

    /// Makes a fetch known, for which nobody stands so far.
    pub fn open(&mut self, now: Instant) -> FetchId {
        FetchId(self.fetches.insert(Fetch { stage: Stage::New, waiting_since: now, places: Vec::new() }))
    }

    /// How far a fetch has come; `None` once it is closed.
    pub fn stage(&self, fetch: FetchId) -> Option<Stage> {
        Some(self.fetches.get(fetch.0)?.stage)
    }

    /// How many wait for a fetch, in a line or while it is under way.
    pub fn waiters(&self, fetch: FetchId) -> usize {
        self.fetches.get(fetch.0).map_or(0, |fetch| fetch.places.len())
    }

    /// Says whether one more may stand in `line`.
    pub fn room_in(&self, line: &Line) -> Result<(), Full> {
        if matches!(line, Line::Caller { .. }) && self.lines.people_standing() >= self.bounds.total {
            return Err(Full::Queue);
        }
        if self.lines.standing_in(line) >= self.bounds.per_caller {
            return Err(Full::Caller);
        }
        Ok(())
    }

    /// Takes a place for a fetch: at the end of `line`, or, where the fetch is under way, in no line until a retry.
    ///
    /// `None` where the fetch is closed or abandoned. The bounds are the caller's to ask for before.
    pub fn take_place(&mut self, fetch: FetchId, line: &Line, now: Instant) -> Option<PlaceId> {
        let record = self.fetches.get_mut(fetch.0).filter(|record| record.stage != Stage::Abandoned)?;
        let place = self.lines.enrol(line, fetch.0, record.places.len());
        record.places.push(place);
        if record.stage == Stage::New {
            record.enter(Stage::Waiting, &mut self.waiting);
            record.waiting_since = now;
        }
        if record.stage == Stage::Waiting {
            self.lines.step_in(place, now);
        }
        Some(PlaceId(place))
    }

    /// Gives a place up. Says which fetch that leaves without anybody standing for it, which is thereby abandoned.
    ///
    /// A fetch that is under way goes on without waiters.
    pub fn leave(&mut self, place: PlaceId) -> Option<FetchId> {
        let gone = self.lines.dismiss(place.0)?;
        let fetch = self.fetches.get_mut(gone.fetch)?;
        fetch.places.swap_remove(gone.position);
        if let Some(&moved) = fetch.places.get(gone.position) {
            self.lines.reposition(moved, gone.position);
        }
        if !fetch.places.is_empty() || fetch.stage != Stage::Waiting {
            return None;
        }
        fetch.enter(Stage::Abandoned, &mut self.waiting);
        Some(FetchId(gone.fetch))
    }

    /// Since when a place has stood in its line; `None` while its fetch is under way or gone.
    pub fn standing_since(&self, place: PlaceId) -> Option<Instant> {
        self.lines.place(place.0)?.standing_since
    }

    /// Serves the fetch whose turn it is; its places leave their lines, in time proportional to their number.
    pub fn serve_next(&mut self) -> Option<Served> {
        let place = self.lines.take_turn()?;
        let fetch = self.lines.place(place)?.fetch;
        self.serve(FetchId(fetch))
    }

    /// Serves one fetch out of turn: where nobody else waits, turns are not kept.
    pub fn serve(&mut self, fetch: FetchId) -> Option<Served> {
        let record = self.fetches.get_mut(fetch.0)?;
        record.enter(Stage::Served, &mut self.waiting);
        for &place in &record.places {
            self.lines.step_out(place);
        }
        Some(Served { fetch, waiting_since: record.waiting_since })
    }

    /// Lets a fetch that was served stand again for those who still wait; says whether anybody does.
    ///
    /// They arrived before whoever stands behind them now: each goes back to where its arrival puts it, past those of
    /// its line who came earlier still, in time proportional to the number of those. Nobody left: the fetch is
    /// abandoned.
    pub fn requeue(&mut self, fetch: FetchId, now: Instant) -> bool {
        let Some(record) = self.fetches.get_mut(fetch.0) else { return false };
        if record.stage != Stage::Served {
            return record.stage == Stage::Waiting;
        }
        if record.places.is_empty() {
            record.enter(Stage::Abandoned, &mut self.waiting);
            return false;
        }
        record.enter(Stage::Waiting, &mut self.waiting);
        record.waiting_since = now;
        for &place in &record.places {
            self.lines.step_back_in(place, now);
        }
        true
    }

    /// Forgets a fetch; the places for it leave, and their owners' later leaving changes nothing.
    pub fn close(&mut self, fetch: FetchId) {
        let Some(mut record) = self.fetches.remove(fetch.0) else { return };
        record.enter(Stage::Abandoned, &mut self.waiting);
        for place in record.places {
            self.lines.dismiss(place);
        }
    }

    /// How many fetches are served before the one that `place` stands for, if nobody comes and nobody leaves.
    ///
    /// Exact, for it plays the turns through; in time proportional to those turns and to the callers who stand. `None`
    /// where the place stands in no line.
    pub fn turns_before(&self, place: PlaceId) -> Option<usize> {
        self.standing_since(place)?;
        rehearsal::turns_before(&self.lines, self.lines.place(place.0)?.fetch, self.fetches.width())
    }
}

#[cfg(test)]
mod tests;
