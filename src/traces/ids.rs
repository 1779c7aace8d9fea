//! Ids of traces and spans, without asking the system each time.
//!
//! They have to be different, not secret: a worker begins at a random place of its own, and goes on from there by the
//! steps of SplitMix64, which visits each number once.

use std::cell::Cell;

use crate::domain::{SpanId, TraceId};

/// A worker's source of ids.
#[derive(Debug)]
pub(super) struct Ids {
    worker: u64,
    state: Cell<u64>,
}

impl Ids {
    /// A source that begins at a random place; at one that others may have, too, where the system gives no randomness.
    pub(super) fn new() -> Self {
        Self { worker: getrandom::u64().unwrap_or_default(), state: Cell::new(getrandom::u64().unwrap_or_default()) }
    }

    pub(super) fn trace(&self) -> TraceId {
        TraceId::from_bits(u128::from(self.worker) << 64 | u128::from(self.next()))
    }

    pub(super) fn span(&self) -> SpanId {
        SpanId::from_bits(self.next())
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_steps_are_those_of_the_published_generator() {
        let ids = Ids { worker: 0, state: Cell::new(1_234_567) };

        let steps = [(); 3].map(|()| ids.next());

        assert_eq!(steps, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let (one, other) = (Ids::new(), Ids::new());

        let traces: HashSet<_> = (0..1000).flat_map(|_| [one.trace(), other.trace()]).collect();
        let spans: HashSet<_> = (0..1000).flat_map(|_| [one.span(), other.span()]).collect();

        assert_eq!((traces.len(), spans.len()), (2000, 2000));
    }
}
