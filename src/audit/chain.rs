//! The chain: each record carries the hash of the one before it and an HMAC over all of itself, so that none can be
//! changed, taken out, put in or moved by somebody without the key.
//!
//! Pure: bytes in, bytes out. A line is what `docs/audit.md` says:
//!
//! ```text
//! {"time":…,"url_fingerprints":[…],"segment":"<key>-<random>","seq":N,"prev":"<hash>","hash":"<hash>"}
//! ```
//!
//! where `hash` is the HMAC of every byte before `,"hash":`. Nothing is parsed and rendered again to check it.

pub(super) mod verify;

use std::{fmt, io::Write as _};

use super::key::{Key, KeyId};
use crate::domain::decimal::push_decimal;

/// A link of the chain as it is written: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; Hash::LENGTH]);

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct InvalidHash;

/// Who wrote a run of records: the name of the key, and a number that no other start of a gateway has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentId([u8; SegmentId::LENGTH]);

/// How far a chain has come: the number and the hash of its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the record's line in its file, from 1; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A chain that is being written.
#[derive(Debug)]
pub(super) struct Chain {
    key: Key,
    segment: SegmentId,
    link: Link,
}

/// A line that has the shape of a record. Whether it is one, its key must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed<'a> {
    signed: &'a [u8],
    pub(super) segment: SegmentId,
    pub(super) seq: u64,
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

const SEGMENT: &[u8] = br#","segment":""#;
const SEQ: &[u8] = br#"","seq":"#;
const PREV: &[u8] = br#","prev":""#;
const HASH: &[u8] = br#"","hash":""#;
const END: &[u8] = br#""}"#;

/// What every record begins with.
pub(super) const BEGINNING: &[u8] = br#"{"time":""#;

/// Told apart from the HMAC of a record by its first byte, for a record begins with a brace.
const TORN: &[u8] = b"torn:";

impl Chain {
    /// A new segment under `key` behind `from`.
    pub(super) fn begin(key: &Key, number: u64, from: Link) -> Self {
        Self { key: key.clone(), segment: SegmentId::new(key.id(), number), link: from }
    }

    /// Completes the record whose beginning stands in `out` from `start` on, and its line.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        let seq = self.link.seq + 1;
        out.extend_from_slice(SEGMENT);
        out.extend_from_slice(&self.segment.0);
        out.extend_from_slice(SEQ);
        push_decimal(out, seq);
        out.extend_from_slice(PREV);
        out.extend_from_slice(&self.link.hash.0);
        // The quotation mark that ends `prev` is signed, what follows is not.
        let (mark, rest) = HASH.split_at(1);
        out.extend_from_slice(mark);
        let hash = Hash(self.key.chain_hash([&out[start..]]));
        out.extend_from_slice(rest);
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(END);
        out.push(b'\n');
        self.link = Link { seq, hash };
    }

    /// The last record.
    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// Goes back to `link`: what was sealed since has not been written.
    pub(super) fn rewind(&mut self, link: Link) {
        self.link = link;
    }
}

impl<'a> Sealed<'a> {
    /// Reads a line, without its line feed, from its end: the chain's own fields stand there in one form only.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (rest, hash) = line.strip_suffix(END)?.split_last_chunk()?;
        let (mark, after_mark) = HASH.split_at(1);
        let signed = rest.strip_suffix(after_mark)?;
        let (rest, prev) = signed.strip_suffix(mark)?.split_last_chunk()?;
        let rest = rest.strip_suffix(PREV)?;
        let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (rest, seq) = rest.split_at(rest.len() - digits);
        let (rest, segment) = rest.strip_suffix(SEQ)?.split_last_chunk()?;
        let body = rest.strip_suffix(SEGMENT)?;
        if !body.starts_with(BEGINNING) || seq.starts_with(b"0") {
            return None;
        }
        Some(Self {
            signed,
            segment: SegmentId::of_bytes(*segment)?,
            seq: std::str::from_utf8(seq).ok()?.parse().ok()?,
            prev: Hash::try_from(*prev).ok()?,
            hash: Hash::try_from(*hash).ok()?,
        })
    }

    /// Whether the line is as it was written under `key`.
    pub(super) fn is_intact(&self, key: &Key) -> bool {
        Hash(key.chain_hash([self.signed])) == self.hash
    }

    /// The record as a link.
    pub(super) fn link(&self) -> Link {
        Link { seq: self.seq, hash: self.hash }
    }
}

impl Link {
    /// Before the first record.
    pub(super) const START: Self = Self { seq: 0, hash: Hash([b'0'; Hash::LENGTH]) };

    /// This chain in a file that is new: it counts from 1 again, and still follows the last record of the old one.
    pub(super) fn in_new_file(self) -> Self {
        Self { seq: 0, hash: self.hash }
    }

    /// Past a line that a crash has torn. It keeps its number, and whoever closes it answers for its bytes, so that it can
    /// neither be taken out nor be replaced.
    pub(super) fn past_torn(self, key: &Key, line: &[u8]) -> Self {
        Self { seq: self.seq + 1, hash: Hash(key.chain_hash([TORN, &self.hash.0, b":", line])) }
    }

    /// Past all of these lines, the oldest first.
    pub(super) fn past_all_torn<'a>(self, key: &Key, lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        lines.into_iter().fold(self, |link, line| link.past_torn(key, line))
    }
}

impl Hash {
    pub(super) const LENGTH: usize = 64;
}

impl TryFrom<[u8; Hash::LENGTH]> for Hash {
    type Error = InvalidHash;

    fn try_from(digits: [u8; Self::LENGTH]) -> Result<Self, InvalidHash> {
        if digits.iter().all(is_hex) { Ok(Self(digits)) } else { Err(InvalidHash) }
    }
}

impl std::str::FromStr for Hash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        <[u8; Self::LENGTH]>::try_from(text.as_bytes()).map_err(|_| InvalidHash)?.try_into()
    }
}

impl SegmentId {
    /// The name of the key, a hyphen, and 16 digits.
    const LENGTH: usize = KeyId::LENGTH + 17;

    fn new(key: KeyId, number: u64) -> Self {
        let mut bytes = [b'-'; Self::LENGTH];
        bytes[..KeyId::LENGTH].copy_from_slice(key.digits());
        write!(&mut bytes[KeyId::LENGTH + 1..], "{number:016x}").expect("16 digits have room");
        Self(bytes)
    }

    fn of_bytes(bytes: [u8; Self::LENGTH]) -> Option<Self> {
        let (key, number) = bytes.split_at(KeyId::LENGTH);
        (key.iter().all(is_hex) && number[0] == b'-' && number[1..].iter().all(is_hex)).then_some(Self(bytes))
    }

    /// The name of the key that the segment is written under.
    pub fn key(&self) -> KeyId {
        let mut digits = [0; KeyId::LENGTH];
        digits.copy_from_slice(&self.0[..KeyId::LENGTH]);
        KeyId::of_digits(digits)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests;
