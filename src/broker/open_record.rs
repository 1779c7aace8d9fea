//! A record that is written whatever becomes of its request.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::Broker;
use crate::audit::Record;

/// The status in the record of a request whose caller hung up before there was an answer; no answer ever has it.
const HUNG_UP: u16 = 499;

/// A record under way. Dropped before it is closed, as when the caller hangs up, it is written all the same: a decision
/// was made, and whoever resets connections shall not go unseen.
pub struct OpenRecord {
    record: Option<Record>,
    broker: Arc<Broker>,
}

impl Broker {
    /// Opens a record: from here on it is written, one way or another.
    pub(super) fn open_record(self: &Arc<Self>, record: Record) -> OpenRecord {
        OpenRecord { record: Some(record), broker: Arc::clone(self) }
    }
}

impl OpenRecord {
    /// The line of the record, for an answer of `status`. Whoever takes it has to write it.
    pub(super) fn close(mut self, status: u16) -> Vec<u8> {
        self.take_line(status).unwrap_or_default()
    }

    fn take_line(&mut self, status: u16) -> Option<Vec<u8>> {
        let record = self.record.take()?;
        Some(record.to_line(self.broker.clock.wall(), status))
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if let Some(line) = self.take_line(HUNG_UP) {
            self.broker.audit.write_unattended(line);
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
