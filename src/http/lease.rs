//! How long a connection may go on once it is open, as far as its listener has a say.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Held by all connections that were let in for one reason. When the reason is gone each ends with its next answer:
/// none is cut, so no request of anybody's is lost.
#[derive(Clone, Debug, Default)]
pub struct Lease(Arc<AtomicBool>);

impl Lease {
    /// From now on every connection that holds it ends with its next answer.
    pub fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether this one does.
    pub fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_for_all_who_hold_it_and_for_nobody_else() {
        let (lease, other) = (Lease::default(), Lease::default());
        let shared = lease.clone();

        lease.end();

        assert!(shared.has_ended());
        assert!(!other.has_ended());
    }
}
