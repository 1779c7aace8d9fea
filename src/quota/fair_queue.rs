//! Who is next: round-robin over issuers, within one over callers, first-come within one caller.
//!
//! What is queued are fetches, not callers. A fetch stands in the line of each caller who waits for it and is served
//! when the first of those places comes up; then all of them leave. So a caller gets no turn more for waiting with
//! others, and waits no longer for it. Refreshes in the background stand in a line of their own, behind every person.
//!
//! Pure, and every step takes constant time, save what says otherwise. It knows nothing of tokens and never waits.

mod arena;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use arena::{Arena, Chain, Key};

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

#[derive(Debug)]
struct Fetch {
    stage: Stage,
    waiting_since: Instant,
    /// In no particular order.
    places: Vec<Key>,
}

#[derive(Debug)]
struct Place {
    fetch: Key,
    line: LineKey,
    /// Places of a line stand in this order, even where they come back for a retry.
    arrival: u64,
    /// `None` while the fetch is under way.
    standing_since: Option<Instant>,
    /// Where it is in its fetch's list of places.
    position: usize,
}

#[derive(Clone, Copy, Debug)]
enum LineKey {
    Caller(Key),
    Background,
}

#[derive(Debug)]
struct Issuer {
    name: Arc<str>,
    callers: HashMap<Arc<str>, Key>,
    /// The callers with somebody standing, next first.
    round: Chain,
}

#[derive(Debug)]
struct Caller {
    name: Arc<str>,
    issuer: Key,
    line: Chain,
    standing: usize,
    /// Standing places and those whose fetch is under way.
    places: usize,
}

/// The queue of one bucket.
#[derive(Debug)]
pub struct FairQueue {
    bounds: Bounds,
    fetches: Arena<Fetch>,
    places: Arena<Place>,
    callers: Arena<Caller>,
    issuers: Arena<Issuer>,
    issuer_names: HashMap<Arc<str>, Key>,
    /// The issuers with somebody standing, next first.
    round: Chain,
    background: Chain,
    people_standing: usize,
    background_standing: usize,
    arrivals: u64,
}

