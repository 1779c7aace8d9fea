//! Verification: line by line, whether a chain is as it was written, and where it first is not.
//!
//! What no chain can show alone is that its end was cut off; for that, one must know a hash that must be there.

use std::{collections::HashMap, mem};

use super::{Hash, Link, Sealed, SegmentId};
use crate::audit::key::{KeyId, Keys};

/// Reads the lines of one or more files, in order.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k Keys,
    expected: Option<Hash>,
    /// How far each segment has come; `None` once another has followed it.
    segments: HashMap<SegmentId, Option<Link>>,
    /// The last record of this file.
    last_in_file: Option<(SegmentId, Link)>,
    /// Lines that are no records, until the record that closes them.
    torn: Torn,
    place: Place,
    verified: Verified,
}

/// A line of one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, counted from 0.
    pub file: usize,
    /// The line, counted from 1.
    pub line: u64,
}

/// What was found intact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records.
    pub records: u64,
    /// Runs of records of one start of a gateway, one file and one key.
    pub segments: usize,
    /// The last record.
    pub head: Option<(SegmentId, Link)>,
    /// Lines that a crash has torn, and that the record behind them answers for.
    pub torn: Vec<Place>,
    /// Whether the first file goes on where another ended, which was not given.
    pub continues_another: bool,
}

/// The first line that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it stands, or where one is missing.
    pub place: Place,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The last line of a file ends in the middle.
    #[error("torn: the line ends in the middle, as a crash or a cut leaves it")]
    Torn,
    /// The line has not the form of a record, and no record behind it answers for it.
    #[error("not a record of this chain")]
    NotARecord,
    /// The line's hash is not that of its content.
    #[error("changed: its hash is not that of its content")]
    Changed,
    /// The line is older than what stands before it.
    #[error("out of order: it was moved, or stands here a second time")]
    OutOfOrder,
    /// What must stand before the line does not.
    #[error("one or more records before it are missing")]
    Missing,
    /// Nobody here can tell.
    #[error("written under the key {0}, which is not among those in audit.key_file")]
    UnknownKey(KeyId),
}

/// Why the files as a whole are not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// A line is bad.
    Broken(Broken),
    /// All lines are good, and none has the hash that must be there.
    NotReached,
}

#[derive(Debug, Default)]
struct Torn {
    lines: Vec<(Place, Vec<u8>)>,
    bytes: usize,
}

/// Bytes of lines that are no records which are kept until a record answers for them. A crash tears one line.
const TORN_BYTES: usize = 1 << 20;

impl<'k> Verifier<'k> {
    /// One that knows these keys, and wants to see a record with the hash `expected`.
    pub fn new(keys: &'k Keys, expected: Option<Hash>) -> Self {
        Self {
            keys,
            expected,
            segments: HashMap::new(),
            last_in_file: None,
            torn: Torn::default(),
            place: Place::default(),
            verified: Verified::default(),
        }
    }

    /// Goes on to file number `file`.
    ///
    /// # Errors
    ///
    /// When the file before ended in lines that are no records.
    pub fn begin_file(&mut self, file: usize) -> Result<(), Broken> {
        self.refuse_torn()?;
        self.last_in_file = None;
        self.place = Place { file, line: 0 };
        Ok(())
    }

    /// Takes the next line, without its line feed.
    ///
    /// # Errors
    ///
    /// When this line, or one just before it, is not as it was written.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.place.line += 1;
        let Some(record) = Sealed::parse(line) else {
            self.torn.lines.push((self.place, line.to_vec()));
            self.torn.bytes += line.len() + 1;
            return if self.torn.bytes > TORN_BYTES { self.refuse_torn() } else { Ok(()) };
        };
        let checked = self.check(&record);
        if checked.is_err() {
            self.refuse_torn()?;
        }
        checked.map_err(|flaw| Broken { place: self.place, flaw })?;
        self.take(&record);
        Ok(())
    }

    /// Takes what stands behind the last line feed of a file, where anything does.
    ///
    /// # Errors
    ///
    /// Always: a line without its end is torn, or a line before it is bad.
    pub fn unterminated(&mut self) -> Result<(), Broken> {
        self.refuse_torn()?;
        self.place.line += 1;
        Err(Broken { place: self.place, flaw: Flaw::Torn })
    }

    /// What was found intact so far.
    pub fn so_far(&self) -> &Verified {
        &self.verified
    }

    /// Ends.
    ///
    /// # Errors
    ///
    /// When the last lines are no records, or the expected hash was not seen.
    pub fn finish(self) -> Result<Verified, Unverified> {
        self.refuse_torn().map_err(Unverified::Broken)?;
        if self.expected.is_some() {
            return Err(Unverified::NotReached);
        }
        Ok(self.verified)
    }

    fn refuse_torn(&self) -> Result<(), Broken> {
        match self.torn.lines.first() {
            Some((place, _)) => Err(Broken { place: *place, flaw: Flaw::NotARecord }),
            None => Ok(()),
        }
    }

    fn check(&self, record: &Sealed<'_>) -> Result<(), Flaw> {
        let key_id = record.segment.key();
        let key = self.keys.get(key_id).ok_or(Flaw::UnknownKey(key_id))?;
        if !record.is_intact(key) {
            return Err(Flaw::Changed);
        }
        let known = self.segments.get(&record.segment);
        if !self.torn.lines.is_empty() {
            let last = self.last_in_file.map_or(Link::START, |(_, link)| link);
            let from = last.past_all_torn(key, self.torn.lines.iter().map(|(_, line)| line.as_slice()));
            return if known.is_none() && follows(record, from) { Ok(()) } else { Err(Flaw::NotARecord) };
        }
        match known {
            Some(Some(link)) if follows(record, *link) => Ok(()),
            Some(Some(link)) if record.seq > link.seq => Err(Flaw::Missing),
            Some(_) => Err(Flaw::OutOfOrder),
            None if follows(record, Link::START) || self.predecessor(record).is_some() => Ok(()),
            // Files are rotated, and old ones are thrown away one day.
            None if self.verified.records == 0 && record.seq == 1 => Ok(()),
            None => Err(Flaw::Missing),
        }
    }

    /// The segment that a new one goes on from, in the same file or in a new one.
    fn predecessor(&self, record: &Sealed<'_>) -> Option<SegmentId> {
        let goes_on_from = |link: Link| follows(record, link) || follows(record, link.in_new_file());
        self.segments.iter().find(|(_, link)| link.is_some_and(goes_on_from)).map(|(segment, _)| *segment)
    }

    fn take(&mut self, record: &Sealed<'_>) {
        if !self.segments.contains_key(&record.segment) {
            self.verified.segments += 1;
            let torn = mem::take(&mut self.torn).lines;
            let predecessor = match (torn.is_empty(), self.last_in_file) {
                (true, _) => self.predecessor(record),
                (false, last) => last.map(|(segment, _)| segment),
            };
            self.verified.continues_another |=
                torn.is_empty() && predecessor.is_none() && record.prev != Link::START.hash;
            if let Some(predecessor) = predecessor {
                self.segments.insert(predecessor, None);
            }
            self.verified.torn.extend(torn.into_iter().map(|(place, _)| place));
        }
        let link = record.link();
        self.segments.insert(record.segment, Some(link));
        self.last_in_file = Some((record.segment, link));
        self.verified.records += 1;
        self.verified.head = self.last_in_file;
        self.expected.take_if(|expected| *expected == record.hash);
    }
}

fn follows(record: &Sealed<'_>, link: Link) -> bool {
    record.seq == link.seq + 1 && record.prev == link.hash
}
