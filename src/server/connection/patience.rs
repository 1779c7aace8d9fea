//! How long a client may take.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::server::limits::Connections;

/// How long a client may take over a request behind its first, and over reading its answers.
///
/// The web server has timers for the first head of a connection and for one that is idle. It has none for a further
/// head, and takes a connection on which one has begun for idle no longer.
pub(super) struct Patience {
    head: Duration,
    idle: Duration,
    unread: Duration,
    /// Set when a head has begun, and left to run when that one has ended: a timer for each request would be felt.
    over_request: Option<OverRequest>,
    over_answer: Option<Pin<Box<Sleep>>>,
}

struct OverRequest {
    end: Pin<Box<Sleep>>,
    /// What it was set for: the request behind so many, and whether that had begun.
    of: (u32, bool),
}

impl Patience {
    pub(super) fn new(may: Connections) -> Self {
        let Connections { request_head: head, keep_alive: idle, unread, .. } = may;
        Self { head, idle, unread, over_request: None, over_answer: None }
    }

    /// It is the client's turn, after so many requests; it says nothing at the moment, and the next one has begun or has
    /// not, as far as is known: its beginning may have come in one piece with the request before it.
    ///
    /// Ready when that has been so for too long, and the client has taken what it was answered: for once to twice as long as it may, where the timer was set for an
    /// earlier request.
    pub(super) fn poll_client(&mut self, cx: &mut Context<'_>, asked: u32, has_begun: bool) -> Poll<()> {
        if asked == 0 || self.over_answer.is_some() {
            return Poll::Pending;
        }
        let of = (asked, has_begun);
        if let Some(over) = &self.over_request {
            // Nobody but the connection's task is ever woken by it, so it need not be asked in order to wake.
            match over.end.is_elapsed() {
                true if over.of == of => return Poll::Ready(()),
                false if over.of == of || over.of.1 => return Poll::Pending,
                _ => {}
            }
        }
        let end = Box::pin(sleep(if has_begun { self.head } else { self.idle }));
        self.over_request.insert(OverRequest { end, of }).end.as_mut().poll(cx)
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
