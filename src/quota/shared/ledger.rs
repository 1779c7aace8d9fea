//! The tokens of one bucket that this replica holds, of the store's and of its share.
//!
//! Pure: time is an argument, and nothing is sent or waited for. A token may leave while its lease stands; its return is
//! told to the store once it is known, and until then as often as it takes.

mod forecast;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use forecast::Forecast;

use super::{
    Agreement, COUNTED, HEARTBEAT, SECOND,
    membership::{Lease, Phase},
    protocol::{Books, Granted, Outcome, Reply, Settled, Take},
};
use crate::quota::window::{self, Pace, Window};

/// The right to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Granted by the store, under a number of ours.
    Store(u64),
    /// Of the share.
    Share {
        /// What stands for it there.
        token: window::Token,
        /// The term in which it was granted.
        term: u64,
    },
}

/// See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    agreement: Agreement,
    lease: Lease,
    /// `None` where the share is nothing.
    share: Option<Window>,
    /// Granted by the store and not yet used, in the order in which they may be.
    reserved: VecDeque<Reserved>,
    /// Used by a call whose last possible arrival is not known.
    calls: BTreeMap<u64, Call>,
    /// What is still to be told.
    settled: BTreeMap<u64, Settling>,
    refused: Option<Instant>,
    next_number: u64,
    asked: Option<Asked>,
    ask_again_at: Instant,
    forecast: Forecast,
}

#[derive(Clone, Copy, Debug)]
struct Reserved {
    number: u64,
    due: Instant,
    leave_by: Instant,
    term: u64,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    granted_at: Instant,
    leave_by: Instant,
    term: u64,
    whereabouts: Whereabouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// Granted, and nothing sent so far.
    Unsent,
    /// Given to an open connection.
    HandedOver { at: Instant },
    /// Its connection is being opened first.
    Opening,
}

#[derive(Clone, Copy, Debug)]
struct Settling {
    back_at: Instant,
    /// Before that the request may still be carried out that this one undoes.
    tell_from: Instant,
}

/// The wish that is under way.
#[derive(Debug)]
struct Asked {
    take: Take,
    sent_at: Instant,
    leave_by: Instant,
    term: u64,
    refused: Option<Instant>,
}

impl Ledger {
    /// A bucket of which nothing is known at `now`.
    pub fn new(agreement: Agreement, lease: Lease, now: Instant) -> Self {
        let share = agreement.share();
        Self {
            agreement,
            lease,
            share: (share > 0).then(|| Window::new(share, agreement.guard, now)),
            reserved: VecDeque::new(),
            calls: BTreeMap::new(),
            settled: BTreeMap::new(),
            refused: None,
            next_number: 0,
            asked: None,
            ask_again_at: now,
            forecast: Forecast::new(SECOND / agreement.tokens.max(1), now),
        }
    }

    /// Tells how the membership stands.
    pub fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// Takes a token that may be used at `now`. The pace is the store's while there is one.
    pub fn grant(&mut self, pace: Pace, now: Instant) -> Option<Token> {
        match self.lease.phase(now) {
            Phase::Member => {
                self.drop_stale(now);
                let due = self.reserved.front().is_some_and(|reserved| reserved.due <= now);
                let Reserved { number, leave_by, term, .. } = due.then(|| self.reserved.pop_front()).flatten()?;
                let whereabouts = Whereabouts::Unsent;
                self.calls.insert(number, Call { granted_at: now, leave_by, term, whereabouts });
                Some(Token::Store(number))
            }
            Phase::Quiet => None,
            Phase::Share => {
                let token = self.share.as_mut()?.grant(pace, now)?;
                Some(Token::Share { token, term: self.lease.term })
            }
        }
    }

