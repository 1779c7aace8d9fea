//! Who reads widely: callers who are given the URLs of many different backups within an hour.
//!
//! It refuses nobody and names nobody: the counts say that it happens, the log in which record, and the record who.
//! Each replica sees what it gave itself.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Broker;
use crate::{
    audit::Record,
    domain::{BackupId, Caller, EventId, FastHashing, InstanceId, Region},
    metrics::Breadth,
};

/// Marks a caller has. Different backups seldom share one, and how often is known: of a thousand backups some hundred
/// do, and the count is still right to a few in a hundred (linear counting: Whang, Vander-Zanden and Taylor, 1990).
const MARKS: usize = 4096;

/// How long a backup counts.
const WINDOW_MINUTES: u64 = 60;

/// Minutes that one byte tells apart, beside "never". More than twice the window, so that a mark that is swept late is
/// not taken for a young one.
const CYCLE: u64 = 255;

/// Callers that are watched at once, four KiB each. Beyond them those who were given nothing for the longest time are
/// forgotten; whoever goes on reading is not among them, unless seven eighths as many others read after him.
const MOST_CALLERS: usize = 1024;

/// The readers of the last hour.
pub(super) struct WideReaders {
    hashing: FastHashing,
    born: Instant,
    /// Marks that so many backups make, for each breadth.
    limits: [u32; Breadth::ALL.len()],
    readers: Mutex<HashMap<u64, Reader, FastHashing>>,
}

/// A caller who is given a backup's URLs: which of both, as far as counting takes it, and the event that names them.
pub(super) struct Reading {
    counts: (u64, usize),
    event_id: EventId,
}

/// What one caller was given, as far as counting takes it.
struct Reader {
    last: Instant,
    /// The minute up to which the marks are swept.
    minute: u64,
    /// The minute of the last visit to each mark, from 1 in a cycle of [`CYCLE`]; 0 where it was not within the window.
    marks: Box<[u8; MARKS]>,
    /// Marks that are not 0.
    marked: u32,
    told: [Option<u64>; Breadth::ALL.len()],
}

impl WideReaders {
    /// Nobody yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hashing: FastHashing::default(),
            born: now,
            limits: Breadth::ALL.map(|breadth| marks_of(f64::from(breadth.backups()))),
            readers: Mutex::default(),
        }
    }

    /// What counts of a backup whose URLs `caller` is given.
    fn reading(&self, caller: &Caller, backup: (&Region, &InstanceId, &BackupId)) -> (u64, usize) {
        let place = usize::try_from(self.hash(backup) % MARKS as u64).unwrap_or_default();
        (self.hash((&caller.issuer, &caller.subject)), place)
    }

    /// Notes that a caller is given the URLs of a backup at `now`. Returns what it thereby goes beyond: each breadth when
    /// it is passed, and again for each hour that it stays passed.
    fn note(&self, (caller, place): (u64, usize), now: Instant) -> Vec<Breadth> {
        let minute = now.saturating_duration_since(self.born).as_secs() / 60;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= MOST_CALLERS && !readers.contains_key(&caller) {
            make_room(&mut readers, now);
        }
        readers.entry(caller).or_insert_with(|| Reader::new(now, minute)).note(place, now, minute, &self.limits)
    }

    fn hash(&self, of: impl Hash) -> u64 {
        self.hashing.hash_one(of)
    }
}

/// Marks that are made by `backups` different ones, on average: those that a few share are made once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it lies between 0 and the number of marks"
)]
fn marks_of(backups: f64) -> u32 {
    let marks = MARKS as f64;
    (marks * -(-backups / marks).exp_m1()).ceil() as u32
}

/// Forgets those whose hour is over, and in any case the eighth that was given nothing for the longest time: to forget one
/// at a time would cost every newcomer a look at all of them.
fn make_room(readers: &mut HashMap<u64, Reader, FastHashing>, now: Instant) {
    let window = Duration::from_secs(60 * WINDOW_MINUTES);
    let mut order: Vec<_> = readers.iter().map(|(caller, reader)| (reader.last, *caller)).collect();
    let last_of_eighth = *order.select_nth_unstable(MOST_CALLERS / 8 - 1).1;
    readers.retain(|caller, reader| {
        (reader.last, *caller) > last_of_eighth && now.saturating_duration_since(reader.last) < window
    });
}

impl Reader {
    fn new(now: Instant, minute: u64) -> Self {
        Self { last: now, minute, marks: Box::new([0; MARKS]), marked: 0, told: Default::default() }
    }

    fn note(&mut self, place: usize, now: Instant, minute: u64, limits: &[u32; Breadth::ALL.len()]) -> Vec<Breadth> {
        // Two workers may come to the lock in the other order than to the clock.
        let minute = minute.max(self.minute);
        self.sweep(minute);
        self.last = self.last.max(now);
        let mark = &mut self.marks[place];
        if *mark == 0 {
            self.marked += 1;
        }
        *mark = mark_of(minute);
        let mut beyond = Vec::new();
        for ((breadth, limit), told) in Breadth::ALL.into_iter().zip(limits).zip(&mut self.told) {
            if self.marked > *limit && told.is_none_or(|told| minute - told >= WINDOW_MINUTES) {
                *told = Some(minute);
                beyond.push(breadth);
            }
        }
        beyond
    }

    /// Takes away what is older than the window. Once a minute at most, some microseconds.
    fn sweep(&mut self, minute: u64) {
        let passed = minute - self.minute;
        if passed == 0 {
            return;
        }
        self.minute = minute;
        if passed >= WINDOW_MINUTES {
            self.marks.fill(0);
            self.marked = 0;
            return;
        }
        for mark in self.marks.iter_mut().filter(|mark| **mark != 0) {
            let age = (minute % CYCLE + CYCLE + 1 - u64::from(*mark)) % CYCLE;
            if age >= WINDOW_MINUTES {
                *mark = 0;
                self.marked -= 1;
            }
        }
    }
}

/// The mark of a visit in this minute.
fn mark_of(minute: u64) -> u8 {
    u8::try_from(minute % CYCLE + 1).unwrap_or(u8::MAX)
}

impl Broker {
    /// What is to be watched of a record once it is written, where its caller is given URLs.
    pub(super) fn reading_of(&self, record: &Record) -> Option<Reading> {
        let backup = (record.region.as_ref()?, record.instance.as_ref()?, record.backup.as_ref()?);
        let is_given = !record.url_fingerprints.is_empty();
        is_given.then(|| {
            let counts = self.wide_readers.reading(&record.caller, backup);
            Reading { counts, event_id: record.event_id }
        })
    }

    /// Counts, and tells the log, when the caller of a record that is written thereby reads widely.
    pub(super) fn watch_breadth(&self, reading: &Reading) {
        for breadth in self.wide_readers.note(reading.counts, self.clock.monotonic()) {
            self.metrics.wide_reader(breadth);
            tracing::warn!(
                event_id = reading.event_id.as_str(),
                beyond = breadth.backups(),
                "a caller was given the URLs of unusually many different backups within an hour; the audit's record of \
                 this event names it"
            );
        }
    }
}

#[cfg(test)]
mod tests;
