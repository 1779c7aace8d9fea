//! How long a client may take over a request.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep},
};

/// How long a client may take over the head of a request behind its first.
///
/// The web server has timers for the first head of a connection and for one that is idle. It has none for a further
/// head, and a connection on which one has begun is not idle to it.
pub(super) struct Patience {
    head: Duration,
    /// How many requests had come when the client last said something of its own accord, if it ever has.
    heard: Option<u32>,
    /// Set when a head has begun, and left to run when that one has ended: a timer for each request would be felt.
    timer: Option<Timer>,
}

struct Timer {
    end: Pin<Box<Sleep>>,
    /// How many requests had come before the one that it was set for.
    asked: u32,
}

impl Patience {
    pub(super) fn new(head: Duration) -> Self {
        Self { head, heard: None, timer: None }
    }

    /// The client has said something while it was its turn, after so many requests.
    pub(super) fn hears(&mut self, asked: u32) {
        self.heard = Some(asked);
    }

    /// The client says nothing at the moment, though it is its turn.
    ///
    /// Ready when it has begun to ask and takes too long: once to twice as long as it may, where the timer was set for an
    /// earlier request. Not while it is busy with reading what it was answered.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>, asked: u32, is_busy: bool) -> Poll<()> {
        if asked == 0 || self.heard != Some(asked) {
            return Poll::Pending;
        }
        match &self.timer {
            // It has been polled once, and wakes nobody but the connection's task, which is the same all along.
            Some(timer) if !timer.end.is_elapsed() => Poll::Pending,
            Some(timer) if timer.asked == asked && !is_busy => Poll::Ready(()),
            _ => {
                let end = Box::pin(sleep(self.head));
                let timer = self.timer.insert(Timer { end, asked });
                // Else it might not be set at all: a task that has done much is put off, and would not come by here again.
                Pin::new(&mut unconstrained(timer.end.as_mut())).poll(cx)
            }
        }
    }
}
