//! Whether this replica may be granted tokens by the store, has to be silent, or has its share.
//!
//! Pure: time is an argument, and nothing is sent here. It counts its lease from before a request for it was sent, and
//! what others may believe from the last request that could have been carried out. It never rejoins with anything
//! under way.

use std::time::{Duration, Instant};

use super::{
    Agreement, CLOCK_RATES, SLEW,
    protocol::{Envelope, Known, Outcome, Purpose, Renewed, Reply},
};

/// What a bucket has to know of the membership. It stays true, and comes to its end, without a further word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Until then the store grants, and what it granted may leave.
    pub until: Option<Instant>,
    /// From then on the share may be used; `None` while the store is there and the replica is about to join.
    pub share_from: Option<Instant>,
    /// When grants are expected to go on, where there are none.
    pub resumes_at: Instant,
    /// Another number: what was granted before and has not left may not leave any more.
    pub term: u64,
}

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the store.
    Member,
    /// From nowhere.
    Quiet,
    /// From the replica's share.
    Share,
}

/// What is to be sent to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// A request to nobody, which tells which server is there and what its clock shows.
    LookUp,
    /// The same, and the news that its clock was set ahead.
    Void,
    /// A sign of life.
    Renew(Purpose),
}

/// The membership of one process.
#[derive(Debug)]
pub struct Membership {
    agreement: Agreement,
    replica: String,
    standing: Standing,
    lease: Lease,
    server: Option<Server>,
    /// When the last request was sent that may have given a lease, and the server that it was for.
    renewal: Option<(String, Instant)>,
    /// Counts the times that the membership was given up, and what it was at that request: an answer to an earlier one
    /// does not bring it back.
    endings: u64,
    endings_at_renewal: u64,
    /// From then on whatever this replica sent has arrived and counts no more.
    clear_at: Instant,
    missing: u32,
    known: Known,
    /// The server has still to be told that its clock was set ahead.
    clock_was_set: bool,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// The store was not reached.
    Away,
    /// It was, and what was sent without it still counts.
    Draining {
        join_at: Instant,
    },
    Member,
}

/// The server that answered last, and what its clock showed then, in microseconds: a trip takes time, so that this is
/// known between two bounds.
#[derive(Debug)]
struct Server {
    run: String,
    heard_at: Instant,
    at_least: u64,
    at_most: u64,
}

impl Server {
    fn shows_at_least(&self, now: Instant) -> u64 {
        self.at_least + micros(now.saturating_duration_since(self.heard_at).mul_f64(1.0 - CLOCK_RATES))
    }

    fn shows_at_most(&self, now: Instant) -> u64 {
        self.at_most + micros(now.saturating_duration_since(self.heard_at).mul_f64(1.0 + CLOCK_RATES))
    }
}

impl Lease {
    /// Where tokens come from at `now`.
    pub fn phase(&self, now: Instant) -> Phase {
        if self.until.is_some_and(|until| now < until) {
            return Phase::Member;
        }
        if self.share_from.is_some_and(|from| from <= now) {
            return Phase::Share;
        }
        Phase::Quiet
    }
}

impl Membership {
    /// That of a process that starts at `now`, under a name that no other has.
    ///
    /// Others may be granted everything by a store that it does not reach, until they lose it, too: its share is free as
    /// late as if it had been with them until now.
    pub fn new(agreement: Agreement, replica: String, now: Instant) -> Self {
        let share_from = now + agreement.quiet();
        let lease = Lease { until: None, share_from: Some(share_from), resumes_at: share_from, term: 0 };
        Self {
            agreement,
            replica,
            standing: Standing::Away,
            lease,
            server: None,
            renewal: None,
            endings: 0,
            endings_at_renewal: 0,
            clear_at: now,
            missing: 0,
            known: Known::ALONE,
            clock_was_set: false,
        }
    }

    /// What the buckets have to know, as it stands.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Replicas that this one knows of.
    pub fn known(&self) -> Known {
        self.known
    }

    /// What to send at `now`, with [`Self::envelope`]; the buckets have to know of [`Self::lease`] before it leaves.
    pub fn trip(&mut self, now: Instant) -> Trip {
        if let (Standing::Member, Some(until)) = (self.standing, self.lease.until)
            && until <= now
        {
            self.standing = Standing::Away;
            self.clear_at = self.clear_at.max(until + self.agreement.settling());
        }
        let purpose = match self.standing {
            _ if self.clock_was_set => return Trip::Void,
            Standing::Away => return Trip::LookUp,
            Standing::Draining { join_at } if now < join_at => return Trip::LookUp,
            Standing::Draining { .. } => Purpose::Join,
            Standing::Member => Purpose::Stay,
        };
        let run = self.server.as_ref().map(|server| server.run.clone()).unwrap_or_default();
        self.renewal = Some((run, now));
        self.endings_at_renewal = self.endings;
        self.lease.share_from = Some(now + self.agreement.quiet());
        Trip::Renew(purpose)
    }

    /// Leaves for good at `now`: nothing is granted any more. What the farewell begins with, where anybody would miss it.
    pub fn leave_fleet(&mut self, now: Instant) -> Option<Envelope> {
        let is_member = self.lease.phase(now) == Phase::Member;
        let term = self.lease.term + 1;
        self.lease = Lease { until: None, share_from: None, resumes_at: now, term };
        self.envelope(now).filter(|_| is_member)
    }

