//! The tokens of one bucket: how many may call now, and when the next may.
//!
//! Pure: time is an argument and nothing waits. It never lets a token out while the upstream may still count the call
//! that spent it. The upstream counts arrivals, which nobody here sees; what is seen are the moments on either side of
//! an arrival: the call was handed to an open connection (it arrives within the guard), and its answer began (it has
//! arrived). Whichever bound is earlier frees the token one second later. A connection that is opened first can delay
//! an arrival by any time, so there only the answer counts.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

/// The span over which the upstream counts.
const SECOND: Duration = Duration::from_secs(1);

/// How long nobody calls after the upstream refused a call as one too many.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// How long a rate of nothing would take to grow to the full one; a halved rate is back after half of it.
const RECOVERY: Duration = Duration::from_secs(10);

/// How many absences are remembered to foresee the next ones: as many as a full bucket has in three seconds, which is
/// how far ahead anybody is told to wait.
const REMEMBERED: usize = 60;

/// Whether anybody else waits, which decides how a grant may follow the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nobody waits: a free token goes at once, so that an idle bucket serves all its tokens at once.
    AtOnce,
    /// Somebody waits: grants keep an even distance, so that nobody sits through a silence after a clump.
    Spaced,
}

/// The right to make one call. Worth nothing once the token that backs it has been granted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    index: usize,
    serial: u64,
    granted_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    serial: u64,
    granted_at: Instant,
    whereabouts: Whereabouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    Free,
    /// Granted, and nothing sent so far.
    Unsent,
    /// Spent on a call whose latest possible arrival is known, answered or not.
    Away {
        back_at: Instant,
        answered: bool,
    },
    /// Spent on a call that opens its connection first: it may arrive at any time until it is answered.
    Opening,
}

/// What a refusal by the upstream has taught: nobody until `paused_until`, then `low` of the rate, then more.
#[derive(Clone, Copy, Debug)]
struct Brake {
    refused_at: Instant,
    paused_until: Instant,
    low: f64,
}

/// All tokens of one bucket.
#[derive(Debug)]
pub struct Window {
    guard: Duration,
    slots: Vec<Slot>,
    /// Free tokens with the moment each became free, earliest first.
    free: VecDeque<(Instant, usize)>,
    /// Exactly the slots that are [`Whereabouts::Away`].
    returning: BTreeSet<(Instant, usize)>,
    /// Before this moment no spaced grant is due.
    next_turn: Option<Instant>,
    brake: Option<Brake>,
    /// How long tokens were away of late, from grant to return, on an open connection.
    absences: Recent,
    /// The same where the connection had to be opened first.
    opening_absences: Recent,
}

impl Window {
    /// A bucket with all of its tokens free at `now`; at least one token, whatever is asked for.
    pub fn new(requests_per_second: u32, guard: Duration, now: Instant) -> Self {
        let tokens = requests_per_second.max(1) as usize;
        let slot = Slot { serial: 0, granted_at: now, whereabouts: Whereabouts::Free };
        Self {
            guard,
            slots: vec![slot; tokens],
            free: (0..tokens).map(|index| (now, index)).collect(),
            returning: BTreeSet::new(),
            next_turn: None,
            brake: None,
            absences: Recent::new(SECOND + guard / 2),
            opening_absences: Recent::new(SECOND + guard),
        }
    }

    /// Takes a token, where one is free and the pace allows it.
    pub fn grant(&mut self, pace: Pace, now: Instant) -> Option<Token> {
        self.collect(now);
        if self.share_of_rate(now) >= 1.0 {
            self.brake = self.brake.filter(|brake| now < brake.paused_until);
        }
        let free_since = self.free.front()?.0;
        let due_at = match pace {
            Pace::AtOnce if self.brake.is_none() => now,
            Pace::AtOnce => self.turn_after(now),
            Pace::Spaced => self.turn_after(free_since),
        };
        if now < due_at {
            return None;
        }
        let (_, index) = self.free.pop_front()?;
        let slot = &mut self.slots[index];
        slot.serial += 1;
        slot.granted_at = now;
        slot.whereabouts = Whereabouts::Unsent;
        let token = Token { index, serial: slot.serial, granted_at: now };
        // Counted from when the grant was due, not from when the timer woke: its lateness must not add up. But what a
        // long stall held back is lost, for catching up would clump.
        let interval = self.interval(now);
        let counted_from = now.checked_sub(interval).map_or(due_at, |earliest| due_at.max(earliest));
        self.next_turn = Some(counted_from + interval);
        Some(token)
    }