impl FairQueue {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            fetches: Arena::new(),
            places: Arena::new(),
            callers: Arena::new(),
            issuers: Arena::new(),
            issuer_names: HashMap::new(),
            round: Chain::default(),
            background: Chain::default(),
            people_standing: 0,
            background_standing: 0,
            arrivals: 0,
        }
    }

    /// Places that stand in a line.
    pub fn len(&self) -> usize {
        self.people_standing + self.background_standing
    }

    /// Whether nobody stands in any line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is kept: no fetch, no place, no name.
    pub fn holds_nothing(&self) -> bool {
        self.issuer_names.is_empty() && self.background.is_empty() && self.fetches.is_empty() && self.places.is_empty()
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
        let Line::Caller { issuer, caller } = line else {
            return if self.background_standing < self.bounds.per_caller { Ok(()) } else { Err(Full::Caller) };
        };
        if self.people_standing >= self.bounds.total {
            return Err(Full::Queue);
        }
        let known = self.issuer_names.get(issuer).and_then(|&key| self.issuers.get(key)?.callers.get(caller));
        let standing = known.and_then(|&key| self.callers.get(key)).map_or(0, |caller| caller.standing);
        if standing < self.bounds.per_caller { Ok(()) } else { Err(Full::Caller) }
    }

    /// Takes a place for a fetch: at the end of `line`, or, where the fetch is under way, in no line until a retry.
    ///
    /// `None` where the fetch is closed or abandoned. The bounds are the caller's to ask for before.
    pub fn take_place(&mut self, fetch: FetchId, line: &Line, now: Instant) -> Option<PlaceId> {
        let stage = self.stage(fetch)?;
        if stage == Stage::Abandoned {
            return None;
        }
        let line = match line {
            Line::Caller { issuer, caller } => LineKey::Caller(self.caller_named(issuer, caller)),
            Line::Background => LineKey::Background,
        };
        self.arrivals += 1;
        let record = self.fetches.get_mut(fetch.0)?;
        let place = self.places.insert(Place {
            fetch: fetch.0,
            line,
            arrival: self.arrivals,
            standing_since: None,
            position: record.places.len(),
        });
        record.places.push(place);
        if let LineKey::Caller(caller) = line
            && let Some(caller) = self.callers.get_mut(caller)
        {
            caller.places += 1;
        }
        if stage != Stage::Served {
            if stage == Stage::New {
                record.stage = Stage::Waiting;
                record.waiting_since = now;
            }
            self.step_into_line(place, None, now);
        }
        Some(PlaceId(place))
    }

    /// Gives a place up. Says which fetch that leaves without anybody standing for it, which is thereby abandoned.
    ///
    /// A fetch that is under way goes on without waiters.
    pub fn leave(&mut self, place: PlaceId) -> Option<FetchId> {
        self.step_out_of_line(place.0);
        let gone = self.places.remove(place.0)?;
        self.forget_caller(gone.line);
        let fetch = self.fetches.get_mut(gone.fetch)?;
        fetch.places.swap_remove(gone.position);
        if let Some(moved) = fetch.places.get(gone.position)
            && let Some(moved) = self.places.get_mut(*moved)
        {
            moved.position = gone.position;
        }
        if !fetch.places.is_empty() || fetch.stage != Stage::Waiting {
            return None;
        }
        fetch.stage = Stage::Abandoned;
        Some(FetchId(gone.fetch))
    }

    /// Since when a place has stood in its line; `None` while its fetch is under way or gone.
    pub fn standing_since(&self, place: PlaceId) -> Option<Instant> {
        self.places.get(place.0)?.standing_since
    }

    /// Serves the fetch whose turn it is; its places leave their lines, in time proportional to their number.
    pub fn serve_next(&mut self) -> Option<Served> {
        let place = self.take_turn().or_else(|| self.background.first())?;
        let fetch = self.places.get(place)?.fetch;
        self.serve(FetchId(fetch))
    }

    /// Serves one fetch out of turn: where nobody waits, turns are not kept.
    pub fn serve(&mut self, fetch: FetchId) -> Option<Served> {
        let record = self.fetches.get_mut(fetch.0)?;
        record.stage = Stage::Served;
        let waiting_since = record.waiting_since;
        for index in 0..self.waiters(fetch) {
            if let Some(place) = self.place_of(fetch, index) {
                self.step_out_of_line(place);
            }
        }
        Some(Served { fetch, waiting_since })
    }

    /// Lets a fetch that was served stand again for those who still wait; says whether anybody does.
    ///
    /// They arrived before whoever stands behind them now: each goes back to where its arrival puts it, past those of
    /// its line who came earlier still. Nobody left: the fetch is abandoned.
    pub fn requeue(&mut self, fetch: FetchId, now: Instant) -> bool {
        let waiters = self.waiters(fetch);
        let Some(record) = self.fetches.get_mut(fetch.0) else { return false };
        if record.stage != Stage::Served {
            return record.stage == Stage::Waiting;
        }
        record.waiting_since = now;
        record.stage = if waiters == 0 { Stage::Abandoned } else { Stage::Waiting };
        for index in 0..waiters {
            if let Some(place) = self.place_of(fetch, index) {
                let next = self.first_who_came_later(place);
                self.step_into_line(place, next, now);
            }
        }
        waiters > 0
    }

    /// Forgets a fetch; the places for it leave, and their owners' later leaving changes nothing.
    pub fn close(&mut self, fetch: FetchId) {
        for index in 0..self.waiters(fetch) {
            if let Some(place) = self.place_of(fetch, index) {
                self.step_out_of_line(place);
                if let Some(gone) = self.places.remove(place) {
                    self.forget_caller(gone.line);
                }
            }
        }
        self.fetches.remove(fetch.0);
    }

    /// How many fetches are served before the one that `place` stands for, if nobody comes and nobody leaves.
    ///
    /// Exact, for it plays the turns through; in time proportional to those turns and to the callers who stand. `None`
    /// where the place stands in no line.
    pub fn turns_before(&self, place: PlaceId) -> Option<usize> {
        self.standing_since(place)?;
        let awaited = self.places.get(place.0)?.fetch;
        let mut rehearsal = Rehearsal { queue: self, served: vec![false; self.fetches.width()], turns: 0 };
        let mut round: VecDeque<VecDeque<Key>> =
            self.issuers_in_turn().map(|issuer| self.first_places_of(issuer).collect()).collect();
        while let Some(mut callers) = round.pop_front() {
            while let Some(first) = callers.pop_front() {
                let Some((place, fetch)) = rehearsal.serve_from(first) else { continue };
                if fetch == awaited {
                    return Some(rehearsal.turns - 1);
                }
                callers.extend(self.places.after(place));
                break;
            }
            if !callers.is_empty() {
                round.push_back(callers);
            }
        }
        let mut next = self.background.first();
        while let Some((place, fetch)) = next.and_then(|first| rehearsal.serve_from(first)) {
            if fetch == awaited {
                return Some(rehearsal.turns - 1);
            }
            next = self.places.after(place);
        }
        None
    }

    fn issuers_in_turn(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.members(self.round).filter_map(|key| self.issuers.get(key))
    }

    fn first_places_of(&self, issuer: &Issuer) -> impl Iterator<Item = Key> {
        self.callers.members(issuer.round).filter_map(|key| self.callers.get(key)?.line.first())
    }

    fn place_of(&self, fetch: FetchId, index: usize) -> Option<Key> {
        self.fetches.get(fetch.0)?.places.get(index).copied()
    }

    /// The place whose turn it is; the turn goes on to the next issuer, and within this one to the next caller.
    fn take_turn(&mut self) -> Option<Key> {
        let issuer_key = self.round.first()?;
        self.issuers.unlink(&mut self.round, issuer_key);
        self.issuers.link_last(&mut self.round, issuer_key);
        let issuer = self.issuers.get_mut(issuer_key)?;
        let caller_key = issuer.round.first()?;
        self.callers.unlink(&mut issuer.round, caller_key);
        self.callers.link_last(&mut issuer.round, caller_key);
        self.callers.get(caller_key)?.line.first()
    }

    /// Puts a place into its line, before `next` or at the end; the line joins the round where it was empty.
    fn step_into_line(&mut self, key: Key, next: Option<Key>, now: Instant) {
        let Some(place) = self.places.get_mut(key) else { return };
        place.standing_since = Some(now);
        let line = match place.line {
            LineKey::Background => {
                self.background_standing += 1;
                &mut self.background
            }
            LineKey::Caller(caller_key) => {
                let Some(caller) = self.callers.get_mut(caller_key) else { return };
                let (issuer_key, was_empty) = (caller.issuer, caller.line.is_empty());
                caller.standing += 1;
                self.people_standing += 1;
                if was_empty && let Some(issuer) = self.issuers.get_mut(issuer_key) {
                    let issuer_was_out = issuer.round.is_empty();
                    self.callers.link_last(&mut issuer.round, caller_key);
                    if issuer_was_out {
                        self.issuers.link_last(&mut self.round, issuer_key);
                    }
                }
                let Some(caller) = self.callers.get_mut(caller_key) else { return };
                &mut caller.line
            }
        };
        match next {
            Some(next) => self.places.link_before(line, key, next),
            None => self.places.link_last(line, key),
        }
    }

    /// Takes a place out of its line, where it stands in one; a line that is empty then leaves the round.
    fn step_out_of_line(&mut self, key: Key) {
        let Some(place) = self.places.get_mut(key) else { return };
        if place.standing_since.take().is_none() {
            return;
        }
        let LineKey::Caller(caller_key) = place.line else {
            self.background_standing -= 1;
            self.places.unlink(&mut self.background, key);
            return;
        };
        let Some(caller) = self.callers.get_mut(caller_key) else { return };
        self.people_standing -= 1;
        caller.standing -= 1;
        self.places.unlink(&mut caller.line, key);
        if !caller.line.is_empty() {
            return;
        }
        let issuer_key = caller.issuer;
        let Some(issuer) = self.issuers.get_mut(issuer_key) else { return };
        self.callers.unlink(&mut issuer.round, caller_key);
        if issuer.round.is_empty() {
            self.issuers.unlink(&mut self.round, issuer_key);
        }
    }

    /// The first place in the line of `key` that arrived after it; looks at those before it one by one.
    fn first_who_came_later(&self, key: Key) -> Option<Key> {
        let place = self.places.get(key)?;
        let line = match place.line {
            LineKey::Caller(caller) => self.callers.get(caller)?.line,
            LineKey::Background => self.background,
        };
        self.places.members(line).find(|&other| self.places.get(other).is_some_and(|it| it.arrival > place.arrival))
    }

    fn caller_named(&mut self, issuer_name: &Arc<str>, name: &Arc<str>) -> Key {
        let issuer_key = *self.issuer_names.entry(issuer_name.clone()).or_insert_with(|| {
            let issuer = Issuer { name: issuer_name.clone(), callers: HashMap::new(), round: Chain::default() };
            self.issuers.insert(issuer)
        });
        let new = || Caller { name: name.clone(), issuer: issuer_key, line: Chain::default(), standing: 0, places: 0 };
        match self.issuers.get_mut(issuer_key) {
            Some(issuer) => *issuer.callers.entry(name.clone()).or_insert_with(|| self.callers.insert(new())),
            None => self.callers.insert(new()),
        }
    }

    /// Counts one place of a caller less; a caller without any is forgotten, and an issuer without callers.
    fn forget_caller(&mut self, line: LineKey) {
        let LineKey::Caller(caller_key) = line else { return };
        let Some(caller) = self.callers.get_mut(caller_key) else { return };
        caller.places -= 1;
        if caller.places > 0 {
            return;
        }
        let Some(caller) = self.callers.remove(caller_key) else { return };
        let Some(issuer) = self.issuers.get_mut(caller.issuer) else { return };
        issuer.callers.remove(&caller.name);
        if issuer.callers.is_empty()
            && let Some(issuer) = self.issuers.remove(caller.issuer)
        {
            self.issuer_names.remove(&issuer.name);
        }
    }
}

/// The turns to come, played through without touching the queue.
struct Rehearsal<'queue> {
    queue: &'queue FairQueue,
    /// By the index of the fetch.
    served: Vec<bool>,
    turns: usize,
}

impl Rehearsal<'_> {
    /// Serves the first fetch, from `place` on along its line, that has not been served through another line.
    fn serve_from(&mut self, place: Key) -> Option<(Key, Key)> {
        let mut next = Some(place);
        while let Some(place) = next {
            let fetch = self.queue.places.get(place)?.fetch;
            if !std::mem::replace(&mut self.served[fetch.index()], true) {
                self.turns += 1;
                return Some((place, fetch));
            }
            next = self.queue.places.after(place);
        }
        None
    }
}
