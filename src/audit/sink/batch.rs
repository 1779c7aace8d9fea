//! Records on their way, one behind the other, each without the chain's own fields: those the writer adds.

use crate::audit::record::STATUS_DIGITS;

/// A run of records.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where a record ends, and where its status stands.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    status_at: usize,
}

/// What a record says whose answer has become a 503.
const WITHHELD: &[u8; STATUS_DIGITS] = b"503";

impl Batch {
    /// Adds the record that `render` appends; it returns where the status stands.
    pub(super) fn push(&mut self, render: impl FnOnce(&mut Vec<u8>) -> usize) {
        // A rendering that panicked has left the beginning of a record behind.
        self.bytes.truncate(self.start(self.len()));
        let status_at = render(&mut self.bytes);
        self.marks.push(Mark { end: self.bytes.len(), status_at });
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The records in their order.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| &self.bytes[self.start(index)..self.marks[index].end])
    }

    /// Lets every record say that its answer was withheld.
    pub(super) fn withhold(&mut self) {
        for mark in &self.marks {
            self.bytes[mark.status_at..][..STATUS_DIGITS].copy_from_slice(WITHHELD);
        }
    }

    /// Keeps the first `count` records, and gives the others away.
    pub(super) fn split_off(&mut self, count: usize) -> Self {
        let at = self.start(count);
        let mut marks = self.marks.split_off(count);
        for mark in &mut marks {
            mark.end -= at;
            mark.status_at -= at;
        }
        Self { bytes: self.bytes.split_off(at), marks }
    }

    /// Adds the records of `other` behind those that are here.
    pub(super) fn append(&mut self, other: &Self) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.marks.extend(other.marks.iter().map(|mark| Mark { end: at + mark.end, status_at: at + mark.status_at }));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.marks[before].end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for record in records {
            batch.push(|bytes| {
                let at = bytes.len();
                bytes.extend_from_slice(record.as_bytes());
                at + record.find("200").unwrap()
            });
        }
        batch
    }

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.records().map(|record| std::str::from_utf8(record).unwrap()).collect()
    }

    #[test]
    fn records_come_out_as_they_went_in_and_can_be_withheld() {
        let mut batch = batch(&["{200", "{a200b", "200"]);

        assert_eq!(texts(&batch), ["{200", "{a200b", "200"]);
        batch.withhold();
        assert_eq!(texts(&batch), ["{503", "{a503b", "503"]);
        assert_eq!((batch.len(), batch.byte_len()), (3, 13));
    }

    #[test]
    fn a_batch_is_split_and_joined_and_each_part_still_knows_where_its_statuses_stand() {
        let mut batch = batch(&["{200", "{a200b", "200"]);

        let mut rest = batch.split_off(1);
        rest.withhold();
        assert_eq!(texts(&batch), ["{200"]);
        assert_eq!(texts(&rest), ["{a503b", "503"]);

        batch.append(&rest);
        batch.withhold();
        assert_eq!(texts(&batch), ["{503", "{a503b", "503"]);
        assert!(batch.split_off(3).is_empty());
        assert_eq!(batch.split_off(0).byte_len(), 13);
        assert!(batch.is_empty());
    }
}
