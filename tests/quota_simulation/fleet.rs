//! Several replicas, the store that they share and an upstream in virtual time, with everything that can go wrong
//! between them.
//!
//! It drives the pure parts as `quota::shared` and the bucket's driver do. Each replica has a clock of its own, which
//! runs a little fast or slow; each server has another. What the tests judge by is true time, which nobody in here sees.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use redis_backup_gateway::{
    domain::Clock,
    quota::{
        shared::{
            Agreement, HEARTBEAT,
            ledger::{Ledger, Token},
            membership::{Membership, Trip},
            protocol::{Books, Envelope, Granted, Known, Outcome, Purpose, Renewal, Renewed, Reply, Take},
        },
        window::Pace,
    },
};

use crate::{
    chance::Chance,
    store::{Server as Asked, Store},
};

const BUCKET: u32 = 0;

/// What happens in a run of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Voyage {
    pub agreement: Agreement,
    /// How many run; no more than agreed on.
    pub running: u32,
    /// The least and the most that a message between a replica and the store takes.
    pub trip: (Duration, Duration),
    /// Percent of the messages that are lost, and that take up to three seconds.
    pub lost: u64,
    pub straggling: u64,
    /// The least and the most between handing a call to an open connection and the first of its answer.
    pub latency: (Duration, Duration),
    /// Percent of the calls that open a connection, and the longest that this takes.
    pub cold: (u64, Duration),
    /// Percent of the calls that fail without an answer.
    pub failing: u64,
    /// Percent of the calls that the upstream refuses as one too many.
    pub refused: u64,
    /// Percent of the fetches whose callers hang up while they wait, and how long after they came at most.
    pub impatient: (u64, Duration),
    /// How many fetches each replica has waiting at most, and the mean time between two that come.
    pub demand: Vec<(usize, Duration)>,
    /// What goes wrong, and when.
    pub mishaps: Vec<(Duration, Mishap)>,
    pub ends_at: Duration,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mishap {
    /// A replica does not reach its server, nor it the replica, for so long.
    Cut { replica: usize, lasts: Duration },
    /// A replica's process stands still for so long.
    Stops { replica: usize, lasts: Duration },
    /// A replica dies, and another process takes its place after so long.
    Dies { replica: usize, back_after: Duration },
    /// A replica says that it leaves, and another process takes its place after so long.
    Leaves { replica: usize, back_after: Duration },
    /// The server stands still for so long, and then carries out what has come meanwhile.
    Freezes { lasts: Duration },
    /// The server dies and comes up again after so long, with the data of so long before; `None`: with none.
    Restarts { after: Duration, data_from: Option<Duration> },
    /// Another server takes its place, whose clock shows something else, with the data of so long before; `None`: with
    /// none. Those replicas whose bit is set go on talking to the old one for so long.
    FailsOver { ahead_millis: i64, data_from: Option<Duration>, stay: u64, stay_for: Duration },
    /// Somebody empties the server.
    IsEmptied,
    /// The server's clock runs faster by so many millionths for so long.
    ClockIsSlewed { ppm: u32, lasts: Duration },
    /// The server's clock is set.
    ClockIsSet { by_millis: i64 },
}

/// What a run of a fleet leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// When calls arrived upstream, in order, and whose they were.
    pub arrivals: Vec<(Duration, usize)>,
    /// When each replica's calls were granted.
    pub grants: Vec<Vec<Duration>>,
    /// How long each fetch waited for its token, by replica.
    pub waits: Vec<Vec<Duration>>,
    /// Trips to the store that brought tokens, and tokens that they brought.
    pub takes: usize,
    pub trips: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Starts { replica: usize },
    Comes { replica: usize },
    HangsUp { life: u64, came: Duration },
    Beats { life: u64 },
    Looks { life: u64 },
    AtServer { message: usize },
    Heard { message: usize },
    GivenUp { message: usize },
    Leaves { call: usize },
    Opened { call: usize },
    Ends { call: usize },
    Strikes { mishap: usize },
    Returns { replica: usize },
    Thaws { server: usize },
    Awakes { replica: usize },
    ServerUp { server: usize },
    Samples,
    Slews { server: usize, ppm: u32, until: Duration },
}

/// A process.
struct Life {
    membership: Membership,
    ledger: Ledger,
    /// When each fetch that waits came.
    waiting: Vec<Duration>,
    looks_at: Option<Duration>,
    /// By how much its clock is fast, in millionths.
    drift: f64,
}