    /// When the next spaced grant is due, as far as is known; a moment in the past means now.
    ///
    /// `None` where every token is spent on a call whose arrival is unknown: the next event about one of them tells.
    pub fn next_due(&self) -> Option<Instant> {
        let token_at = self.free.front().or_else(|| self.returning.first())?.0;
        Some(self.turn_after(token_at))
    }

    /// The call was handed to an open connection: it arrives within the guard.
    pub fn handed_over(&mut self, token: Token, now: Instant) {
        if let Some(Whereabouts::Unsent | Whereabouts::Away { answered: false, .. }) = self.whereabouts(token) {
            self.send_away(token.index, now + SECOND + self.guard, false);
        }
    }

    /// The call opens its connection first: it arrives at any time until it is answered.
    pub fn connecting(&mut self, token: Token) {
        if let Some(Whereabouts::Unsent | Whereabouts::Away { answered: false, .. }) = self.whereabouts(token) {
            self.take_from_returning(token.index);
            self.slots[token.index].whereabouts = Whereabouts::Opening;
        }
    }

    /// The call's answer began: it has arrived.
    pub fn answered(&mut self, token: Token, now: Instant) {
        let back_at = now + SECOND;
        match self.whereabouts(token) {
            Some(Whereabouts::Unsent) => self.send_away(token.index, back_at, true),
            Some(Whereabouts::Away { back_at: known, answered: false }) => {
                let back_at = known.min(back_at);
                self.absences.add(back_at.saturating_duration_since(token.granted_at));
                self.send_away(token.index, back_at, true);
            }
            Some(Whereabouts::Opening) => {
                self.opening_absences.add(back_at.saturating_duration_since(token.granted_at));
                self.send_away(token.index, back_at, true);
            }
            _ => {}
        }
    }

    /// Nothing more will be heard of the call. A token that was never sent is free at once.
    ///
    /// A call that failed may still arrive within the guard, so a failure is not as good as an answer: on an open
    /// connection the bound of [`Self::handed_over`] stands, and an opened one starts it now.
    pub fn ended(&mut self, token: Token, now: Instant) {
        match self.whereabouts(token) {
            Some(Whereabouts::Unsent) => {
                self.slots[token.index].whereabouts = Whereabouts::Free;
                self.free.push_back((now, token.index));
            }
            Some(Whereabouts::Opening) => self.send_away(token.index, now + SECOND + self.guard, false),
            _ => {}
        }
    }

    /// The upstream refused the call as one too many: somebody else draws on the same quota.
    ///
    /// All pause for a second, then go on at half the rate they had, at one a second at least, which grows back to the
    /// full one over some seconds. Calls that were under way when the pause began teach nothing new.
    pub fn refused_upstream(&mut self, token: Token, now: Instant) {
        self.answered(token, now);
        if self.brake.is_some_and(|brake| token.granted_at <= brake.refused_at) {
            return;
        }
        let one_a_second = 1.0 / self.slots.len() as f64;
        let low = (self.share_of_rate(now) / 2.0).max(one_a_second);
        self.brake = Some(Brake { refused_at: now, paused_until: now + REFUSAL_PAUSE, low });
    }

    /// Whether the call may have left, or is over: neither unsent nor opening its connection.
    pub fn has_left(&self, token: Token) -> bool {
        !matches!(self.whereabouts(token), Some(Whereabouts::Unsent | Whereabouts::Opening))
    }

