//! A bucket, its callers and an upstream in virtual time.
//!
//! It drives the pure parts as `quota::local` does, and keeps what the tests judge by. It knows what the bucket never
//! sees: when each call really arrived upstream.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::{Duration, Instant, SystemTime},
};

use redis_backup_gateway::{
    domain::Clock,
    quota::{
        fair_queue::{Bounds, FairQueue, FetchId, PlaceId, Stage},
        window::{Pace, Token, Window},
    },
};

use crate::{
    chance::Chance,
    scenario::{Chronicle, End, Habit, Prediction, Scenario, Visit},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request { habit: usize },
    HangUp { visit: usize },
    DriverWakes,
    Send { call: usize },
    Answer { call: usize },
    Fail { call: usize },
    DoorsClose,
}

struct Call {
    fetch: FetchId,
    token: Token,
    cold: bool,
}

/// A place and the visit that it belongs to.
struct Waiter {
    place: PlaceId,
    visit: usize,
}

pub(crate) struct World {
    scenario: Scenario,
    chance: Chance,
    origin: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scheduled: u64,
    driver_wakes_at: Option<Duration>,
    window: Window,
    queue: FairQueue,
    calls: Vec<Call>,
    /// Ordered, so that a run depends on its seed alone.
    open: BTreeMap<u64, FetchId>,
    waiters: HashMap<FetchId, (u64, Vec<Waiter>)>,
    fetches_opened: u64,
    turns: usize,
    contended_since: Option<Duration>,
    closed: bool,
    chronicle: Chronicle,
}

impl World {
    pub(crate) fn run(seed: u64, scenario: Scenario) -> Chronicle {
        let origin = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
        let mut world = Self {
            chance: Chance::seeded(seed),
            origin,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            driver_wakes_at: None,
            window: Window::new(scenario.tokens, scenario.guard, origin),
            queue: FairQueue::new(Bounds { total: usize::MAX, per_caller: usize::MAX }),
            calls: Vec::new(),
            open: BTreeMap::new(),
            waiters: HashMap::new(),
            fetches_opened: 0,
            turns: 0,
            contended_since: None,
            closed: false,
            chronicle: Chronicle::default(),
            scenario,
        };
        world.play();
        world.chronicle
    }

