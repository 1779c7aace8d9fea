//! The writer: the one thread that owns key, chain and file.
//!
//! It writes a batch at once and says how much of it the kernel has. What it could not write, or wrote for an answer
//! that had become a 503 meanwhile, it owes: such records are written as soon as they can be, saying 503, and trying
//! that is also how it notices that the sink is well again.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    ReopenError, Shared,
    batch::Batch,
    output::Output,
    queue::{Job, Slot},
    tail::Tail,
};
use crate::audit::{
    chain::{Chain, Link},
    key::Keys,
};

/// See the module.
pub(super) struct Writer {
    shared: Arc<Shared>,
    output: Output,
    keys: Keys,
    key_file: Option<PathBuf>,
    /// The number of the segment; no other start has the same.
    number: u64,
    chain: Chain,
    /// Whether the last line in the file lacks its line feed.
    line_is_open: bool,
    /// Records that are still to be written, the oldest first.
    owed: VecDeque<Batch>,
    owed_bytes: usize,
    /// Owed records that found no room.
    lost: usize,
    out: Vec<u8>,
    /// Where each line in `out` ends, and how far the chain is there.
    ends: Vec<(usize, Link)>,
}

/// Time between two tries to write what is owed.
const RETRY: Duration = Duration::from_millis(250);

/// Bytes of owed records; what comes beyond is counted and said, for memory must stay bounded.
const OWED_BYTES: usize = 16 << 20;

/// Bytes of owed records that are tried at once: few, for while the sink is ill every try is in vain.
const PAYMENT_BYTES: usize = 64 << 10;

impl Writer {
    /// A writer that begins a segment behind `tail`, where there is a file with an end.
    pub(super) fn new(
        shared: Arc<Shared>,
        output: Output,
        tail: Option<&Tail>,
        keys: Keys,
        key_file: Option<PathBuf>,
        number: u64,
    ) -> Self {
        let from = tail.and_then(|tail| tail.link(keys.current())).unwrap_or(Link::START);
        let chain = Chain::begin(keys.current(), number, from);
        let mut writer = Self {
            shared,
            output,
            keys,
            key_file,
            number,
            chain,
            line_is_open: false,
            owed: VecDeque::new(),
            owed_bytes: 0,
            lost: 0,
            out: Vec::new(),
            ends: Vec::new(),
        };
        writer.take_up(tail);
        writer
    }

