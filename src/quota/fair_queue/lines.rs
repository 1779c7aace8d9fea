//! The lines that places stand in, and the round that says whose turn it is.
//!
//! A line that is empty is in no round, and a name without places is forgotten: nothing is kept for who is not here.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    Line,
    arena::{Arena, Chain, Key},
};

/// One waiter's place for one fetch.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) fetch: Key,
    /// Where it is in its fetch's list of places.
    pub(super) position: usize,
    /// `None` while the fetch is under way.
    pub(super) standing_since: Option<Instant>,
    line: LineKey,
    /// Places of a line stand in this order, even where they come back for a retry.
    arrival: u64,
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

/// All lines of one bucket.
#[derive(Debug)]
pub(super) struct Lines {
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

impl Lines {
    pub(super) fn new() -> Self {
        Self {
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

    pub(super) fn people_standing(&self) -> usize {
        self.people_standing
    }

    pub(super) fn background_standing(&self) -> usize {
        self.background_standing
    }

    pub(super) fn standing_in(&self, line: &Line) -> usize {
        match line {
            Line::Background => self.background_standing,
            Line::Caller { issuer, caller } => {
                let issuer = self.issuer_names.get(issuer).and_then(|&key| self.issuers.get(key));
                let caller = issuer.and_then(|issuer| self.callers.get(*issuer.callers.get(caller)?));
                caller.map_or(0, |caller| caller.standing)
            }
        }
    }

    pub(super) fn hold_nothing(&self) -> bool {
        self.places.is_empty() && self.callers.is_empty() && self.issuers.is_empty() && self.issuer_names.is_empty()
    }

    pub(super) fn place(&self, key: Key) -> Option<&Place> {
        self.places.get(key)
    }

    /// A new place that belongs to `line` and stands nowhere so far.
    pub(super) fn enrol(&mut self, line: &Line, fetch: Key, position: usize) -> Key {
        let line = match line {
            Line::Background => LineKey::Background,
            Line::Caller { issuer, caller } => LineKey::Caller(self.enrol_caller(issuer, caller)),
        };
        self.arrivals += 1;
        self.places.insert(Place { fetch, position, standing_since: None, line, arrival: self.arrivals })
    }

    /// Takes a place out of its line and forgets it.
    pub(super) fn dismiss(&mut self, key: Key) -> Option<Place> {
        self.step_out(key);
        let place = self.places.remove(key)?;
        if let LineKey::Caller(caller) = place.line {
            self.dismiss_caller(caller);
        }
        Some(place)
    }

    /// Notes that a place has moved within its fetch's list.
    pub(super) fn reposition(&mut self, key: Key, position: usize) {
        if let Some(place) = self.places.get_mut(key) {
            place.position = position;
        }
    }

    /// Lets a place stand at the end of its line.
    pub(super) fn step_in(&mut self, key: Key, now: Instant) {
        self.step_in_before(key, None, now);
    }

    /// Lets a place stand before the first in its line who arrived after it; looks at those before it one by one.
    pub(super) fn step_back_in(&mut self, key: Key, now: Instant) {
        let Some(place) = self.places.get(key) else { return };
        let line = match place.line {
            LineKey::Background => self.background,
            LineKey::Caller(caller) => self.callers.get(caller).map(|caller| caller.line).unwrap_or_default(),
        };
        let came_later = |&other: &Key| self.places.get(other).is_some_and(|other| other.arrival > place.arrival);
        let next = self.places.members(line).find(came_later);
        self.step_in_before(key, next, now);
    }

    /// Takes a place out of its line, where it stands in one; a line that is empty then leaves the round.
    pub(super) fn step_out(&mut self, key: Key) {
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

    /// The place whose turn it is, which stays where it is; the turn goes on to the next issuer, and there to the next
    /// caller. The background's turn is when nobody else stands.
    pub(super) fn take_turn(&mut self) -> Option<Key> {
        let Some(issuer_key) = self.round.first() else { return self.background.first() };
        self.issuers.unlink(&mut self.round, issuer_key);
        self.issuers.link_last(&mut self.round, issuer_key);
        let issuer = self.issuers.get_mut(issuer_key)?;
        let caller_key = issuer.round.first()?;
        self.callers.unlink(&mut issuer.round, caller_key);
        self.callers.link_last(&mut issuer.round, caller_key);
        self.callers.get(caller_key)?.line.first()
    }

    /// The first place of each caller in turn, for each issuer in turn.
    pub(super) fn first_places(&self) -> impl Iterator<Item = impl Iterator<Item = Key>> {
        self.issuers
            .members(self.round)
            .filter_map(|key| self.issuers.get(key))
            .map(|issuer| self.callers.members(issuer.round).filter_map(|key| self.callers.get(key)?.line.first()))
    }

    pub(super) fn first_in_background(&self) -> Option<Key> {
        self.background.first()
    }

    /// Who stands behind a place in its line.
    pub(super) fn behind(&self, key: Key) -> Option<Key> {
        self.places.after(key)
    }

    /// Puts a place into its line, before `next` or at the end; the line joins the round where it was empty.
    fn step_in_before(&mut self, key: Key, next: Option<Key>, now: Instant) {
        let Some(place) = self.places.get_mut(key) else { return };
        place.standing_since = Some(now);
        let line = match place.line {
            LineKey::Background => {
                self.background_standing += 1;
                &mut self.background
            }
            LineKey::Caller(caller_key) => {
                let Some(caller) = self.callers.get_mut(caller_key) else { return };
                self.people_standing += 1;
                caller.standing += 1;
                if caller.line.is_empty() {
                    self.join_round(caller_key);
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

    /// Gives a caller the last turn of its issuer's round, and its issuer the last turn of all where it had none.
    fn join_round(&mut self, caller_key: Key) {
        let Some(issuer_key) = self.callers.get(caller_key).map(|caller| caller.issuer) else { return };
        let Some(issuer) = self.issuers.get_mut(issuer_key) else { return };
        let issuer_had_none = issuer.round.is_empty();
        self.callers.link_last(&mut issuer.round, caller_key);
        if issuer_had_none {
            self.issuers.link_last(&mut self.round, issuer_key);
        }
    }

    /// Counts one place of a caller more, who may be new, and whose issuer may be.
    fn enrol_caller(&mut self, issuer_name: &Arc<str>, name: &Arc<str>) -> Key {
        let issuer_key = *self.issuer_names.entry(issuer_name.clone()).or_insert_with(|| {
            let issuer = Issuer { name: issuer_name.clone(), callers: HashMap::new(), round: Chain::default() };
            self.issuers.insert(issuer)
        });
        let known = self.issuers.get(issuer_key).and_then(|issuer| issuer.callers.get(name).copied());
        let caller_key = known.unwrap_or_else(|| {
            let (name, line) = (name.clone(), Chain::default());
            self.callers.insert(Caller { name, issuer: issuer_key, line, standing: 0, places: 0 })
        });
        if let Some(caller) = self.callers.get_mut(caller_key) {
            caller.places += 1;
        }
        if known.is_none()
            && let Some(issuer) = self.issuers.get_mut(issuer_key)
        {
            issuer.callers.insert(name.clone(), caller_key);
        }
        caller_key
    }

    /// Counts one place of a caller less; a caller without any is forgotten, and an issuer without callers.
    fn dismiss_caller(&mut self, caller_key: Key) {
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
