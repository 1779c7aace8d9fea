//! How a file ends, so that its chain can go on: with a record, or with lines that a crash has torn.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use crate::audit::{
    chain::{BEGINNING, Link, Sealed},
    key::{Key, Keys},
};

/// The end of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last record, where there is one.
    last: Option<Link>,
    /// Torn lines behind it, the oldest first.
    torn: Vec<Vec<u8>>,
    /// Whether the line feed is missing at the end.
    pub(super) line_is_open: bool,
}

/// Bytes from the end that are looked at. A record of an instance with hundreds of shards takes a tenth of it.
const WINDOW_BYTES: u64 = 512 << 10;

impl Tail {
    /// Reads the end of a file of `length` bytes; `None` where no record of an audit stands there.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(super) fn read(file: &File, length: u64, keys: &Keys) -> io::Result<Option<Self>> {
        let start = length.saturating_sub(WINDOW_BYTES);
        let mut window = vec![0; usize::try_from(length - start).unwrap_or_default()];
        file.read_exact_at(&mut window, start)?;
        Ok(Self::of(&window, start == 0, keys))
    }

    /// The end that `window` shows; it `is_whole` where it shows the whole file.
    fn of(window: &[u8], is_whole: bool, keys: &Keys) -> Option<Self> {
        if window.is_empty() {
            return Some(Self::default());
        }
        let line_is_open = !window.ends_with(b"\n");
        let lines = window.strip_suffix(b"\n").unwrap_or(window).split(|byte| *byte == b'\n');
        let mut lines: Vec<&[u8]> = lines.collect();
        if !is_whole {
            lines.remove(0);
        }
        let last = lines.iter().rposition(|line| Sealed::parse(line).is_some());
        let torn = &lines[last.map_or(0, |last| last + 1)..];
        if (last.is_none() && !is_whole) || !torn.iter().all(|line| is_torn(line)) {
            return None;
        }
        let last = last.and_then(|last| Sealed::parse(lines[last]));
        if let Some(record) = last
            && keys.get(record.segment.key()).is_some_and(|key| !record.is_intact(key))
        {
            tracing::error!("the last record of the audit file has been changed; a chain of its own begins behind it");
            return Some(Self { last: None, torn: Vec::new(), line_is_open });
        }
        Some(Self {
            last: last.map(|record| record.link()),
            torn: torn.iter().map(|line| line.to_vec()).collect(),
            line_is_open,
        })
    }

    /// Where the chain goes on under `key`; `None` in a file that is empty, or whose end nobody can vouch for.
    pub(super) fn link(&self, key: &Key) -> Option<Link> {
        if self.last.is_none() && self.torn.is_empty() {
            return None;
        }
        let last = self.last.unwrap_or(Link::START);
        Some(last.past_all_torn(key, self.torn.iter().map(Vec::as_slice)))
    }

    /// The number of torn lines.
    pub(super) fn torn_lines(&self) -> usize {
        self.torn.len()
    }
}

/// Whether the line is the beginning of a record: that, and nothing else, is what a crash leaves.
fn is_torn(line: &[u8]) -> bool {
    line.starts_with(BEGINNING) || BEGINNING.starts_with(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{chain::Chain, key::testing::keys};

    fn lines(keys: &Keys, count: usize) -> (Vec<u8>, Link) {
        let mut chain = Chain::begin(keys.current(), 1, Link::START);
        let mut out = Vec::new();
        for _ in 0..count {
            let start = out.len();
            out.extend_from_slice(b"{\"time\":\"now\"");
            chain.seal(&mut out, start);
        }
        (out, chain.link())
    }

    #[test]
    fn a_file_that_ends_with_a_record_goes_on_from_it() {
        let keys = keys(7, &[]);
        let (file, link) = lines(&keys, 3);
        let open = &file[..file.len() - 1];

        let tail = Tail::of(&file, true, &keys).unwrap();
        let cut_window = Tail::of(&file[5..], false, &keys).unwrap();
        let without_line_feed = Tail::of(open, true, &keys).unwrap();

        assert_eq!(tail.link(keys.current()), Some(link));
        assert!(!tail.line_is_open);
        assert_eq!(cut_window, tail);
        assert_eq!(without_line_feed.link(keys.current()), Some(link));
        assert!(without_line_feed.line_is_open);
    }

    #[test]
    fn torn_lines_are_answered_for() {
        let keys = keys(7, &[]);
        let (mut file, link) = lines(&keys, 2);
        file.extend_from_slice(b"{\"time\":\"20");
        let once = Tail::of(&file, true, &keys).unwrap();
        file.extend_from_slice(b"\n{\"ti");
        let twice = Tail::of(&file, true, &keys).unwrap();

        assert_eq!(once.torn_lines(), 1);
        let past_one = link.past_torn(keys.current(), b"{\"time\":\"20");
        assert_eq!(once.link(keys.current()), Some(past_one));
        assert_eq!(twice.link(keys.current()), Some(past_one.past_torn(keys.current(), b"{\"ti")));
        assert_eq!(past_one.seq, 3);
        assert!(once.line_is_open && twice.line_is_open);
    }

    #[test]
    fn an_empty_file_and_one_that_was_changed_at_its_end_have_nothing_to_go_on_from() {
        let keys = keys(7, &[]);
        let (mut file, _) = lines(&keys, 2);
        let at = file.len() / 2 + 10;
        file[at] ^= 1;

        assert_eq!(Tail::of(b"", true, &keys).unwrap().link(keys.current()), None);
        assert_eq!(Tail::of(&file, true, &keys).unwrap().link(keys.current()), None);
    }

    #[test]
    fn a_record_under_a_key_that_is_gone_is_gone_on_from_all_the_same() {
        let (old, new) = (keys(7, &[]), keys(8, &[]));
        let (file, link) = lines(&old, 2);

        assert_eq!(Tail::of(&file, true, &new).unwrap().link(new.current()), Some(link));
    }

    #[test]
    fn another_file_is_left_alone() {
        let keys = keys(7, &[]);
        let (records, _) = lines(&keys, 1);

        assert_eq!(Tail::of(b"127.0.0.1 localhost\n", true, &keys), None);
        assert_eq!(Tail::of(&[&records[..], b"a note\n"].concat(), true, &keys), None);
        assert_eq!(Tail::of(&[b'{'; 100], false, &keys), None);
    }
}