    /// Works until it is closed.
    pub(super) fn run(mut self) {
        loop {
            let patience = (!self.owed.is_empty()).then_some(RETRY);
            match self.shared.queue.pop(patience) {
                Some(Job::Write(batch, slot)) => self.write_batch(batch, &slot),
                None => {
                    self.pay();
                }
                Some(Job::Reopen(done)) => {
                    // Whoever asked may have left; the log has said it all the same.
                    let _ = done.send(self.reopen());
                }
                Some(Job::Close(done)) => {
                    self.pay();
                    self.output.sync();
                    self.shared.queue.close();
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn write_batch(&mut self, mut batch: Batch, slot: &Slot) {
        let is_withheld = slot.is_given_up();
        if is_withheld {
            batch.withhold();
        }
        let written = if self.pay() { self.write(&batch) } else { 0 };
        self.owe(batch.split_off(written));
        if let Some(batch) = slot.land(written, batch)
            && !is_withheld
        {
            // The answers became 503 while the kernel took these: the next lines take them back.
            self.owe(batch);
        }
        self.shared.stalled.store(false, Ordering::Relaxed);
    }

    fn owe(&mut self, mut batch: Batch) {
        batch.withhold();
        if batch.is_empty() {
            return;
        }
        if self.owed_bytes + batch.byte_len() > OWED_BYTES {
            self.lost += batch.len();
            return;
        }
        self.owed_bytes += batch.byte_len();
        match self.owed.back_mut() {
            Some(last) if last.byte_len() + batch.byte_len() <= PAYMENT_BYTES => last.append(&batch),
            _ => self.owed.push_back(batch),
        }
    }

    /// Writes what is owed. Says whether nothing is owed any more.
    fn pay(&mut self) -> bool {
        while let Some(mut batch) = self.owed.pop_front() {
            let written = self.write(&batch);
            let rest = batch.split_off(written);
            self.owed_bytes -= batch.byte_len();
            if !rest.is_empty() {
                self.owed.push_front(rest);
                return false;
            }
        }
        true
    }

    /// Writes a batch. Returns how many of its records, from the first on, the kernel has.
    fn write(&mut self, batch: &Batch) -> usize {
        let before = self.chain.link();
        self.out.clear();
        self.ends.clear();
        if self.line_is_open {
            self.out.push(b'\n');
        }
        for record in batch.records() {
            let start = self.out.len();
            self.out.extend_from_slice(record);
            self.chain.seal(&mut self.out, start);
            self.ends.push((self.out.len(), self.chain.link()));
        }
        let (taken, result) = self.output.write(&self.out);
        let whole = self.ends.partition_point(|(end, _)| *end <= taken);
        self.line_is_open &= whole == 0;
        if result.is_err() {
            self.mend(before, taken, whole);
        }
        self.shared.keep_head(self.chain.link());
        self.say(&result);
        whole
    }

    /// After a write that failed: goes back to the last line that is whole, of `whole` in `out`, and takes what stands
    /// behind it out of the file; where that cannot be done, closes it as torn.
    fn mend(&mut self, before: Link, taken: usize, whole: usize) {
        let (end, link) = whole.checked_sub(1).map_or((0, before), |last| self.ends[last]);
        self.chain.rewind(link);
        if self.output.cut_back(taken - end) {
            return;
        }
        let mut torn = &self.out[end..taken];
        if self.line_is_open
            && let Some(rest) = torn.strip_prefix(b"\n")
        {
            self.line_is_open = false;
            torn = rest;
        }
        if torn.is_empty() {
            return;
        }
        let key = self.keys.current();
        self.number = self.number.wrapping_add(1);
        self.chain = Chain::begin(key, self.number, link.past_torn(key, torn));
        self.line_is_open = true;
    }

    /// Says it in the log when the sink fails, and when it is well again; not with each record.
    fn say(&mut self, result: &io::Result<()>) {
        let failed_before = self.shared.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !failed_before => {
                tracing::error!(%error, "the audit sink refuses records; answers are withheld until it takes them");
            }
            Ok(()) if failed_before => {
                let lost = std::mem::take(&mut self.lost);
                tracing::warn!(lost, "the audit sink takes records again; so many of withheld answers found no room");
            }
            _ => {}
        }
    }

    /// Goes on in the file that has the sink's name by now, under the key that is in the key file by now.
    fn reopen(&mut self) -> Result<(), ReopenError> {
        let read = self.key_file.as_deref().map(Keys::load).transpose()?;
        let keys = read.as_ref().unwrap_or(&self.keys);
        let reopened = self.output.reopen(keys)?;
        let key_is_new = keys.current().id() != self.keys.current().id();
        if let Some(keys) = read {
            self.shared.key.store(Arc::new(keys.current().clone()));
            self.keys = keys;
        }
        let last = self.chain.link();
        let from = match &reopened {
            Some((_, tail)) => tail.link(self.keys.current()).unwrap_or(last.in_new_file()),
            None if key_is_new => last,
            None => return Ok(()),
        };
        self.number = self.number.wrapping_add(1);
        self.chain = Chain::begin(self.keys.current(), self.number, from);
        tracing::info!(seq = last.seq, hash = %last.hash, key_is_new, "the audit goes on after this head");
        if let Some((output, tail)) = reopened {
            self.output.sync();
            self.output = output;
            self.take_up(Some(&tail));
        }
        Ok(())
    }

    fn take_up(&mut self, tail: Option<&Tail>) {
        self.line_is_open = tail.is_some_and(|tail| tail.line_is_open);
        self.shared.keep_head(self.chain.link());
        if let Some(lines) = tail.map(Tail::torn_lines).filter(|lines| *lines > 0) {
            tracing::warn!(lines, "the audit file ended in a torn line; a new segment goes on behind it");
        }
    }
}
