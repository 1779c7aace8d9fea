//! The cache of this process: quick_cache, weighed in bytes.
//!
//! It keeps and drops for want of room; it never judges. Every read asks [`Lifetime::freshness`].

use std::{hash::Hash, sync::Arc, time::Duration};

use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{Freshness, Lifetime, Now, Rules};
use crate::domain::FastHashing;

/// Entries of one kind, by key.
///
/// Account and `[tencent.download]` do not change while the process lives, so they need no place in `K`.
pub struct Local<K, V> {
    entries: Cache<K, Arc<Entry<V>>, ByBytes, FastHashing>,
    largest_bytes: u64,
    rules: Rules,
}

/// A value, how long it may be handed out, and what it weighs.
#[derive(Debug)]
pub struct Entry<V> {
    /// What was fetched.
    pub value: V,
    /// How long it may be handed out.
    pub lifetime: Lifetime,
    weight_bytes: u32,
    useful_for: Duration,
}

/// What the cache knows of a key.
#[derive(Debug)]
pub enum Lookup<V> {
    /// An entry that may be handed out now.
    Fresh {
        /// The entry.
        entry: Arc<Entry<V>>,
        /// Time until it stops being fresh.
        ttl: Duration,
        /// Whether it is time to fetch a successor in the background.
        refresh_is_due: bool,
    },
    /// An entry for the case that the upstream cannot give a better one.
    Stale {
        /// The entry.
        entry: Arc<Entry<V>>,
        /// Time until it may not be handed out at all.
        left: Duration,
    },
    /// Nothing that may be handed out.
    Missing,
}

/// Parts of the cache, each with a lock of its own that only inserting takes for itself.
const MOST_SHARDS: usize = 16;

/// The least that a part holds, so that there is room in it for the largest answers.
const SHARD_BYTES: u64 = 4 << 20;

/// What an entry weighs as a rule; so many are remembered by name for a while after they were dropped.
const USUAL_BYTES: u64 = 8 << 10;

/// The part of the room for what was asked for again. The other half is the newest's, whoever is asked for meanwhile:
/// what was just fetched is what will be asked for next.
const HOT: f64 = 0.5;

impl<V> Lookup<V> {
    /// The entry, fresh or stale, where there is one.
    pub fn into_entry(self) -> Option<Arc<Entry<V>>> {
        match self {
            Self::Fresh { entry, .. } | Self::Stale { entry, .. } => Some(entry),
            Self::Missing => None,
        }
    }
}

impl<V> Entry<V> {
    /// An entry of `value_bytes`, to which its own fixed cost is added.
    pub fn new(value: V, lifetime: Lifetime, value_bytes: usize, rules: &Rules) -> Self {
        // An estimate of key, node and bookkeeping; the URLs themselves are two orders of magnitude larger.
        const FIXED_BYTES: usize = 512;
        let weight_bytes = u32::try_from(value_bytes.saturating_add(FIXED_BYTES)).unwrap_or(u32::MAX);
        Self { value, lifetime, weight_bytes, useful_for: lifetime.useful_for(rules) }
    }
}

impl<K, V> Local<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// An empty cache of at most `rules.max_bytes`.
    pub fn new(rules: Rules) -> Self {
        let shards = usize::try_from(rules.max_bytes / SHARD_BYTES).unwrap_or(MOST_SHARDS).clamp(1, MOST_SHARDS);
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(rules.max_bytes)
            .estimated_items_capacity(usize::try_from(rules.max_bytes / USUAL_BYTES).unwrap_or(usize::MAX))
            .hot_allocation(HOT)
            .build()
            .expect("capacities are given, and the part that is hot is one");
        let entries = Cache::with_options(options, ByBytes, FastHashing::default(), DefaultLifecycle::default());
        let largest_bytes = entries.shard_capacity();
        Self { entries, largest_bytes, rules }
    }

    /// What may be done with the entry of `key` at `now`.
    pub fn look_up(&self, key: &K, now: Now) -> Lookup<V> {
        let Some(entry) = self.entries.get(key) else {
            return Lookup::Missing;
        };
        match entry.lifetime.freshness(&self.rules, now) {
            Freshness::Fresh { ttl, refresh_is_due } => Lookup::Fresh { entry, ttl, refresh_is_due },
            Freshness::Stale { left, .. } => Lookup::Stale { entry, left },
            Freshness::Gone => {
                self.entries.remove(key);
                Lookup::Missing
            }
        }
    }

    /// Keeps `entry`, in place of an older one, unless it is of no use to anybody or has no room in its part of the cache.
    /// Says whether it was kept.
    pub fn insert(&self, key: K, entry: Arc<Entry<V>>) -> bool {
        if entry.useful_for.is_zero() || u64::from(entry.weight_bytes) > self.largest_bytes {
            return false;
        }
        self.entries.insert(key, entry);
        true
    }

    /// Drops the entry of `key`, because what it speaks of exists no longer.
    pub fn remove(&self, key: &K) {
        self.entries.remove(key);
    }

    /// Bytes that the entries weigh.
    pub fn weighed_bytes(&self) -> u64 {
        self.entries.weight()
    }
}