    /// When there may be a token, or something to ask, without any further word; a moment in the past means now.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        match self.lease.phase(now) {
            Phase::Member => {
                let next = match (self.reserved.front(), &self.asked) {
                    (Some(reserved), _) => Some(reserved.due),
                    (None, Some(_)) => None,
                    (None, None) => Some(self.ask_again_at),
                };
                // When the lease ends, somebody has to look.
                next.into_iter().chain(self.lease.until).min()
            }
            Phase::Quiet => self.lease.share_from,
            Phase::Share => self.share.as_ref()?.next_due(),
        }
    }

    /// Whether the call of `token` may still leave. Asked as long as it may not have left: while it is unsent, and at
    /// each step of opening its connection.
    pub fn may_leave(&self, token: Token, now: Instant) -> bool {
        match token {
            Token::Store(number) => self.calls.get(&number).is_none_or(|call| match call.whereabouts {
                Whereabouts::HandedOver { .. } => true,
                _ => call.term == self.lease.term && now < call.leave_by,
            }),
            Token::Share { token, term } => {
                term == self.lease.term || self.share.as_ref().is_none_or(|share| share.has_left(token))
            }
        }
    }

    /// The call was handed to an open connection: it arrives within the guard.
    pub fn handed_over(&mut self, token: Token, now: Instant) {
        match token {
            Token::Store(number) => self.moved(number, Whereabouts::HandedOver { at: now }),
            Token::Share { token, .. } => self.of_share(|share| share.handed_over(token, now)),
        }
    }

    /// The call opens its connection first: it arrives at any time until it is answered.
    pub fn connecting(&mut self, token: Token) {
        match token {
            Token::Store(number) => self.moved(number, Whereabouts::Opening),
            Token::Share { token, .. } => self.of_share(|share| share.connecting(token)),
        }
    }

    /// The call's answer began: it has arrived.
    pub fn answered(&mut self, token: Token, now: Instant) {
        let guard = self.agreement.guard;
        match token {
            Token::Store(number) => self.settle(number, now, |whereabouts| match whereabouts {
                Whereabouts::HandedOver { at } => now.min(at + guard) + COUNTED,
                Whereabouts::Unsent | Whereabouts::Opening => now + COUNTED,
            }),
            Token::Share { token, .. } => self.of_share(|share| share.answered(token, now)),
        }
    }

    /// Nothing more will be heard of the call. A token that was never sent is free at once.
    pub fn ended(&mut self, token: Token, now: Instant) {
        let guard = self.agreement.guard;
        match token {
            Token::Store(number) => self.settle(number, now, |whereabouts| match whereabouts {
                Whereabouts::Unsent => now,
                Whereabouts::HandedOver { at } => at + guard + COUNTED,
                // It failed, and may be on its way all the same.
                Whereabouts::Opening => now + guard + COUNTED,
            }),
            Token::Share { token, .. } => self.of_share(|share| share.ended(token, now)),
        }
    }

    /// The upstream refused the call as one too many.
    pub fn refused_upstream(&mut self, token: Token, now: Instant) {
        match token {
            Token::Store(number) => {
                let granted_at = self.calls.get(&number).map(|call| call.granted_at);
                self.refused = self.refused.max(granted_at);
                self.answered(token, now);
            }
            Token::Share { token, .. } => self.of_share(|share| share.refused_upstream(token, now)),
        }
    }

    /// How long somebody would wait who has `grants_before` others before them, if the others go on as they did.
    pub fn expected_wait(&self, grants_before: usize, now: Instant) -> Duration {
        let at = match self.lease.phase(now) {
            Phase::Member => {
                if let Some(reserved) = self.reserved.get(grants_before) {
                    return reserved.due.saturating_duration_since(now);
                }
                self.forecast.due(grants_before - self.reserved.len(), self.ask_again_at, now)
            }
            Phase::Quiet => {
                let resumes_at = self.lease.share_from.unwrap_or(self.lease.resumes_at);
                let rate = self.lease.share_from.map_or(self.agreement.tokens, |_| self.agreement.share());
                resumes_at.max(now) + SECOND / rate.max(1) * grants_before as u32
            }
            Phase::Share => match &self.share {
                Some(share) => return share.expected_wait(grants_before, now),
                None => now + self.agreement.quiet(),
            },
        };
        at.saturating_duration_since(now)
    }

    /// What to ask the store for at `now`, where `waiting` fetches wait: to be sent at once, and answered by
    /// [`Self::took`] or [`Self::took_nothing`].
    pub fn wish(&mut self, waiting: usize, now: Instant) -> Option<Take> {
        let Phase::Member = self.lease.phase(now) else { return None };
        self.drop_stale(now);
        if waiting == 0 || self.asked.is_some() || !self.reserved.is_empty() || now < self.ask_again_at {
            return None;
        }
        let want = u32::try_from(waiting).unwrap_or(u32::MAX).min(self.agreement.tokens);
        let take = Take {
            first: self.next_number,
            want,
            refused: self.refused.map(|granted_at| now.saturating_duration_since(granted_at)),
            settled: self.due_reports(now),
        };
        self.next_number += u64::from(want);
        let Lease { until, term, .. } = self.lease;
        let leave_by = until?;
        self.asked = Some(Asked { take: take.clone(), sent_at: now, leave_by, term, refused: self.refused });
        Some(take)
    }

    /// What came of the wish.
    pub fn took(&mut self, reply: &Reply<Granted>, now: Instant) {
        let Some(asked) = self.asked.take() else { return };
        let Outcome::Done(granted) = &reply.outcome else {
            self.ask_again_at = now + HEARTBEAT;
            return;
        };
        self.told(&asked.take.settled);
        if self.refused == asked.refused {
            self.refused = None;
        }
        // The clock there showed this time at some moment before now, so that nothing is used too early.
        let here = |micros: u64| now + Duration::from_micros(micros.saturating_sub(reply.now));
        self.ask_again_at = here(granted.ask_again_at);
        let last_due = here(granted.used_from.last().copied().unwrap_or_default());
        self.forecast.learn(granted.used_from.len(), last_due, asked.sent_at);
        for (number, &used_from) in (asked.take.first..).zip(&granted.used_from) {
            let Asked { leave_by, term, .. } = asked;
            self.reserved.push_back(Reserved { number, due: here(used_from), leave_by, term });
        }
    }

    /// The wish was not answered. It may have been granted, or may be yet, until its time is over.
    pub fn took_nothing(&mut self, now: Instant) {
        let Some(Asked { take, sent_at, .. }) = self.asked.take() else { return };
        let tell_from = sent_at + self.agreement.timeout;
        for number in take.first..take.first + u64::from(take.want) {
            self.settled.insert(number, Settling { back_at: now, tell_from });
        }
        self.ask_again_at = now.max(tell_from);
    }

    /// The state of the tokens for a sign of life at `now`, where `waiting` fetches wait. What is kept for more than
    /// those goes back, for its callers have left.
    pub fn books(&mut self, waiting: usize, now: Instant) -> Books {
        self.drop_stale(now);
        self.drop_unwanted(waiting, now);
        let settled = self.due_reports(now);
        let reserved = self.reserved.iter().map(|reserved| reserved.number);
        let open = reserved.chain(self.calls.keys().copied()).collect();
        Books { waits: waiting > 0, settled, open }
    }

    /// The sign of life was answered: what it told is known, and the open tokens that it named may leave until
    /// `leave_by`.
    pub fn booked(&mut self, books: &Books, leave_by: Instant) {
        self.told(&books.settled);
        let term = self.lease.term;
        for number in &books.open {
            if let Some(call) = self.calls.get_mut(number).filter(|call| call.term == term) {
                call.leave_by = call.leave_by.max(leave_by);
            }
        }
        for reserved in self.reserved.iter_mut().filter(|reserved| reserved.term == term) {
            if books.open.contains(&reserved.number) {
                reserved.leave_by = reserved.leave_by.max(leave_by);
            }
        }
    }

    fn of_share(&mut self, change: impl FnOnce(&mut Window)) {
        if let Some(share) = &mut self.share {
            change(share);
        }
    }

    fn moved(&mut self, number: u64, whereabouts: Whereabouts) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.whereabouts = whereabouts;
        }
    }

    fn settle(&mut self, number: u64, now: Instant, back_at: impl FnOnce(Whereabouts) -> Instant) {
        if let Some(call) = self.calls.remove(&number) {
            self.settled.insert(number, Settling { back_at: back_at(call.whereabouts), tell_from: now });
        }
    }

    /// What can be told at `now`. A call that was handed over longer ago than the guard needs no answer for that.
    fn due_reports(&mut self, now: Instant) -> Vec<Settled> {
        let guard = self.agreement.guard;
        self.calls.retain(|&number, call| {
            let Whereabouts::HandedOver { at } = call.whereabouts else { return true };
            if now < at + guard {
                return true;
            }
            self.settled.insert(number, Settling { back_at: at + guard + COUNTED, tell_from: now });
            false
        });
        let due = self.settled.iter().filter(|(_, settling)| settling.tell_from <= now);
        due.map(|(&number, settling)| {
            let back_in = settling.back_at.saturating_duration_since(now);
            Settled { number, back_in }
        })
        .collect()
    }

    fn told(&mut self, settled: &[Settled]) {
        for Settled { number, .. } in settled {
            self.settled.remove(number);
        }
    }

    /// Gives back what was granted and may not leave any more.
    fn drop_stale(&mut self, now: Instant) {
        let term = self.lease.term;
        let settled = &mut self.settled;
        self.reserved.retain(|reserved| {
            let fresh = reserved.term == term && now < reserved.leave_by;
            if !fresh {
                settled.insert(reserved.number, Settling { back_at: now, tell_from: now });
            }
            fresh
        });
    }

    /// Gives back what is granted beyond `waiting`, the latest of it, so that those who wait are served as soon as before.
    fn drop_unwanted(&mut self, waiting: usize, now: Instant) {
        let wanted = waiting.min(self.reserved.len());
        for Reserved { number, .. } in self.reserved.split_off(wanted) {
            self.settled.insert(number, Settling { back_at: now, tell_from: now });
        }
    }
}

#[cfg(test)]
mod tests;