    /// How long somebody would wait who has `grants_before` others before them.
    ///
    /// An estimate in one respect: the upstream is taken to answer as it did of late. Its last answers are played
    /// again one by one, for with their mean alone the wait would come out short: a late token holds up the next in
    /// line, an early one gains nothing.
    pub fn expected_wait(&self, grants_before: usize, now: Instant) -> Duration {
        let mut back: BinaryHeap<Reverse<Instant>> =
            self.slots.iter().map(|slot| Reverse(self.expected_back(slot, now))).collect();
        let mut turn = self.turn_after(now);
        let mut at = now;
        for absence in self.absences.again().take(grants_before + 1) {
            let Some(mut earliest) = back.peek_mut() else { break };
            at = turn.max(earliest.0);
            turn = at + self.interval(at);
            *earliest = Reverse(at + absence);
        }
        at.saturating_duration_since(now)
    }

    /// Moves the tokens whose time is over to the free ones.
    fn collect(&mut self, now: Instant) {
        while let Some(&(back_at, index)) = self.returning.first()
            && back_at <= now
        {
            self.returning.pop_first();
            let slot = &mut self.slots[index];
            if matches!(slot.whereabouts, Whereabouts::Away { answered: false, .. }) {
                self.absences.add(back_at.saturating_duration_since(slot.granted_at));
            }
            slot.whereabouts = Whereabouts::Free;
            self.free.push_back((back_at, index));
        }
    }

    /// Where the token is, unless it has come back or has been granted to another call since.
    fn whereabouts(&self, token: Token) -> Option<Whereabouts> {
        let slot = self.slots.get(token.index)?;
        (slot.serial == token.serial).then_some(slot.whereabouts)
    }

    fn send_away(&mut self, index: usize, back_at: Instant, answered: bool) {
        self.take_from_returning(index);
        self.slots[index].whereabouts = Whereabouts::Away { back_at, answered };
        self.returning.insert((back_at, index));
    }

    fn take_from_returning(&mut self, index: usize) {
        if let Whereabouts::Away { back_at, .. } = self.slots[index].whereabouts {
            self.returning.remove(&(back_at, index));
        }
    }

    fn expected_back(&self, slot: &Slot, now: Instant) -> Instant {
        match slot.whereabouts {
            Whereabouts::Free => now,
            Whereabouts::Unsent => (slot.granted_at + self.absences.mean()).max(now + SECOND),
            Whereabouts::Away { back_at, answered: true } => back_at,
            Whereabouts::Away { back_at, answered: false } => {
                (slot.granted_at + self.absences.mean()).max(now + SECOND).min(back_at)
            }
            Whereabouts::Opening => (slot.granted_at + self.opening_absences.mean()).max(now + SECOND),
        }
    }

    /// The first moment from `at` on that neither the even distance nor a pause rules out.
    fn turn_after(&self, at: Instant) -> Instant {
        let paused_until = self.brake.map(|brake| brake.paused_until);
        [self.next_turn, paused_until].into_iter().flatten().fold(at, Instant::max)
    }

    /// The distance between spaced grants at the rate that holds at `at`.
    fn interval(&self, at: Instant) -> Duration {
        (SECOND / self.slots.len() as u32).div_f64(self.share_of_rate(at))
    }

    /// The part of the full rate that the upstream's refusals leave at `at`: in (0, 1].
    fn share_of_rate(&self, at: Instant) -> f64 {
        self.brake.map_or(1.0, |brake| {
            let recovered = at.saturating_duration_since(brake.paused_until).div_duration_f64(RECOVERY);
            (brake.low + recovered).min(1.0)
        })
    }
}

/// The last few of what was measured.
#[derive(Debug)]
struct Recent {
    guess: Duration,
    values: VecDeque<Duration>,
}

impl Recent {
    /// Nothing so far, for which `guess` stands in.
    fn new(guess: Duration) -> Self {
        Self { guess, values: VecDeque::with_capacity(REMEMBERED) }
    }

    fn add(&mut self, value: Duration) {
        if self.values.len() == REMEMBERED {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    fn mean(&self) -> Duration {
        self.values.iter().sum::<Duration>().checked_div(self.values.len() as u32).unwrap_or(self.guess)
    }

    /// The values from the oldest to the newest, over and over.
    fn again(&self) -> impl Iterator<Item = Duration> {
        let stand_in = self.values.is_empty().then_some(self.guess);
        self.values.iter().copied().chain(stand_in).cycle()
    }
}

#[cfg(test)]
mod tests;
