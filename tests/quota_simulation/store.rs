//! The quota's two scripts over again, in memory: what the simulations ask, and what the scripts themselves are held
//! to (`agreement`). Written from what the scripts do, line by line, so that a difference is a mistake in one of them.

use std::collections::BTreeMap;

use redis_backup_gateway::quota::shared::protocol::{
    Books, Envelope, Granted, Known, Outcome, Purpose, Renewal, Renewed, Reply, Settled, Take,
};

const SECOND: f64 = 1e6;
const STEP: f64 = 10_000.0;
const UNKNOWN: f64 = 4.0 * SECOND;
const LATELY: f64 = 3600.0 * SECOND;
const RECENTLY: f64 = 60.0 * SECOND;
const AHEAD: f64 = 50_000.0;
const HOLD: f64 = 200_000.0;
const LONGEST: f64 = 100_000.0;
const SHORTEST: f64 = 5_000.0;
const RECOVERY: f64 = 10.0 * SECOND;

/// One server: what survives a failover is copied, what does not is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    fleet: Option<Fleet>,
    /// The ends of their leases.
    members: BTreeMap<String, f64>,
    buckets: BTreeMap<u32, Bucket>,
}

/// What a script can ask its server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    pub run: &'a str,
    /// Microseconds of its clock.
    pub now: u64,
}

#[derive(Clone, Debug)]
struct Fleet {
    run: String,
    began: f64,
    last: f64,
    vouched: f64,
    vouched_recent: f64,
    held: f64,
    held_until: f64,
}

#[derive(Clone, Debug)]
struct Bucket {
    began: f64,
    open: BTreeMap<String, f64>,
    away: BTreeMap<String, f64>,
    line: Vec<String>,
    was_taken_from: bool,
    turn: f64,
    contended: f64,
    refused: f64,
    paused: f64,
    low: f64,
}

/// What the prelude leaves behind for a script.
struct Visit {
    now: f64,
    run: String,
    began: f64,
    vouched: f64,
    vouched_recent: f64,
    held: f64,
    held_until: f64,
    lease_until: f64,
}

impl Bucket {
    fn new(began: f64) -> Self {
        Self {
            began,
            open: BTreeMap::new(),
            away: BTreeMap::new(),
            line: Vec::new(),
            was_taken_from: false,
            turn: 0.0,
            contended: 0.0,
            refused: 0.0,
            paused: 0.0,
            low: 1.0,
        }
    }

    fn rate(&self, at: f64) -> f64 {
        (self.low + (at - self.paused).max(0.0) / RECOVERY).min(1.0)
    }

    fn interval(&self, tokens: f64, at: f64) -> f64 {
        (SECOND / tokens / self.rate(at)).ceil()
    }

    fn settle(&mut self, replica: &str, tokens: f64, settled: &[Settled], now: f64) {
        for Settled { number, back_in } in settled {
            let token = format!("{replica}:{number}");
            let left = back_in.as_nanos().div_ceil(1000) as f64;
            if self.open.remove(&token).is_none() {
                continue;
            }
            if left > 0.0 {
                self.away.insert(token, now + left);
            } else if self.was_taken_from {
                self.turn -= self.interval(tokens, now);
            }
        }
    }

    fn forget_what_is_back(&mut self, now: f64) {
        self.open.retain(|_, back_by| *back_by > now);
        self.away.retain(|_, back_at| *back_at > now);
    }
}

