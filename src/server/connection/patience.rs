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
    /// It was set while the client was busy, and whoever is busy has his time when he no longer is.
    in_vain: bool,
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
            Some(timer) if timer.asked == asked && !timer.in_vain && !is_busy => Poll::Ready(()),
            _ => {
                let end = Box::pin(sleep(self.head));
                let timer = self.timer.insert(Timer { end, asked, in_vain: is_busy });
                // Else it might not be set at all: a task that has done much is put off, and would not come by here again.
                Pin::new(&mut unconstrained(timer.end.as_mut())).poll(cx)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use actix_web::rt::System;

    use super::*;

    const BRIEF: Duration = Duration::from_millis(20);

    /// Whether the time is over at once.
    async fn is_over(patience: &mut Patience, asked: u32, is_busy: bool) -> bool {
        poll_fn(|cx| Poll::Ready(patience.poll_head(cx, asked, is_busy).is_ready())).await
    }

    #[test]
    fn a_client_has_its_time_from_when_it_is_no_longer_busy_with_its_answer() {
        System::new().block_on(async {
            let mut patience = Patience::new(BRIEF);
            patience.hears(1);

            for (is_busy, ends) in [(true, false), (true, false), (false, false), (false, true)] {
                assert_eq!(is_over(&mut patience, 1, is_busy).await, ends);
                sleep(BRIEF * 2).await;
            }
        });
    }

    #[test]
    fn who_has_not_begun_to_ask_or_has_asked_meanwhile_is_not_late() {
        System::new().block_on(async {
            let mut patience = Patience::new(BRIEF);
            assert!(!is_over(&mut patience, 1, false).await);
            patience.hears(1);
            assert!(!is_over(&mut patience, 1, false).await);
            sleep(BRIEF * 2).await;

            // What was heard has become a request, and nothing was heard since.
            assert!(!is_over(&mut patience, 2, false).await);
            patience.hears(2);
            assert!(!is_over(&mut patience, 2, false).await, "a timer of an earlier head ends nothing");
            sleep(BRIEF * 2).await;
            assert!(is_over(&mut patience, 2, false).await);
        });
    }

    #[test]
    fn the_first_head_is_the_web_servers() {
        System::new().block_on(async {
            let mut patience = Patience::new(BRIEF);
            patience.hears(0);

            for _ in 0..2 {
                assert!(!is_over(&mut patience, 0, false).await);
                sleep(BRIEF * 2).await;
            }
        });
    }
}
