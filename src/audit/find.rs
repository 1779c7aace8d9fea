//! Who was given this URL: the records that carry its fingerprint.
//!
//! It believes what it reads; whether that is as it was written is for `verify` to say.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
};

use serde::Deserialize;

use super::{
    chain::Sealed,
    key::{KeyId, Keys},
};

/// A search for some URLs, over any number of lines.
#[derive(Debug)]
pub struct Search<'k> {
    keys: &'k Keys,
    wanted: HashSet<Vec<u8>>,
    given: Vec<(String, Vec<u8>)>,
    withheld: HashSet<String>,
    unknown_keys: BTreeSet<String>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The records of answers that carried one of the URLs, as they stand in the files, in their order.
    pub records: Vec<Vec<u8>>,
    /// Answers that would have carried one, but never left.
    pub withheld: usize,
    /// The names of keys that records were written under and that are not at hand, so that nobody can look there.
    pub unknown_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    status: u16,
    #[serde(borrow)]
    url_fingerprints: Vec<Cow<'a, str>>,
}

/// From here on a status says that no URL left.
const FIRST_ERROR: u16 = 400;

impl<'k> Search<'k> {
    /// A search for `urls`, each exactly as it was handed out.
    pub fn new<'u>(keys: &'k Keys, urls: impl IntoIterator<Item = &'u str>) -> Self {
        let wanted = urls.into_iter().flat_map(|url| keys.iter().map(|key| key.fingerprint(url).to_vec())).collect();
        Self { keys, wanted, given: Vec::new(), withheld: HashSet::new(), unknown_keys: BTreeSet::new() }
    }

    /// Takes the next line. What is no record is passed over.
    pub fn line(&mut self, line: &[u8]) {
        if let Some(key) = Sealed::parse(line).map(|record| record.segment.key()) {
            self.note(key);
        }
        let Ok(record) = serde_json::from_slice::<Line<'_>>(line) else { return };
        if !record.url_fingerprints.iter().any(|fingerprint| self.wanted.contains(fingerprint.as_bytes())) {
            return;
        }
        let event_id = record.event_id.into_owned();
        if record.status < FIRST_ERROR {
            self.given.push((event_id, line.to_vec()));
        } else {
            self.withheld.insert(event_id);
        }
    }

    fn note(&mut self, key: KeyId) {
        if self.keys.get(key).is_none() {
            self.unknown_keys.insert(key.to_string());
        }
    }

    /// What was found. A record that a later one of the same event takes back is none.
    pub fn finish(self) -> Found {
        let Self { mut given, withheld, unknown_keys, .. } = self;
        given.retain(|(event_id, _)| !withheld.contains(event_id));
        Found {
            records: given.into_iter().map(|(_, line)| line).collect(),
            withheld: withheld.len(),
            unknown_keys: unknown_keys.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{fingerprint::Fingerprints, key::testing::keys},
        *,
    };

    fn line(keys: &Keys, event_id: &str, status: u16, urls: &[&str]) -> Vec<u8> {
        let fingerprints = Fingerprints::of(keys.current(), urls.iter().copied());
        let list = fingerprints.as_json();
        format!(r#"{{"event_id":"{event_id}","status":{status},"url_fingerprints":{list},"subject":"al\"ice"}}"#).into()
    }

    #[test]
    fn a_url_leads_to_the_records_of_those_who_were_given_it_under_any_key_at_hand() {
        let (old, new) = (keys(7, &[]), keys(8, &[7]));
        let lines = [
            line(&old, "one", 200, &["https://h/1", "https://h/2"]),
            line(&new, "two", 302, &["https://h/2"]),
            line(&new, "three", 200, &["https://h/3"]),
            b"torn".to_vec(),
        ];
        let mut search = Search::new(&new, ["https://h/2"]);

        lines.iter().for_each(|line| search.line(line));

        let found = search.finish();
        assert_eq!(found.records, lines[..2]);
        assert_eq!(found.withheld, 0);
    }

    #[test]
    fn an_answer_that_was_withheld_gave_nobody_anything() {
        let keys = keys(7, &[]);
        let lines = [
            line(&keys, "taken back", 200, &["https://h/1"]),
            line(&keys, "given", 200, &["https://h/1"]),
            line(&keys, "taken back", 503, &["https://h/1"]),
            line(&keys, "withheld", 503, &["https://h/1"]),
        ];
        let mut search = Search::new(&keys, ["https://h/1"]);

        lines.iter().for_each(|line| search.line(line));

        let found = search.finish();
        assert_eq!(found.records, lines[1..2]);
        assert_eq!(found.withheld, 2);
    }

    #[test]
    fn records_under_a_key_that_is_not_at_hand_are_told_of() {
        let (ours, theirs) = (keys(7, &[]), keys(8, &[]));
        let mut sealed = b"{\"time\":\"now\"".to_vec();
        super::super::chain::Chain::begin(theirs.current(), 1, super::super::chain::Link::START).seal(&mut sealed, 0);
        let mut search = Search::new(&ours, ["https://h/1"]);

        search.line(sealed.trim_ascii_end());

        assert_eq!(search.finish().unknown_keys, [theirs.current().id().to_string()]);
    }
}