impl Store {
    /// `take.lua`.
    pub(crate) fn take(
        &mut self,
        server: &Server<'_>,
        envelope: &Envelope,
        bucket_name: u32,
        take: &Take,
    ) -> Reply<Granted> {
        let visit = match self.enter(server, envelope, false) {
            Ok(visit) => visit,
            Err(outcome) => return reply(server.run, server.now, outcome),
        };
        let now = visit.now;
        if visit.lease_until <= now {
            return reply(server.run, now as u64, Outcome::Lapsed);
        }
        let tokens = f64::from(envelope.agreement.tokens);
        let missing = self.missing(&visit, envelope);
        let capacity = self.room(&visit, envelope);
        let members = self.members.clone();
        let bucket = self.bucket(bucket_name, visit.began);
        bucket.settle(&envelope.replica, tokens, &take.settled, now);
        bucket.forget_what_is_back(now);
        if let Some(ago) = take.refused.map(|ago| ago.as_nanos().div_ceil(1000) as f64)
            && now - ago > bucket.refused
        {
            bucket.low = (1.0 / tokens).max(bucket.rate(now) / 2.0);
            bucket.refused = now;
            bucket.paused = now + SECOND;
        }
        let quiet_until = visit.began + micros(envelope.agreement.quiet());
        let mut granted: Vec<f64> = Vec::new();
        let mut again = 0.0;
        if take.want == 0 {
            bucket.line.retain(|other| *other != envelope.replica);
        } else if now < quiet_until {
            again = quiet_until;
        } else {
            bucket.line.retain(|other| members.get(other).is_some_and(|lease_until| *lease_until > now));
            if !bucket.line.contains(&envelope.replica) {
                bucket.line.push(envelope.replica.clone());
            }
            let ahead =
                bucket.line.iter().position(|other| *other == envelope.replica).expect("it stands there") as f64;
            let line = bucket.line.len() as f64;
            let mut away: Vec<f64> = bucket.away.values().copied().collect();
            away.sort_by(f64::total_cmp);
            let outstanding = (bucket.open.len() + away.len()) as f64;
            let grantable = capacity - bucket.open.len() as f64;
            let fair = (grantable / line).floor().max(1.0);
            let mut spaced = now < bucket.contended || line > 1.0 || bucket.rate(now) < 1.0 || now < bucket.paused;
            if ahead < grantable {
                for count in 1..=take.want {
                    let count = f64::from(count);
                    let returns = outstanding + count - capacity;
                    let mut due = now;
                    if returns > 0.0 {
                        spaced = true;
                        let Some(&back_at) = away.get(returns as usize - 1) else { break };
                        due = back_at;
                    }
                    let interval = bucket.interval(tokens, now);
                    if spaced {
                        if returns <= 0.0 {
                            due = now - interval;
                        }
                        due = due.max(bucket.turn).max(bucket.paused);
                    }
                    let used_from = now.max(due);
                    if count > 1.0 && spaced && (count > fair || used_from > now + AHEAD) {
                        break;
                    }
                    bucket.turn = due.max(used_from - interval) + interval;
                    let back_by = visit.lease_until + SECOND + micros(envelope.agreement.arrival());
                    let number = take.first + granted.len() as u64;
                    bucket.open.insert(format!("{}:{number}", envelope.replica), back_by);
                    granted.push(used_from);
                }
            }
            if granted.is_empty() {
                let wait = (ahead - grantable.max(0.0) + 1.0) * (SECOND / tokens).ceil();
                again = now + SHORTEST.max(LONGEST.min(wait));
            } else {
                bucket.line.retain(|other| *other != envelope.replica);
            }
            if granted.len() < take.want as usize {
                bucket.contended = now.max(granted.last().copied().unwrap_or(0.0)) + HOLD;
            }
        }
        bucket.was_taken_from = true;
        let used_from = granted.iter().map(|at| at.round_ties_even() as u64).collect();
        let granted = Granted { missing: missing as u32, ask_again_at: again as u64, used_from };
        reply(&visit.run, now as u64, Outcome::Done(granted))
    }

    /// `renew.lua`, for the buckets of these names.
    pub(crate) fn renew(
        &mut self,
        server: &Server<'_>,
        envelope: &Envelope,
        buckets: &[u32],
        renewal: &Renewal,
    ) -> Reply<Renewed> {
        let mut visit = match self.enter(server, envelope, renewal.purpose == Purpose::Void) {
            Ok(visit) => visit,
            Err(outcome) => return reply(server.run, server.now, outcome),
        };
        let now = visit.now;
        let replica = &envelope.replica;
        match renewal.purpose {
            Purpose::Leave => {
                if self.members.remove(replica).is_some() {
                    visit.vouched = (visit.vouched - 1.0).max(0.0);
                    visit.vouched_recent = (visit.vouched_recent - 1.0).max(0.0);
                    self.fleet_mut().vouched = visit.vouched;
                    self.fleet_mut().vouched_recent = visit.vouched_recent;
                }
            }
            Purpose::Join => {
                visit.vouched = visit.vouched.max(f64::from(renewal.known.all));
                visit.vouched_recent = visit.vouched_recent.max(f64::from(renewal.known.recent));
                self.fleet_mut().vouched = visit.vouched;
                self.fleet_mut().vouched_recent = visit.vouched_recent;
            }
            Purpose::Stay | Purpose::Void if visit.lease_until <= now => {
                return reply(server.run, now as u64, Outcome::Lapsed);
            }
            Purpose::Stay | Purpose::Void => {}
        }
        let lease = micros(envelope.agreement.lease());
        let back_by = now + lease + SECOND + micros(envelope.agreement.arrival());
        if renewal.purpose != Purpose::Leave {
            let before = self.missing(&visit, envelope);
            self.members.insert(replica.clone(), now + lease);
            if self.counted(&visit, envelope) < before && renewal.purpose == Purpose::Join {
                (visit.held, visit.held_until) = (before, now + SECOND + micros(envelope.agreement.arrival()));
                (self.fleet_mut().held, self.fleet_mut().held_until) = (visit.held, visit.held_until);
            }
        }
        for (&name, Books { waits, settled, open }) in buckets.iter().zip(&renewal.books) {
            let bucket = self.bucket(name, visit.began);
            if !waits {
                bucket.line.retain(|other| other != replica);
            }
            bucket.settle(replica, f64::from(envelope.agreement.tokens), settled, now);
            for number in open {
                if let Some(until) = bucket.open.get_mut(&format!("{replica}:{number}")) {
                    *until = back_by;
                }
            }
            bucket.forget_what_is_back(now);
        }
        let known = Known { all: self.known(&visit) as u32, recent: self.recent(&visit) as u32 };
        let missing = self.missing(&visit, envelope) as u32;
        reply(&visit.run, now as u64, Outcome::Done(Renewed { missing, known }))
    }

