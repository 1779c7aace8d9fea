//! Turns at what a handshake computes, so that many of them do not keep a worker from the connections that it has.
//!
//! A signature takes a worker from 20 µs (P-256) to 4 ms (RSA of 4096 bits) at a stretch, and whoever opens connections
//! decides how many of them become ready at once. So on each round of the worker's event loop one handshake computes, and
//! whatever else is ready has its round before the next. Nobody holds a turn while waiting for the other side.

use tokio::{sync::Semaphore, task::yield_now};

/// The turns of one worker.
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(1))
    }

    /// Computes when it is this one's turn, first come, first served, and lets the rest of the worker run once before
    /// the next turn.
    pub(super) async fn take<T>(&self, compute: impl FnOnce() -> T) -> T {
        let _turn = self.0.acquire().await;
        let computed = compute();
        yield_now().await;
        computed
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[test]
    fn between_two_turns_whoever_else_is_ready_has_one() {
        let log = Rc::new(RefCell::new(String::new()));
        actix_web::rt::System::new().block_on(async {
            let turns = Rc::new(Turns::new());
            let mut tasks = Vec::new();
            for _ in 0..3 {
                let (turns, log) = (Rc::clone(&turns), Rc::clone(&log));
                tasks.push(actix_web::rt::spawn(async move { turns.take(|| log.borrow_mut().push('h')).await }));
            }
            let others = Rc::clone(&log);
            tasks.push(actix_web::rt::spawn(async move {
                for _ in 0..8 {
                    others.borrow_mut().push('r');
                    yield_now().await;
                }
            }));
            for task in tasks {
                task.await.unwrap();
            }
        });

        let log = log.borrow();
        assert_eq!(log.matches('h').count(), 3, "{log}");
        assert!(!log.contains("hh"), "{log}");
    }
}
