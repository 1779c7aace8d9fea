use proptest::prelude::*;

use super::{
    super::key::{Keys, testing::keys},
    verify::{Broken, Flaw, Place, Unverified, Verified, Verifier},
    *,
};

/// A file of records as a gateway leaves it that was started, killed, given a new key and started again.
struct File {
    bytes: Vec<u8>,
    link: Link,
}

impl File {
    fn new(from: Link) -> Self {
        Self { bytes: Vec::new(), link: from }
    }

    /// A segment of `count` records behind what is there.
    fn segment(mut self, keys: &Keys, number: u64, count: usize) -> Self {
        let mut chain = Chain::begin(keys.current(), number, self.link);
        for record in 0..count {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(format!("{{\"time\":\"{number}.{record}\",\"n\":[]").as_bytes());
            chain.seal(&mut self.bytes, start);
        }
        self.link = chain.link();
        self
    }

    /// The beginning of a record, and a line feed.
    fn torn(mut self, keys: &Keys) -> Self {
        let torn = b"{\"time\":\"17.3\",\"n";
        self.bytes.extend_from_slice(torn);
        self.bytes.push(b'\n');
        self.link = self.link.past_torn(keys.current(), torn);
        self
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        self.bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

fn verify_all(keys: &Keys, files: &[&[u8]], expected: Option<Hash>) -> Result<Verified, Unverified> {
    let mut verifier = Verifier::new(keys, expected);
    for (number, file) in files.iter().enumerate() {
        verifier.begin_file(number).map_err(Unverified::Broken)?;
        for line in file.split_inclusive(|byte| *byte == b'\n') {
            let taken = match line.strip_suffix(b"\n") {
                Some(line) => verifier.line(line),
                None => verifier.unterminated(),
            };
            taken.map_err(Unverified::Broken)?;
        }
    }
    verifier.finish()
}

fn verify(keys: &Keys, file: &[u8]) -> Result<Verified, Unverified> {
    verify_all(keys, &[file], None)
}

fn broken_at(line: u64, flaw: Flaw) -> Result<Verified, Unverified> {
    Err(Unverified::Broken(Broken { place: Place { file: 0, line }, flaw }))
}

/// Two starts, a torn line, another key, and what is in each.
fn sample(keys: &Keys, old: &Keys) -> File {
    File::new(Link::START).segment(old, 1, 1).segment(old, 2, 4).torn(keys).segment(keys, 3, 3).segment(keys, 4, 2)
}

/// Made with Python's `hmac`, as `docs/audit.md` shows.
#[test]
fn a_line_is_what_the_documentation_says() {
    let file = File::new(Link::START).segment(&keys(7, &[]), 0xab, 2);

    assert_eq!(String::from_utf8(file.bytes).unwrap(), include_str!("vector.jsonl"));
}

#[test]
fn a_file_as_it_was_written_is_intact() {
    let (old, keys) = (keys(8, &[]), keys(7, &[8]));
    let file = sample(&keys, &old);

    let verified = verify(&keys, &file.bytes).unwrap();

    assert_eq!(verified.records, 10);
    assert_eq!(verified.segments, 4);
    assert_eq!(verified.head.map(|(_, link)| link), Some(file.link));
    assert_eq!(verified.torn, [Place { file: 0, line: 6 }]);
    assert!(!verified.continues_another);
    assert_eq!(verify(&keys, b"").unwrap(), Verified::default());
}

#[test]
fn rotated_files_are_one_chain_in_their_order_and_each_can_be_read_alone() {
    let keys = keys(7, &[]);
    let first = File::new(Link::START).segment(&keys, 1, 3);
    let second = File::new(first.link.in_new_file()).segment(&keys, 2, 2);
    let third = File::new(second.link.in_new_file()).segment(&keys, 3, 2);
    let all = |files: &[&File]| {
        let files: Vec<&[u8]> = files.iter().map(|file| file.bytes.as_slice()).collect();
        verify_all(&keys, &files, None)
    };
    let missing = |file, line| Err(Unverified::Broken(Broken { place: Place { file, line }, flaw: Flaw::Missing }));

    assert_eq!(all(&[&first, &second, &third]).unwrap().records, 7);
    assert!(all(&[&second, &third]).unwrap().continues_another);
    assert_eq!(all(&[&first, &third]), missing(1, 1));
    assert!(all(&[&third, &second]).is_err());
    let cut = File { bytes: first.lines()[..2].concat(), link: first.link };
    assert_eq!(all(&[&cut, &second]), missing(1, 1));
}

#[test]
fn replicas_that_write_to_one_place_are_told_apart() {
    let keys = keys(7, &[]);
    let [one, other] = [1, 2].map(|number| File::new(Link::START).segment(&keys, number, 3).lines());
    let mixed = [&one[0], &other[0], &other[1], &one[1], &one[2], &other[2]].map(Vec::as_slice).concat();
    let moved = [&one[0], &other[0], &other[2], &one[1], &one[2], &other[1]].map(Vec::as_slice).concat();

    assert_eq!(verify(&keys, &mixed).unwrap().records, 6);
    assert_eq!(verify(&keys, &moved), broken_at(3, Flaw::Missing));
}

#[test]
fn each_kind_of_harm_is_named_with_the_first_bad_line() {
    let (old, keys) = (keys(8, &[]), keys(7, &[8]));
    let file = sample(&keys, &old);
    let lines = file.lines();
    let with = |edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut lines = lines.clone();
        edit(&mut lines);
        verify(&keys, &lines.concat())
    };

    assert_eq!(with(&|lines| lines[2][9] ^= 1), broken_at(3, Flaw::Changed));
    assert_eq!(with(&|lines| drop(lines.remove(2))), broken_at(3, Flaw::Missing));
    assert_eq!(with(&|lines| drop(lines.remove(0))), broken_at(1, Flaw::Missing));
    assert_eq!(with(&|lines| drop(lines.drain(..7))), broken_at(1, Flaw::Missing));
    assert_eq!(with(&|lines| lines.swap(2, 3)), broken_at(3, Flaw::Missing));
    assert_eq!(with(&|lines| lines.insert(4, lines[3].clone())), broken_at(5, Flaw::OutOfOrder));
    assert_eq!(with(&|lines| lines.push(lines[0].clone())), broken_at(12, Flaw::OutOfOrder));
    assert_eq!(with(&|lines| lines.insert(4, b"{}\n".to_vec())), broken_at(5, Flaw::NotARecord));
    assert_eq!(with(&|lines| lines.push(b"\n".to_vec())), broken_at(12, Flaw::NotARecord));
    assert_eq!(with(&|lines| drop(lines.remove(5))), broken_at(6, Flaw::Missing));
    assert_eq!(with(&|lines| lines[5][3] ^= 1), broken_at(6, Flaw::NotARecord));
    assert_eq!(verify(&keys, &file.bytes[..file.bytes.len() - 1]), broken_at(11, Flaw::Torn));
    assert_eq!(with(&|lines| lines[10].truncate(20)), broken_at(11, Flaw::Torn));
}

#[test]
fn a_record_of_somebody_with_another_key_is_none_of_ours() {
    let (theirs, ours) = (keys(8, &[]), keys(7, &[]));
    let file = File::new(Link::START).segment(&theirs, 1, 1);

    assert_eq!(verify(&ours, &file.bytes), broken_at(1, Flaw::UnknownKey(theirs.current().id())));
}

#[test]
fn an_end_that_was_cut_off_shows_where_its_hash_is_known() {
    let (old, keys) = (keys(8, &[]), keys(7, &[8]));
    let file = sample(&keys, &old);
    let cut = file.lines()[..9].concat();
    let expect = |file: &[u8]| verify_all(&keys, &[file], Some(file_head(&sample(&keys, &old))));

    assert!(expect(&file.bytes).is_ok());
    assert!(verify(&keys, &cut).is_ok());
    assert_eq!(expect(&cut), Err(Unverified::NotReached));
}

fn file_head(file: &File) -> Hash {
    file.link.hash
}

/// One thing that somebody without the key may do to a file.
#[derive(Clone, Debug)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    RemoveLine(prop::sample::Index),
    RepeatLine(prop::sample::Index, prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
    Truncate(prop::sample::Index),
    MoveBlock(prop::sample::Index, prop::sample::Index, prop::sample::Index),
}

impl Edit {
    fn apply(&self, file: &[u8]) -> Vec<u8> {
        let mut bytes = file.to_vec();
        let mut lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
        match self {
            Self::Replace(at, with) => bytes[at.index(file.len())] = *with,
            Self::Insert(at, what) => bytes.insert(at.index(file.len() + 1), *what),
            Self::Delete(at) => drop(bytes.remove(at.index(file.len()))),
            Self::Truncate(at) => bytes.truncate(at.index(file.len())),
            Self::RemoveLine(at) => {
                lines.remove(at.index(lines.len()));
                bytes = lines.concat();
            }
            Self::RepeatLine(from, to) => {
                lines.insert(to.index(lines.len() + 1), lines[from.index(lines.len())]);
                bytes = lines.concat();
            }
            Self::SwapLines(one, other) => {
                let count = lines.len();
                lines.swap(one.index(count), other.index(count));
                bytes = lines.concat();
            }
            Self::MoveBlock(from, to, at) => {
                let (from, to) = (from.index(lines.len()), to.index(lines.len()));
                let block: Vec<&[u8]> = lines.drain(from.min(to)..=from.max(to)).collect();
                let at = at.index(lines.len() + 1);
                lines.splice(at..at, block);
                bytes = lines.concat();
            }
        }
        bytes
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, with)| Edit::Replace(at, with)),
        2 => (index(), any::<u8>()).prop_map(|(at, what)| Edit::Insert(at, what)),
        1 => (index(), Just(b'\n')).prop_map(|(at, what)| Edit::Insert(at, what)),
        2 => index().prop_map(Edit::Delete),
        2 => index().prop_map(Edit::RemoveLine),
        2 => (index(), index()).prop_map(|(from, to)| Edit::RepeatLine(from, to)),
        2 => (index(), index()).prop_map(|(one, other)| Edit::SwapLines(one, other)),
        2 => index().prop_map(Edit::Truncate),
        2 => (index(), index(), index()).prop_map(|(from, to, at)| Edit::MoveBlock(from, to, at)),
    ]
}