#[derive(Clone)]
struct ByBytes;

impl<K, V> Weighter<K, Arc<Entry<V>>> for ByBytes {
    fn weight(&self, _key: &K, entry: &Arc<Entry<V>>) -> u64 {
        u64::from(entry.weight_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    const RULES: Rules = Rules {
        max_bytes: 64 << 10,
        min_validity: Duration::from_secs(600),
        refresh_ahead: Duration::from_secs(1800),
        stale_min_validity: Duration::from_secs(60),
        unknown_lifetime: Duration::from_secs(60),
        token_url_max: Duration::from_secs(1800),
        negative_ttl: Duration::from_secs(10),
        min_age: Duration::from_secs(10),
        list_ttl: Duration::from_secs(30),
    };

    fn entry(clock: &Clock, life: Duration, value_bytes: usize) -> Arc<Entry<&'static str>> {
        let lifetime = Lifetime {
            fetched_at: clock.wall(),
            fetched_monotonic: clock.monotonic(),
            expires_at: clock.wall() + life,
            carries_security_token: false,
        };
        Arc::new(Entry::new("value", lifetime, value_bytes, &RULES))
    }

    #[test]
    fn an_entry_is_served_fresh_then_stale_then_not_at_all() {
        let clock = Clock::manual(from_unix_seconds(1_551_952_863));
        let cache = Local::new(RULES);
        assert!(cache.insert("key", entry(&clock, Duration::from_secs(21_600), 100)));

        assert!(matches!(cache.look_up(&"key", Now::of(&clock)), Lookup::Fresh { refresh_is_due: false, .. }));
        clock.advance(Duration::from_secs(21_000));
        assert!(matches!(cache.look_up(&"key", Now::of(&clock)), Lookup::Fresh { refresh_is_due: true, .. }));
        clock.advance(Duration::from_secs(1));
        assert!(matches!(cache.look_up(&"key", Now::of(&clock)), Lookup::Stale { .. }));
        clock.advance(Duration::from_secs(540));
        assert!(matches!(cache.look_up(&"key", Now::of(&clock)), Lookup::Missing));
    }

    #[test]
    fn what_is_of_no_use_is_not_kept() {
        let clock = Clock::manual(from_unix_seconds(1_551_952_863));
        let cache = Local::new(RULES);

        assert!(!cache.insert("key", entry(&clock, Duration::ZERO, 100)));
        assert!(!cache.insert("key", entry(&clock, Duration::from_secs(21_600), 65 << 10)));
    }

    #[test]
    fn the_newest_entry_is_kept_however_often_the_others_were_read() {
        let clock = Clock::manual(from_unix_seconds(1_551_952_863));
        let cache = Local::new(RULES);
        for key in 0..10 {
            cache.insert(key, entry(&clock, Duration::from_secs(21_600), 6_000));
        }
        for key in (0..10).cycle().take(1_000) {
            cache.look_up(&key, Now::of(&clock));
        }

        cache.insert(99, entry(&clock, Duration::from_secs(21_600), 6_000));
        cache.weighed_bytes();

        assert!(matches!(cache.look_up(&99, Now::of(&clock)), Lookup::Fresh { .. }));
    }

    #[test]
    fn memory_stays_within_the_limit() {
        let clock = Clock::manual(from_unix_seconds(1_551_952_863));
        let cache = Local::new(RULES);

        for key in 0..1_000 {
            cache.insert(key, entry(&clock, Duration::from_secs(21_600), 4_000));
        }

        assert!(cache.weighed_bytes() > 0 && cache.weighed_bytes() <= RULES.max_bytes);
    }
}
