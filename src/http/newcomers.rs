//! Connections that have been let in and have not asked for anything yet, so that a drain does not close the door in
//! their faces.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many there are. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Newcomers(Arc<AtomicUsize>);

/// A connection, until it has asked for something or has gone. It is kept with the connection.
#[derive(Debug)]
pub struct Newcomer {
    among: Newcomers,
    has_asked: Cell<bool>,
}

impl Newcomers {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn arrives(&self) -> Newcomer {
        self.0.fetch_add(1, Ordering::Relaxed);
        Newcomer { among: self.clone(), has_asked: Cell::new(false) }
    }
}

impl Newcomer {
    /// The connection carries a request: whoever drains waits for that request from now on.
    pub(super) fn has_asked(&self) {
        if !self.has_asked.replace(true) {
            self.among.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.has_asked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_or_goes_is_no_newcomer_any_more() {
        let newcomers = Newcomers::default();
        let (one, two, three) = (newcomers.arrives(), newcomers.arrives(), newcomers.arrives());

        one.has_asked();
        one.has_asked();
        drop((one, two));

        assert_eq!(newcomers.count(), 1);
        drop(three);
        assert_eq!(newcomers.count(), 0);
    }
}