/// A file of any number of starts, torn lines and keys.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let part = (1..4usize, any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::vec(part, 1..5).prop_map(|parts| {
        let (old, new) = (keys(8, &[]), keys(7, &[]));
        let mut file = File::new(Link::START);
        for (number, (count, is_new, is_torn)) in parts.into_iter().enumerate() {
            let keys = if is_new { &new } else { &old };
            if is_torn {
                file = file.torn(keys);
            }
            file = file.segment(keys, number as u64, count);
        }
        file.bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_edit_of_a_file_is_found_and_no_line_before_it_is_blamed(file in files(), edit in edits()) {
        let keys = keys(7, &[8]);
        let head = verify(&keys, &file).unwrap().head.map(|(_, link)| link.hash);
        let edited = edit.apply(&file);
        if edited == file {
            return Ok(());
        }

        let same = file.iter().zip(&edited).take_while(|(one, other)| one == other);
        let first_changed = 1 + same.filter(|(byte, _)| **byte == b'\n').count() as u64;
        match verify(&keys, &edited) {
            // Whoever closed a torn line answers for its bytes, but only from the record behind it on.
            Err(Unverified::Broken(broken)) => prop_assert!(broken.place.line >= first_changed.saturating_sub(1), "{broken:?} before {first_changed}"),
            Err(Unverified::NotReached) => prop_assert!(false, "nothing was expected"),
            // No chain can show that its end was cut off at a line: it takes a hash that must be there.
            Ok(_) => {
                prop_assert!(file.starts_with(&edited), "{edit:?} was not found");
                prop_assert_eq!(verify_all(&keys, &[&edited], head), Err(Unverified::NotReached));
            }
        }
    }

    #[test]
    fn no_line_makes_the_verifier_stumble(line in prop::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,200}") {
        let keys = keys(7, &[]);
        let mut verifier = Verifier::new(&keys, None);

        prop_assert!(verifier.line(&line).is_err() || verifier.finish().is_err());
        prop_assert!(Sealed::parse(text.as_bytes()).is_none());
    }
}
