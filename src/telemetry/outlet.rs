//! The way of a line to standard error: it is put down in memory, and a thread of its own carries it out.
//!
//! Whoever logs never waits for whoever reads. Where nobody reads, a line beyond what is kept is lost and counted: a
//! full pipe must cost lines, not answers.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

/// Bytes that wait to be carried out: some thousands of lines, seconds of the worst that the throttles let through.
pub(super) const MOST_WAITING_BYTES: usize = 1 << 20;

/// What a pipe takes whole or not at all (`PIPE_BUF`, `pipe(7)`), so that other writers to it do not come between.
const WHOLE_WRITE_BYTES: usize = 4096;

/// Memory that a quiet log keeps.
const KEPT_BYTES: usize = 64 << 10;

/// Where lines are put down. Each call of `write` is one line.
pub(super) struct Outlet {
    waiting: Mutex<Waiting>,
    has_more: Condvar,
    has_carried: Condvar,
    most_bytes: usize,
    on_loss: Box<dyn Fn(u64) + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines that were lost and of which the log does not know yet.
    lost: u64,
    /// The carrier has lines in its hands.
    is_carrying: bool,
}

impl Outlet {
    /// Starts the thread. `on_loss` is called with a number of lines that are lost, by whoever loses them; `tell` by the
    /// thread, with those that were lost since the last time, once lines get through again.
    ///
    /// # Errors
    ///
    /// When the system has no more threads.
    pub(super) fn start(
        sink: impl Write + Send + 'static,
        most_bytes: usize,
        on_loss: impl Fn(u64) + Send + Sync + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let outlet = Arc::new(Self {
            waiting: Mutex::default(),
            has_more: Condvar::new(),
            has_carried: Condvar::new(),
            most_bytes,
            on_loss: Box::new(on_loss),
        });
        let carried = Arc::clone(&outlet);
        thread::Builder::new().name("log".into()).spawn(move || carried.carry_out(sink, tell))?;
        Ok(outlet)
    }

    /// Waits until every line is where it belongs, at most for `limit`, and says whether they are.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let is_busy = |waiting: &mut Waiting| waiting.is_carrying || !waiting.text.is_empty();
        let outcome = self.has_carried.wait_timeout_while(self.waiting(), limit, is_busy);
        !outcome.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        let has_room = waiting.text.len() + line.len() <= self.most_bytes;
        if has_room {
            waiting.text.extend_from_slice(line);
        } else {
            waiting.lost += 1;
        }
        drop(waiting);
        if has_room {
            self.has_more.notify_one();
        } else {
            (self.on_loss)(1);
        }
    }

    fn carry_out(&self, mut sink: impl Write, tell: impl Fn(u64)) {
        let mut text = Vec::new();
        let mut gets_through = true;
        loop {
            let lost = self.take(&mut text, gets_through);
            if lost > 0 {
                // There is room for this line: what waited has just been taken.
                tell(lost);
            }
            let lost = write_lines(&mut sink, &text);
            // A sink that takes nothing must not be told so again and again.
            gets_through = lost == 0;
            if lost > 0 {
                (self.on_loss)(lost);
            }
            text.clear();
            text.shrink_to(KEPT_BYTES);
            let mut waiting = self.waiting();
            waiting.lost += lost;
            waiting.is_carrying = false;
            drop(waiting);
            self.has_carried.notify_all();
        }
    }

    /// Waits for lines and takes them all; and what has been lost, where it can be told.
    fn take(&self, text: &mut Vec<u8>, can_tell: bool) -> u64 {
        let waiting = self.has_more.wait_while(self.waiting(), |waiting| waiting.text.is_empty());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.text, text);
        waiting.is_carrying = true;
        if can_tell { mem::take(&mut waiting.lost) } else { 0 }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nobody who holds it calls anything that panics in the middle of a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines, as many at once as nobody can come between, and says how many the sink did not take.
fn write_lines(sink: &mut impl Write, mut text: &[u8]) -> u64 {
    while !text.is_empty() {
        let (piece, rest) = text.split_at(piece_bytes(text));
        if sink.write_all(piece).is_err() {
            return text.split_inclusive(|byte| *byte == b'\n').count() as u64;
        }
        text = rest;
    }
    0
}

/// How much of `text` is written next: lines that a pipe takes whole together, or one that is longer.
fn piece_bytes(text: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let whole = text.get(..WHOLE_WRITE_BYTES).unwrap_or(text);
    let last_end = whole.iter().rposition(is_end).or_else(|| text.iter().position(is_end));
    last_end.map_or(text.len(), |end| end + 1)
}

/// Standard error, also where whoever started the process left it non-blocking.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match io::stderr().write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&io::stderr(), PollFlags::OUT)], None)?;
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests;
