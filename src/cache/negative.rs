//! What the upstream said does not exist, remembered briefly so that a guesser costs one call and not many.

use std::{
    hash::Hash,
    time::{Duration, Instant},
};

use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::domain::FastHashing;

/// Refusals by key, each for `negative_ttl`.
pub struct Negative<K, E> {
    refusals: Cache<K, Remembered<E>, UnitWeighter, FastHashing>,
    ttl: Duration,
}

#[derive(Clone)]
struct Remembered<E> {
    refusal: E,
    since: Instant,
}

/// Enough for every id that a bucket of 20 a second can be asked for within ten minutes.
const MOST_ENTRIES: u32 = 12_000;

impl<K, E> Negative<K, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty memory whose entries last `ttl`; with zero it remembers nothing.
    pub fn new(ttl: Duration) -> Self {
        let refusals = Cache::with(
            MOST_ENTRIES as usize,
            MOST_ENTRIES.into(),
            UnitWeighter,
            FastHashing::default(),
            DefaultLifecycle::default(),
        );
        Self { refusals, ttl }
    }

    /// The refusal of `key`, while it lasts.
    pub fn look_up(&self, key: &K, now: Instant) -> Option<E> {
        let remembered = self.refusals.get(key)?;
        if now.saturating_duration_since(remembered.since) < self.ttl {
            return Some(remembered.refusal);
        }
        self.refusals.remove(key);
        None
    }

    /// Remembers that `key` was refused at `now`.
    pub fn insert(&self, key: K, refusal: E, now: Instant) {
        self.refusals.insert(key, Remembered { refusal, since: now });
    }

    /// Forgets the refusal of `key`, because it exists after all.
    pub fn forget(&self, key: &K) {
        self.refusals.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    #[test]
    fn a_refusal_lasts_its_time_and_no_longer() {
        let clock = Clock::manual(from_unix_seconds(0));
        let negative = Negative::new(Duration::from_secs(10));

        negative.insert("gone", "no such backup", clock.monotonic());
        clock.advance(Duration::from_millis(9_999));
        let just_before = negative.look_up(&"gone", clock.monotonic());
        clock.advance(Duration::from_millis(1));
        let at_the_end = negative.look_up(&"gone", clock.monotonic());

        assert_eq!(just_before, Some("no such backup"));
        assert_eq!(at_the_end, None);
    }

    #[test]
    fn what_appears_after_all_is_forgotten_as_missing() {
        let clock = Clock::manual(from_unix_seconds(0));
        let negative = Negative::new(Duration::from_secs(10));
        negative.insert("late", "no such backup", clock.monotonic());

        negative.forget(&"late");

        assert_eq!(negative.look_up(&"late", clock.monotonic()), None);
    }
}