    fn play(&mut self) {
        for habit in 0..self.scenario.callers.len() {
            let Habit { connections, pause, from, .. } = self.scenario.callers[habit];
            for _ in 0..connections {
                let first = from + self.chance.memoryless(pause);
                self.schedule(first, Event::Request { habit });
            }
        }
        self.schedule(self.scenario.open_for, Event::DoorsClose);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            self.happen(event);
            self.look_at_the_queue();
        }
        self.chronicle.arrivals.sort();
        let later = self.instant() + Duration::from_secs(3600);
        while self.window.grant(Pace::AtOnce, later).is_some() {
            self.chronicle.free_at_end += 1;
        }
        self.chronicle.queue_is_clean = self.queue.holds_nothing();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { habit } if !self.closed => self.request(habit),
            Event::Request { .. } => {}
            Event::HangUp { visit } if !self.closed => self.hang_up(visit),
            Event::HangUp { .. } => {}
            Event::DriverWakes => self.serve_due(),
            Event::Send { call } => self.send(call),
            Event::Answer { call } => self.answer(call),
            Event::Fail { call } => self.fail(call),
            Event::DoorsClose => self.close_doors(),
        }
    }

    fn request(&mut self, habit: usize) {
        let line = self.scenario.callers[habit].line();
        let shares = self.chance.happens(self.scenario.shared) && !self.open.is_empty();
        let chosen = shares.then(|| self.chance.between(0, self.open.len() as u64 - 1) as usize);
        let fetch = match chosen.and_then(|index| self.open.values().nth(index)) {
            Some(&fetch) => fetch,
            None => self.open_fetch(),
        };
        let (own_round, only_request, issuers) = self.round_of(self.scenario.callers[habit].who);
        let nobody_waits = self.queue.is_empty();
        let place = self.queue.take_place(fetch, &line, self.instant()).expect("abandoned fetches are closed at once");
        let visit = self.chronicle.visits.len();
        let mut record = Visit {
            habit,
            arrived_at: self.now,
            turns_before_arrival: self.turns,
            at_once: true,
            own_round,
            only_request,
            issuers,
            ended: None,
        };
        if self.queue.stage(fetch) == Some(Stage::Served) {
            record.ended = Some((self.now, End::Served { turns: self.turns }));
        } else {
            record.at_once = false;
        }
        let waits = !record.at_once;
        self.chronicle.visits.push(record);
        self.waiters.get_mut(&fetch).expect("it is open").1.push(Waiter { place, visit });
        if waits
            && nobody_waits
            && let Some(token) = self.window.grant(Pace::AtOnce, self.instant())
        {
            self.queue.serve(fetch);
            self.chronicle.visits[visit].at_once = true;
            self.hand_out(fetch, token);
        } else if waits && self.chance.happens(self.scenario.impatient) {
            let patience = self.chance.memoryless(Duration::from_millis(400));
            self.schedule(patience, Event::HangUp { visit });
        }
    }

    fn hang_up(&mut self, visit: usize) {
        if self.chronicle.visits[visit].ended.is_some() {
            return;
        }
        let (&fetch, (_, waiters)) = self
            .waiters
            .iter_mut()
            .find(|(_, (_, waiters))| waiters.iter().any(|waiter| waiter.visit == visit))
            .expect("a visit that has not ended waits for a fetch");
        let position = waiters.iter().position(|waiter| waiter.visit == visit).expect("found above");
        let waiter = waiters.swap_remove(position);
        let abandoned = self.queue.leave(waiter.place);
        self.chronicle.visits[visit].ended = Some((self.now, End::HungUp));
        if abandoned == Some(fetch) {
            self.close(fetch);
        }
        self.come_again(self.chronicle.visits[visit].habit);
    }

    fn serve_due(&mut self) {
        if self.driver_wakes_at != Some(self.now) {
            return;
        }
        self.driver_wakes_at = None;
        while !self.queue.is_empty()
            && let Some(token) = self.window.grant(Pace::Spaced, self.instant())
        {
            let served = self.queue.serve_next().expect("somebody stands");
            self.hand_out(served.fetch, token);
        }
    }

    fn hand_out(&mut self, fetch: FetchId, token: Token) {
        self.turns += 1;
        for waiter in &self.waiters[&fetch].1 {
            let visit = &mut self.chronicle.visits[waiter.visit];
            // A retry is another turn of a visit that was served before.
            visit.ended.get_or_insert((self.now, End::Served { turns: self.turns }));
        }
        let cold = self.chance.happens(self.scenario.cold.0);
        self.calls.push(Call { fetch, token, cold });
        let until_sent = self.chance.duration(Duration::ZERO, Duration::from_micros(300));
        self.schedule(until_sent, Event::Send { call: self.calls.len() - 1 });
    }

    fn send(&mut self, index: usize) {
        let Call { fetch, token, cold } = self.calls[index];
        if !self.closed && self.chance.happens(self.scenario.unused) {
            self.window.ended(token, self.instant());
            self.close(fetch);
            return;
        }
        let granted_at = self.now;
        self.chronicle.grants.push(granted_at);
        let takes = if cold {
            self.window.connecting(token);
            self.chance.duration(Duration::ZERO, self.scenario.cold.1)
        } else {
            self.window.handed_over(token, self.instant());
            self.chance.duration(self.scenario.latency.0, self.scenario.latency.1)
        };
        let fails = !self.closed && self.chance.happens(self.scenario.failing);
        // An arrival comes before its answer; without one, at the latest the guard after the last chance to send it.
        let latest_arrival = match (cold, fails) {
            (false, false) => takes.min(self.scenario.guard),
            (false, true) => self.scenario.guard,
            (true, false) => takes,
            (true, true) => takes + self.scenario.guard,
        };
        // The extremes are where a bound breaks, so they are drawn more often than chance alone would.
        let arrival = match self.chance.between(0, 3) {
            0 => Duration::ZERO,
            1 => latest_arrival,
            _ => self.chance.duration(Duration::ZERO, latest_arrival),
        };
        self.chronicle.arrivals.push(self.now + arrival);
        self.schedule(takes, if fails { Event::Fail { call: index } } else { Event::Answer { call: index } });
    }

    fn answer(&mut self, index: usize) {
        let Call { fetch, token, .. } = self.calls[index];
        if !self.closed && self.chance.happens(self.scenario.refused) {
            self.window.refused_upstream(token, self.instant());
            self.window.ended(token, self.instant());
            self.try_again(fetch);
            return;
        }
        self.window.answered(token, self.instant());
        self.window.ended(token, self.instant());
        self.close(fetch);
    }

    fn fail(&mut self, index: usize) {
        let Call { fetch, token, .. } = self.calls[index];
        self.window.ended(token, self.instant());
        self.try_again(fetch);
    }

    fn try_again(&mut self, fetch: FetchId) {
        if !self.queue.requeue(fetch, self.instant()) {
            self.close(fetch);
        }
    }

    fn close_doors(&mut self) {
        self.closed = true;
        self.chronicle.closed_at = self.now;
        self.chronicle.turns_at_closing = self.turns;
        for (_, waiters) in self.waiters.values() {
            for waiter in waiters {
                let Some(turns) = self.queue.turns_before(waiter.place) else { continue };
                // Only who has not been served yet: a retry's wait is another story.
                if self.chronicle.visits[waiter.visit].ended.is_none() {
                    let wait = self.window.expected_wait(turns, self.instant());
                    self.chronicle.predictions.push(Prediction { visit: waiter.visit, turns, wait });
                }
            }
        }
    }

    /// Keeps the books on who stands, and sets the driver's alarm.
    fn look_at_the_queue(&mut self) {
        if self.queue.is_empty() {
            if let Some(since) = self.contended_since.take() {
                self.chronicle.contended.push((since, self.now));
            }
            return;
        }
        self.contended_since.get_or_insert(self.now);
        let Some(due) = self.window.next_due() else { return };
        let lateness = self.chance.duration(Duration::ZERO, self.scenario.timer_lateness);
        let at = due.saturating_duration_since(self.origin).max(self.now) + lateness;
        if self.driver_wakes_at.is_none_or(|planned| at < planned) {
            self.driver_wakes_at = Some(at);
            self.schedule(at - self.now, Event::DriverWakes);
        }
    }

    fn open_fetch(&mut self) -> FetchId {
        let fetch = self.queue.open(self.instant());
        self.fetches_opened += 1;
        self.open.insert(self.fetches_opened, fetch);
        self.waiters.insert(fetch, (self.fetches_opened, Vec::new()));
        fetch
    }

    fn close(&mut self, fetch: FetchId) {
        self.queue.close(fetch);
        let (number, waiters) = self.waiters.remove(&fetch).expect("it is open");
        self.open.remove(&number);
        for waiter in waiters {
            self.come_again(self.chronicle.visits[waiter.visit].habit);
        }
    }

    fn come_again(&mut self, habit: usize) {
        let pause = self.chance.memoryless(self.scenario.callers[habit].pause);
        self.schedule(pause, Event::Request { habit });
    }

    /// The callers of the line's issuer who stand, whether none of the line's own requests does, and the issuers; all
    /// with the line itself.
    ///
    /// Counted here from the waiters, not asked of the queue, whose word is what is being judged. Also raises the
    /// number of issuers that those who wait have seen.
    fn round_of(&mut self, who: Option<(u64, u64)>) -> (usize, bool, usize) {
        let Some(who) = who else { return (0, false, 0) };
        let mut standing = vec![who];
        let mut waiting = Vec::new();
        for (_, waiters) in self.waiters.values() {
            for waiter in waiters {
                if self.queue.standing_since(waiter.place).is_some() {
                    waiting.push(waiter.visit);
                    standing.extend(self.scenario.callers[self.chronicle.visits[waiter.visit].habit].who);
                }
            }
        }
        let only_request = standing.iter().filter(|&&other| other == who).count() == 1;
        standing.sort_unstable();
        standing.dedup();
        let own_round = standing.iter().filter(|other| other.0 == who.0).count();
        standing.dedup_by_key(|other| other.0);
        for visit in waiting {
            let seen = &mut self.chronicle.visits[visit].issuers;
            *seen = (*seen).max(standing.len());
        }
        (own_round, only_request, standing.len())
    }

    fn instant(&self) -> Instant {
        self.origin + self.now
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + after, self.scheduled, event)));
    }
}