struct Server {
    run: String,
    store: Store,
    up: bool,
    frozen_until: Duration,
    queued: Vec<usize>,
    /// What its clock shows at the beginning of time, in microseconds.
    clock: i64,
    /// Its data at earlier moments.
    snapshots: Vec<(Duration, Store)>,
}

struct Message {
    life: u64,
    replica: usize,
    server: usize,
    sent_at: Instant,
    envelope: Envelope,
    content: Content,
    answer: Option<Answer>,
    over: bool,
}

#[derive(Clone)]
enum Content {
    LookUp(Purpose),
    Renew(Renewal),
    Take(Take),
}

#[derive(Clone)]
enum Answer {
    Renewal(Reply<Renewed>),
    Take(Reply<Granted>),
}

struct Call {
    life: u64,
    replica: usize,
    token: Token,
    cold: bool,
    left: bool,
    fails: bool,
}

pub(crate) struct Fleet {
    voyage: Voyage,
    chance: Chance,
    origin: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scheduled: u64,
    lives: BTreeMap<u64, Life>,
    /// The process that stands in each place, and the server that it talks to.
    places: Vec<Place>,
    servers: Vec<Server>,
    current: usize,
    messages: Vec<Message>,
    calls: Vec<Call>,
    log: Log,
}

struct Place {
    life: Option<u64>,
    server: usize,
    cut_until: Duration,
    stopped_until: Duration,
    held: Vec<Event>,
}

impl Fleet {
    pub(crate) fn run(seed: u64, voyage: Voyage) -> Log {
        let mut fleet = Self {
            chance: Chance::seeded(seed),
            origin: Clock::manual(SystemTime::UNIX_EPOCH).monotonic(),
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            lives: BTreeMap::new(),
            places: Vec::new(),
            servers: vec![Server::new(0, Store::default(), 1_800_000_000_000_000)],
            current: 0,
            messages: Vec::new(),
            calls: Vec::new(),
            log: Log::default(),
            voyage,
        };
        fleet.play();
        fleet.log
    }

