//! How long a client may take.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::server::limits::Connections;

/// How long a client may take over the head of a request behind its first, and over reading its answers.
///
/// The web server has timers for the first head of a connection and for one that is idle. It has none for a further
/// head, and a connection on which one has begun is not idle to it.
pub(super) struct Patience {
    head: Duration,
    unread: Duration,
    /// Set when a head has begun, and left to run when that one has ended: a timer for each request would be felt.
    over_head: Option<OverHead>,
    over_answer: Option<Pin<Box<Sleep>>>,
}

struct OverHead {
    end: Pin<Box<Sleep>>,
    /// How many requests had come before the one that it was set for.
    asked: u32,
}

impl Patience {
    pub(super) fn new(may: Connections) -> Self {
        Self { head: may.request_head, unread: may.unread, over_head: None, over_answer: None }
    }

    /// A request has begun, after so many others, and the client says nothing at the moment.
    ///
    /// Ready when that has been so for too long and the client has taken what it was answered: for once to twice as long
    /// as it may, where the timer was set for an earlier request.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>, asked: u32) -> Poll<()> {
        if asked == 0 || self.over_answer.is_some() {
            return Poll::Pending;
        }
        match &self.over_head {
            // Nobody but the connection's task is ever woken by it, so it need not be polled in order to wake.
            Some(over) if !over.end.is_elapsed() => Poll::Pending,
            Some(over) if over.asked == asked => Poll::Ready(()),
            _ => {
                let end = Box::pin(sleep(self.head));
                self.over_head.insert(OverHead { end, asked }).end.as_mut().poll(cx)
            }
        }
    }

    /// A part of an answer finds no room.
    pub(super) fn is_blocked(&mut self, cx: &mut Context<'_>) {
        let end = self.over_answer.get_or_insert_with(|| Box::pin(sleep(self.unread)));
        // So that it wakes. Whether it is over is asked when the connection is read.
        let _ = end.as_mut().poll(cx);
    }

    /// A part of an answer was taken.
    pub(super) fn has_written(&mut self) {
        self.over_answer = None;
    }

    /// Ready when an answer has been left unread for too long.
    pub(super) fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.over_answer.as_mut().map_or(Poll::Pending, |end| end.as_mut().poll(cx))
    }
}