    /// What a request for the server that is known begins with, when it is sent at `now`; `None` where none is.
    pub fn envelope(&self, now: Instant) -> Option<Envelope> {
        let server = self.server.as_ref()?;
        // The clock there shows this much at least, so that the request is void after the timeout at the latest.
        let void_after = server.shows_at_least(now) + micros(self.agreement.timeout);
        Some(self.envelope_for(server.run.clone(), void_after))
    }

    /// What a [`Trip::LookUp`] begins with.
    pub fn look_up(&self) -> Envelope {
        self.envelope_for(String::new(), 0)
    }

    fn envelope_for(&self, run: String, void_after: u64) -> Envelope {
        Envelope { run, void_after, replica: self.replica.clone(), agreement: self.agreement }
    }

    /// The reply to a sign of life, or to a look-up, that was sent at `sent_at`.
    pub fn heard(&mut self, reply: &Reply<Renewed>, sent_at: Instant, now: Instant) {
        if matches!(reply.outcome, Outcome::Moved) {
            self.clock_was_set = false;
        }
        let missing = match &reply.outcome {
            Outcome::Done(_) if self.endings != self.endings_at_renewal => return,
            Outcome::Done(renewed) => {
                self.known = renewed.known;
                self.lease.until = Some(sent_at + self.agreement.lease());
                self.standing = Standing::Member;
                Some(renewed.missing)
            }
            _ => None,
        };
        self.learn(reply, missing, sent_at, now);
    }

    /// The reply to another request, which says nothing of the lease unless it is lost.
    pub fn overheard<T>(&mut self, reply: &Reply<T>, missing: Option<u32>, sent_at: Instant, now: Instant) {
        if matches!(self.standing, Standing::Member) {
            self.learn(reply, missing, sent_at, now);
        }
    }

    /// Nothing was heard in time, or the store is known to be away.
    pub fn unheard(&mut self) {
        if let Standing::Draining { join_at } = self.standing {
            let lapsed_at = self.renewal.as_ref().map(|(_, sent_at)| *sent_at + self.agreement.quiet());
            let share_from = lapsed_at.map_or(join_at, |lapsed_at| lapsed_at.max(join_at));
            self.standing = Standing::Away;
            self.lease.share_from = Some(share_from);
            self.lease.resumes_at = share_from;
        }
    }

    fn learn<T>(&mut self, reply: &Reply<T>, missing: Option<u32>, sent_at: Instant, now: Instant) {
        match (&reply.outcome, self.standing) {
            // Its clock was set: what it believes to be back may not be.
            (Outcome::Done(_) | Outcome::Late, Standing::Member) if self.clock_jumped(reply, now) => {
                self.clock_was_set = true;
                self.leave("", now);
            }
            (Outcome::Done(_), _) => self.note_missing(missing.unwrap_or(self.missing)),
            (Outcome::Late, _) => return,
            (Outcome::Lapsed, _) | (Outcome::Moved, Standing::Member) => self.leave(&reply.run, now),
            (Outcome::Moved, Standing::Away) => {
                if self.lease.phase(now) == Phase::Share {
                    self.clear_at = now + self.agreement.settling();
                }
                self.drain(&reply.run);
            }
            (Outcome::Moved, Standing::Draining { .. }) => self.drain(&reply.run),
        }
        self.set_server(reply, sent_at, now);
    }

    /// With more replicas missing there is less to grant than there was when the tokens were granted that have not left
    /// yet; they may not leave any more.
    fn note_missing(&mut self, missing: u32) {
        if missing > self.missing {
            self.lease.term += 1;
        }
        self.missing = missing;
    }

    /// Whether the store's clock shows more than it can, by what it showed before: more than tokens are kept longer for.
    fn clock_jumped<T>(&self, reply: &Reply<T>, now: Instant) -> bool {
        let can_show = |server: &Server| server.shows_at_most(now) + micros(SLEW);
        self.server.as_ref().is_some_and(|server| server.run == reply.run && reply.now > can_show(server))
    }

    fn set_server<T>(&mut self, reply: &Reply<T>, sent_at: Instant, now: Instant) {
        let mut at_least = reply.now;
        let mut at_most = reply.now + micros(now.saturating_duration_since(sent_at));
        // A trip that took long says little; what one before it said still holds, unless the clock has been set. It holds,
        // too, where the clock shows a little more: the next little is added to this one.
        if let Some(before) = self.server.as_ref().filter(|server| server.run == reply.run)
            && (at_least.saturating_sub(micros(SLEW))..=at_most).contains(&before.shows_at_most(now))
        {
            at_most = before.shows_at_most(now);
            at_least = at_least.max(before.shows_at_least(now)).min(at_most);
        }
        self.server = Some(Server { run: reply.run.clone(), heard_at: now, at_least, at_most });
    }

    /// The lease is over before its time.
    fn leave(&mut self, run: &str, now: Instant) {
        self.clear_at = now + self.agreement.settling();
        self.drain(run);
    }

    /// Waits until whatever this replica sent counts no more, and, where the server `run` is not the one that may have
    /// given the last lease, until nobody can believe in that lease.
    fn drain(&mut self, run: &str) {
        let mut join_at = self.clear_at;
        if let Some((renewed_at, sent_at)) = &self.renewal
            && renewed_at != run
        {
            join_at = join_at.max(*sent_at + self.agreement.quiet());
        }
        self.standing = Standing::Draining { join_at };
        self.endings += 1;
        let term = self.lease.term + 1;
        self.lease = Lease { until: None, share_from: None, resumes_at: join_at, term };
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
