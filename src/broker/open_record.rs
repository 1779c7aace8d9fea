//! A record that is written whatever becomes of its request.

use std::{
    ops::{Deref, DerefMut},
    thread,
};

use crate::audit::{Desk, Record};

/// The status in the record of a request whose caller hung up before there was an answer; no answer ever has it.
const HUNG_UP: u16 = 499;

/// The status in the record of a request that panicked; the edge answers it.
const PANICKED: u16 = 500;

/// A record under way. Dropped before it is closed, as when the caller hangs up or the request panics, it is written all
/// the same: a decision was made, and whoever resets connections shall not go unseen.
pub struct OpenRecord {
    record: Option<Record>,
    desk: Desk,
}

impl OpenRecord {
    pub(super) fn new(record: Record, desk: Desk) -> Self {
        Self { record: Some(record), desk }
    }

    /// The record itself. Whoever takes it has to write it.
    pub(super) fn close(mut self) -> Record {
        self.record.take().expect("only closing takes the record out, and that consumes this")
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let status = if thread::panicking() { PANICKED } else { HUNG_UP };
        if let Some(record) = self.record.take() {
            self.desk.write_unattended(&record, status);
        }
    }
}

impl Deref for OpenRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        self.record.as_ref().expect("only closing takes the record out, and that consumes this")
    }
}

impl DerefMut for OpenRecord {
    fn deref_mut(&mut self) -> &mut Record {
        self.record.as_mut().expect("only closing takes the record out, and that consumes this")
    }
}