    fn play(&mut self) {
        for replica in 0..self.voyage.running as usize {
            self.places.push(Place {
                life: None,
                server: 0,
                cut_until: Duration::ZERO,
                stopped_until: Duration::ZERO,
                held: Vec::new(),
            });
            self.log.grants.push(Vec::new());
            self.log.waits.push(Vec::new());
            let after = self.chance.duration(Duration::ZERO, Duration::from_millis(300));
            self.schedule(after, Event::Starts { replica });
            self.schedule(Duration::ZERO, Event::Comes { replica });
        }
        for mishap in 0..self.voyage.mishaps.len() {
            self.schedule(self.voyage.mishaps[mishap].0, Event::Strikes { mishap });
        }
        self.schedule(Duration::ZERO, Event::Samples);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > self.voyage.ends_at {
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.log.arrivals.sort_unstable();
    }

    fn happen(&mut self, event: Event) {
        // What concerns a process that stands still waits for it.
        if let Some(replica) = self.replica_of(event)
            && self.now < self.places[replica].stopped_until
        {
            self.places[replica].held.push(event);
            return;
        }
        match event {
            Event::Starts { replica } => self.start(replica),
            Event::Comes { replica } => self.come(replica),
            Event::HangsUp { life, came } => self.hang_up(life, came),
            Event::Beats { life } => self.beat(life),
            Event::Looks { life } => self.look_due(life),
            Event::AtServer { message } => self.serve(message),
            Event::Heard { message } => self.hear(message),
            Event::GivenUp { message } => self.give_up(message),
            Event::Leaves { call } => self.call_leaves(call),
            Event::Opened { call } => self.connection_opened(call),
            Event::Ends { call } => self.call_ends(call),
            Event::Strikes { mishap } => self.strike(self.voyage.mishaps[mishap].1),
            Event::Returns { replica } => self.places[replica].server = self.current,
            Event::Thaws { server } => self.thaw(server),
            Event::Awakes { replica } => {
                for event in std::mem::take(&mut self.places[replica].held) {
                    self.schedule(Duration::ZERO, event);
                }
            }
            Event::ServerUp { server } => self.servers[server].up = true,
            Event::Slews { server, ppm, until } => self.slew(server, ppm, until),
            Event::Samples => {
                let now = self.now;
                for server in &mut self.servers {
                    server.snapshots.push((now, server.store.clone()));
                    server.snapshots.retain(|(at, _)| now.saturating_sub(*at) < Duration::from_secs(4));
                }
                self.schedule(Duration::from_millis(250), Event::Samples);
            }
        }
    }

    fn replica_of(&self, event: Event) -> Option<usize> {
        match event {
            Event::HangsUp { life, .. } | Event::Beats { life } | Event::Looks { life } => self.place_of(life),
            Event::Heard { message } | Event::GivenUp { message } => Some(self.messages[message].replica),
            Event::Leaves { call } | Event::Opened { call } | Event::Ends { call } => Some(self.calls[call].replica),
            _ => None,
        }
    }

    // ---- a replica

    fn start(&mut self, replica: usize) {
        let cut_for = self.places[replica].cut_until.saturating_sub(self.now);
        if !cut_for.is_zero() {
            // Nobody knows of a process that never reached the store, and the decision record promises nothing for it.
            self.schedule(cut_for, Event::Starts { replica });
            return;
        }
        let number = self.scheduled;
        // As much as a clock that a time daemon corrects may be off.
        let drift = self.chance.between(0, 1000) as f64 / 1e6 - 500e-6;
        let now = instant(self.origin, self.now, drift);
        let membership = Membership::new(self.voyage.agreement, format!("r{number}"), now);
        let ledger = Ledger::new(self.voyage.agreement, membership.lease(), now);
        self.lives.insert(number, Life { membership, ledger, waiting: Vec::new(), looks_at: None, drift });
        self.places[replica].life = Some(number);
        self.beat(number);
    }

    fn come(&mut self, replica: usize) {
        let (most, pause) = self.voyage.demand[replica % self.voyage.demand.len()];
        if let Some(life) = self.places[replica].life
            && self.lives[&life].waiting.len() < most
        {
            let now = self.now;
            self.life(life).waiting.push(now);
            let (percent, most) = self.voyage.impatient;
            if self.chance.happens(percent) {
                let patience = self.chance.duration(Duration::ZERO, most);
                self.schedule(patience, Event::HangsUp { life, came: now });
            }
            self.look(life);
        }
        let pause = self.chance.memoryless(pause);
        self.schedule(pause, Event::Comes { replica });
    }

    /// Whoever waits since then leaves, unless its fetch was served.
    fn hang_up(&mut self, life: u64, came: Duration) {
        let Some(this) = self.lives.get_mut(&life) else { return };
        if let Some(at) = this.waiting.iter().position(|waits| *waits == came) {
            this.waiting.remove(at);
            self.look(life);
        }
    }

    fn beat(&mut self, life: u64) {
        if !self.lives.contains_key(&life) {
            return;
        }
        let now = self.instant(life);
        let this = self.life(life);
        let trip = this.membership.trip(now);
        this.ledger.set_lease(this.membership.lease());
        match trip {
            Trip::LookUp | Trip::Void => {
                let purpose = if trip == Trip::Void { Purpose::Void } else { Purpose::Stay };
                let envelope = this.membership.look_up();
                self.send(life, envelope, Content::LookUp(purpose));
            }
            Trip::Renew(purpose) => {
                let envelope = this.membership.envelope(now).expect("a server is known");
                let known = this.membership.known();
                let books = vec![this.ledger.books(this.waiting.len(), now)];
                self.send(life, envelope, Content::Renew(Renewal { purpose, known, books }));
            }
        }
    }

    fn look_due(&mut self, life: u64) {
        let now = self.now;
        if let Some(this) = self.lives.get_mut(&life)
            && this.looks_at == Some(now)
        {
            this.looks_at = None;
            self.look(life);
        }
    }

    /// What the driver of the bucket does whenever something may have changed.
    fn look(&mut self, life: u64) {
        let now = self.instant(life);
        while !self.lives[&life].waiting.is_empty()
            && let Some(token) = self.life(life).ledger.grant(Pace::Spaced, now)
        {
            self.hand_out(life, token);
        }
        let this = self.life(life);
        if this.waiting.is_empty() {
            return;
        }
        if let Some(take) = this.ledger.wish(this.waiting.len(), now) {
            let envelope = this.membership.envelope(now).expect("a member knows its server");
            self.send(life, envelope, Content::Take(take));
        }
        let this = &self.lives[&life];
        if let Some(due) = this.ledger.next_due(now) {
            let lateness = self.chance.duration(Duration::ZERO, Duration::from_millis(2));
            let at = self.true_time(life, due).max(self.now) + lateness;
            let this = self.life(life);
            if this.looks_at.is_none_or(|planned| at < planned) {
                this.looks_at = Some(at);
                self.schedule(at - self.now, Event::Looks { life });
            }
        }
    }

    fn hand_out(&mut self, life: u64, token: Token) {
        let Some(replica) = self.place_of(life) else { return };
        let now = self.now;
        let came = self.life(life).waiting.remove(0);
        self.log.waits[replica].push(now - came);
        self.log.grants[replica].push(now);
        let cold = self.chance.happens(self.voyage.cold.0);
        let fails = self.chance.happens(self.voyage.failing);
        self.calls.push(Call { life, replica, token, cold, left: false, fails });
        let after = self.chance.duration(Duration::ZERO, Duration::from_micros(500));
        self.schedule(after, Event::Leaves { call: self.calls.len() - 1 });
    }

    // ---- a call

    fn call_leaves(&mut self, index: usize) {
        let Call { life, token, cold, .. } = self.calls[index];
        if !self.lives.contains_key(&life) {
            return;
        }
        let now = self.instant(life);
        if !self.life(life).ledger.may_leave(token, now) {
            return self.taken_back(index);
        }
        if cold {
            self.life(life).ledger.connecting(token);
            let opening = self.chance.duration(Duration::ZERO, self.voyage.cold.1);
            self.schedule(opening, Event::Opened { call: index });
        } else {
            self.life(life).ledger.handed_over(token, now);
            self.departs(index);
        }
    }

    fn connection_opened(&mut self, index: usize) {
        let Call { life, token, .. } = self.calls[index];
        if !self.lives.contains_key(&life) {
            return;
        }
        let now = self.instant(life);
        if !self.life(life).ledger.may_leave(token, now) {
            return self.taken_back(index);
        }
        self.departs(index);
    }

    /// The call goes to where its token went: nowhere. Its fetch stands again.
    fn taken_back(&mut self, index: usize) {
        let Call { life, token, .. } = self.calls[index];
        let (at, now) = (self.now, self.instant(life));
        let this = self.life(life);
        this.ledger.ended(token, now);
        this.waiting.insert(0, at);
        self.look(life);
    }

    fn departs(&mut self, index: usize) {
        self.calls[index].left = true;
        let takes = self.chance.duration(self.voyage.latency.0, self.voyage.latency.1);
        let latest =
            if self.calls[index].fails { self.voyage.agreement.guard } else { takes.min(self.voyage.agreement.guard) };
        let way = match self.chance.between(0, 3) {
            0 => Duration::ZERO,
            1 => latest,
            _ => self.chance.duration(Duration::ZERO, latest),
        };
        self.log.arrivals.push((self.now + way, self.calls[index].replica));
        self.schedule(takes, Event::Ends { call: index });
    }

    fn call_ends(&mut self, index: usize) {
        let Call { life, token, fails, .. } = self.calls[index];
        if !self.lives.contains_key(&life) {
            return;
        }
        let now = self.instant(life);
        let refused = self.chance.happens(self.voyage.refused);
        let this = self.life(life);
        match (fails, refused) {
            (true, _) => {}
            (false, true) => this.ledger.refused_upstream(token, now),
            (false, false) => this.ledger.answered(token, now),
        }
        this.ledger.ended(token, now);
        self.look(life);
    }

    // ---- the network and the server

    fn send(&mut self, life: u64, envelope: Envelope, content: Content) {
        let Some(replica) = self.place_of(life) else { return };
        let sent_at = self.instant(life);
        let server = self.places[replica].server;
        let timeout = self.voyage.agreement.timeout;
        self.log.trips += usize::from(matches!(content, Content::Take(_)));
        self.messages.push(Message { life, replica, server, sent_at, envelope, content, answer: None, over: false });
        let message = self.messages.len() - 1;
        let given_up = self.true_time(life, sent_at + timeout).saturating_sub(self.now);
        self.schedule(given_up, Event::GivenUp { message });
        if let Some(way) = self.way(replica) {
            self.schedule(way, Event::AtServer { message });
        }
    }

    /// How long a message takes, or that it never comes.
    fn way(&mut self, replica: usize) -> Option<Duration> {
        if self.now < self.places[replica].cut_until {
            // What is under way when a line is cut may come out of some buffer when it is mended.
            let mended = self.places[replica].cut_until - self.now;
            return self.chance.happens(50).then_some(mended);
        }
        if self.chance.happens(self.voyage.lost) {
            return None;
        }
        if self.chance.happens(self.voyage.straggling) {
            return Some(self.chance.duration(Duration::ZERO, Duration::from_secs(3)));
        }
        Some(self.chance.duration(self.voyage.trip.0, self.voyage.trip.1))
    }

    fn serve(&mut self, index: usize) {
        let at = self.messages[index].server;
        let (now, server) = (self.now, &mut self.servers[at]);
        if !server.up {
            return;
        }
        if now < server.frozen_until {
            server.queued.push(index);
            return;
        }
        let clock = (server.clock + now.as_micros() as i64) as u64;
        let message = &mut self.messages[index];
        let run = server.run.clone();
        let asked = Asked { run: &run, now: clock };
        let answer = match &message.content {
            Content::LookUp(purpose) => {
                let nothing = Renewal { purpose: *purpose, known: Known::ALONE, books: Vec::new() };
                Answer::Renewal(server.store.renew(&asked, &message.envelope, &[BUCKET], &nothing))
            }
            Content::Renew(renewal) => {
                Answer::Renewal(server.store.renew(&asked, &message.envelope, &[BUCKET], renewal))
            }
            Content::Take(take) => Answer::Take(server.store.take(&asked, &message.envelope, BUCKET, take)),
        };
        message.answer = Some(answer);
        let replica = message.replica;
        if let Some(way) = self.way(replica) {
            self.schedule(way, Event::Heard { message: index });
        }
    }

    fn hear(&mut self, index: usize) {
        let message = &mut self.messages[index];
        let (life, sent_at) = (message.life, message.sent_at);
        let over = std::mem::replace(&mut message.over, true);
        let content = message.content.clone();
        let Some(answer) = message.answer.clone().filter(|_| !over) else { return };
        if !self.lives.contains_key(&life) {
            return;
        }
        let now = self.instant(life);
        let lease = self.voyage.agreement.lease();
        let this = self.life(life);
        match (answer, content) {
            (Answer::Renewal(reply), content) => {
                this.membership.heard(&reply, sent_at, now);
                this.ledger.set_lease(this.membership.lease());
                if let (Outcome::Done(_), Content::Renew(renewal)) = (&reply.outcome, content) {
                    this.ledger.booked(&renewal.books[0], sent_at + lease);
                }
                self.beat_again(life, sent_at);
            }
            (Answer::Take(reply), _) => {
                let missing = match &reply.outcome {
                    Outcome::Done(granted) => Some(granted.missing),
                    _ => None,
                };
                this.ledger.took(&reply, now);
                this.membership.overheard(&reply, missing, sent_at, now);
                this.ledger.set_lease(this.membership.lease());
                self.log.takes += 1;
            }
        }
        self.look(life);
    }

    fn give_up(&mut self, index: usize) {
        let message = &mut self.messages[index];
        let (life, sent_at) = (message.life, message.sent_at);
        if std::mem::replace(&mut message.over, true) || !self.lives.contains_key(&life) {
            return;
        }
        let is_take = matches!(message.content, Content::Take(_));
        let now = self.instant(life);
        let this = self.life(life);
        if is_take {
            this.ledger.took_nothing(now);
        } else {
            this.membership.unheard();
            this.ledger.set_lease(this.membership.lease());
            self.beat_again(life, sent_at);
        }
        self.look(life);
    }

    fn beat_again(&mut self, life: u64, sent_at: Instant) {
        let next = self.true_time(life, sent_at + HEARTBEAT).saturating_sub(self.now);
        self.schedule(next, Event::Beats { life });
    }

    // ---- what goes wrong

    fn strike(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Cut { replica, lasts } => self.places[replica].cut_until = self.now + lasts,
            Mishap::Stops { replica, lasts } => {
                self.places[replica].stopped_until = self.now + lasts;
                self.schedule(lasts, Event::Awakes { replica });
            }
            Mishap::Dies { replica, back_after } => self.bury(replica, back_after),
            Mishap::Leaves { replica, back_after } => {
                if let Some(life) = self.places[replica].life {
                    let now = self.instant(life);
                    let this = self.life(life);
                    if let (Trip::Renew(Purpose::Stay), Some(envelope)) =
                        (this.membership.trip(now), this.membership.envelope(now))
                    {
                        let books = vec![Books::default()];
                        let renewal = Renewal { purpose: Purpose::Leave, known: this.membership.known(), books };
                        self.send(life, envelope, Content::Renew(renewal));
                    }
                }
                self.bury(replica, back_after);
            }
            Mishap::Freezes { lasts } => {
                let server = self.current;
                self.servers[server].frozen_until = self.now + lasts;
                self.schedule(lasts, Event::Thaws { server });
            }
            Mishap::Restarts { after, data_from } => {
                let server = self.current;
                let kept = data_from.map(|ago| self.servers[server].data_from(self.now.saturating_sub(ago)));
                self.servers[server].up = false;
                let clock = self.servers[server].clock;
                self.take_over(kept.unwrap_or_default(), clock, 0, Duration::ZERO);
                let server = self.current;
                self.servers[server].up = false;
                self.schedule(after, Event::ServerUp { server });
            }
            Mishap::FailsOver { ahead_millis, data_from, stay, stay_for } => {
                let old = &self.servers[self.current];
                let data = data_from.map(|ago| old.data_from(self.now.saturating_sub(ago))).unwrap_or_default();
                let clock = old.clock + ahead_millis * 1000;
                if stay == 0 {
                    let old = self.current;
                    self.servers[old].up = false;
                }
                self.take_over(data, clock, stay, stay_for);
            }
            Mishap::IsEmptied => self.servers[self.current].store = Store::default(),
            Mishap::ClockIsSlewed { ppm, lasts } => self.slew(self.current, ppm, self.now + lasts),
            Mishap::ClockIsSet { by_millis } => self.servers[self.current].clock += by_millis * 1000,
        }
    }