    /// `prelude.lua`.
    fn enter<T>(&mut self, server: &Server<'_>, envelope: &Envelope, voids: bool) -> Result<Visit, Outcome<T>> {
        let Server { run, now, .. } = *server;
        let looks_up = envelope.run.is_empty();
        if !looks_up && envelope.run != run {
            return Err(Outcome::Moved);
        }
        if !looks_up && now > envelope.void_after {
            return Err(Outcome::Late);
        }
        let now = now as f64;
        let before = self.fleet.take();
        let goes_on =
            before.clone().filter(|fleet| fleet.run == run && now >= fleet.last - STEP && !(looks_up && voids));
        let mut fleet = goes_on.unwrap_or_else(|| {
            for ended in self.members.values_mut() {
                let gone = before.as_ref().filter(|was| *ended <= was.last - RECENTLY && *ended != was.began);
                *ended = gone.map_or(now, |was| now - (was.last - *ended));
            }
            let (vouched, vouched_recent, held, held_until) = (0.0, 0.0, 0.0, 0.0);
            Fleet { run: run.to_owned(), began: now, last: now, vouched, vouched_recent, held, held_until }
        });
        fleet.last = fleet.last.max(now);
        self.members.retain(|_, lease_until| *lease_until > now - LATELY);
        if looks_up {
            self.members.entry(envelope.replica.clone()).or_insert(now);
            self.fleet = Some(fleet);
            return Err(Outcome::Moved);
        }
        let lease_until = self.members.get(&envelope.replica).copied().unwrap_or(0.0);
        let Fleet { began, vouched, vouched_recent, held, held_until, .. } = fleet;
        let visit = Visit { now, run: run.to_owned(), began, vouched, vouched_recent, held, held_until, lease_until };
        self.fleet = Some(fleet);
        Ok(visit)
    }

    fn fleet_mut(&mut self) -> &mut Fleet {
        self.fleet.as_mut().expect("whoever got in has opened it")
    }

    fn bucket(&mut self, name: u32, began: f64) -> &mut Bucket {
        let bucket = self.buckets.entry(name).or_insert_with(|| Bucket::new(began));
        if bucket.began != began {
            *bucket = Bucket::new(began);
        }
        bucket
    }

    fn missing(&self, visit: &Visit, envelope: &Envelope) -> f64 {
        let held = if visit.now < visit.held_until { visit.held } else { 0.0 };
        self.counted(visit, envelope).max(held)
    }

    fn counted(&self, visit: &Visit, envelope: &Envelope) -> f64 {
        let live = self.members.values().filter(|lease_until| **lease_until > visit.now).count() as f64;
        let lacking = (f64::from(envelope.agreement.replicas.get()) - live).max(0.0);
        if visit.now < visit.began + UNKNOWN || self.awaited(visit) > 0.0 {
            return lacking;
        }
        lacking.min((self.known(visit) - live).max(0.0))
    }

    fn ends(&self, which: impl Fn(f64) -> bool) -> f64 {
        self.members.values().filter(|end| which(**end)).count() as f64
    }

    fn awaited(&self, visit: &Visit) -> f64 {
        let named = self.ends(|end| end == visit.began);
        if visit.now >= visit.began + LATELY {
            return named;
        }
        named.max(visit.vouched_recent - self.ends(|end| end > visit.began))
    }

    fn known(&self, visit: &Visit) -> f64 {
        let told = if visit.now < visit.began + LATELY { visit.vouched } else { 0.0 };
        told.max(self.members.len() as f64)
    }

    fn recent(&self, visit: &Visit) -> f64 {
        let since = visit.began.max(visit.now - RECENTLY);
        self.ends(|end| end > since) + self.awaited(visit)
    }

    fn room(&self, visit: &Visit, envelope: &Envelope) -> f64 {
        let missing = self.missing(visit, envelope);
        let share = f64::from(envelope.agreement.tokens / envelope.agreement.replicas.get());
        if missing == 0.0 || share == 0.0 {
            return f64::from(envelope.agreement.tokens);
        }
        share * (f64::from(envelope.agreement.replicas.get()) - missing)
    }
}

fn micros(span: std::time::Duration) -> f64 {
    span.as_nanos().div_ceil(1000) as f64
}

fn reply<T>(run: &str, now: u64, outcome: Outcome<T>) -> Reply<T> {
    Reply { now, run: run.to_owned(), outcome }
}