    /// A millisecond of it.
    fn slew(&mut self, server: usize, ppm: u32, until: Duration) {
        if self.now < until {
            self.servers[server].clock += i64::from(ppm / 1000);
            self.schedule(Duration::from_millis(1), Event::Slews { server, ppm, until });
        }
    }

    fn take_over(&mut self, data: Store, clock: i64, stay: u64, stay_for: Duration) {
        let number = self.servers.len();
        self.servers.push(Server::new(number, data, clock));
        self.current = number;
        for replica in 0..self.places.len() {
            if stay >> (replica % 64) & 1 == 1 {
                self.schedule(stay_for, Event::Returns { replica });
            } else {
                self.places[replica].server = number;
            }
        }
    }

    fn thaw(&mut self, server: usize) {
        for message in std::mem::take(&mut self.servers[server].queued) {
            self.serve(message);
        }
    }

    fn bury(&mut self, replica: usize, back_after: Duration) {
        if let Some(life) = self.places[replica].life.take() {
            self.lives.remove(&life);
            self.schedule(back_after, Event::Starts { replica });
        }
    }

    // ---- time and place

    fn life(&mut self, life: u64) -> &mut Life {
        self.lives.get_mut(&life).expect("it lives")
    }

    fn place_of(&self, life: u64) -> Option<usize> {
        self.places.iter().position(|place| place.life == Some(life))
    }

    fn instant(&self, life: u64) -> Instant {
        instant(self.origin, self.now, self.lives[&life].drift)
    }

    fn true_time(&self, life: u64, at: Instant) -> Duration {
        at.saturating_duration_since(self.origin).div_f64(1.0 + self.lives[&life].drift) + Duration::from_nanos(2)
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + after, self.scheduled, event)));
    }
}

impl Server {
    fn new(number: usize, store: Store, clock: i64) -> Self {
        let run = format!("{number:040x}");
        Self { run, store, up: true, frozen_until: Duration::ZERO, queued: Vec::new(), clock, snapshots: Vec::new() }
    }

    fn data_from(&self, at: Duration) -> Store {
        self.snapshots
            .iter()
            .rev()
            .find(|(taken, _)| *taken <= at)
            .map_or_else(Store::default, |(_, data)| data.clone())
    }
}

fn instant(origin: Instant, now: Duration, drift: f64) -> Instant {
    origin + now.mul_f64(1.0 + drift)
}

/// The most arrivals in any second, with the moment at which it begins.
///
/// A second is what each replica's clock says it is, and theirs are off by a thousandth between them.
pub(crate) fn most_in_a_second(arrivals: &[(Duration, usize)]) -> (usize, Duration) {
    let mut most = (0, Duration::ZERO);
    let mut first = 0;
    for (last, (at, _)) in arrivals.iter().enumerate() {
        while *at - arrivals[first].0 >= Duration::from_millis(999) {
            first += 1;
        }
        if last + 1 - first > most.0 {
            most = (last + 1 - first, arrivals[first].0);
        }
    }
    most
}

/// An agreement of the vendor's default quota.
pub(crate) fn agreement(replicas: u32) -> Agreement {
    Agreement {
        tokens: 20,
        guard: Duration::from_millis(50),
        replicas: NonZeroU32::new(replicas).expect("at least one"),
        timeout: Duration::from_millis(100),
    }
}
