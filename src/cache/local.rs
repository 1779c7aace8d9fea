//! The cache of this process: moka, weighed in bytes.
//!
//! Moka forgets; it never judges. Its clock is its own, so every read asks [`Lifetime::freshness`] again.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, policy::EvictionPolicy, sync::Cache};

use super::{Freshness, Lifetime, Now, Rules};

/// Entries of one kind, by key.
///
/// Account and `[tencent.download]` do not change while the process lives, so they need no place in `K`.
pub struct Local<K, V> {
    entries: Cache<K, Arc<Entry<V>>>,
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
        let entries = Cache::builder()
            .max_capacity(rules.max_bytes)
            // Whoever was just fetched for is served from here: moka's own policy might keep an older entry instead.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, entry: &Arc<Entry<V>>| entry.weight_bytes)
            .expire_after(UntilUseless)
            .build();
        Self { entries, rules }
    }

    /// What may be done with the entry of `key` at `now`.
    pub fn look_up(&self, key: &K, now: Now) -> Lookup<V> {
        let Some(entry) = self.entries.get(key) else {
            return Lookup::Missing;
        };
        match entry.lifetime.freshness(&self.rules, now) {
            Freshness::Fresh { ttl, refresh_is_due } => Lookup::Fresh { entry, ttl, refresh_is_due },
            Freshness::Stale { left, .. } => Lookup::Stale { entry, left },
            Freshness::Gone => Lookup::Missing,
        }
    }

    /// Keeps `entry`, in place of an older one, unless it is of no use to anybody or larger than the whole cache. Says
    /// whether it was kept.
    pub fn insert(&self, key: K, entry: Arc<Entry<V>>) -> bool {
        if entry.useful_for.is_zero() || u64::from(entry.weight_bytes) > self.rules.max_bytes {
            return false;
        }
        self.entries.insert(key, entry);
        true
    }

    /// Drops the entry of `key`, because what it speaks of exists no longer.
    pub fn remove(&self, key: &K) {
        self.entries.invalidate(key);
    }

    /// Bytes that the entries weigh. Does moka's housekeeping first, so it is for a scrape and not for a request.
    pub fn weighed_bytes(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.weighted_size()
    }
}

struct UntilUseless;

impl<K, V> Expiry<K, Arc<Entry<V>>> for UntilUseless {
    fn expire_after_create(&self, _key: &K, entry: &Arc<Entry<V>>, _created_at: Instant) -> Option<Duration> {
        Some(entry.useful_for)
    }

    fn expire_after_update(
        &self,
        _key: &K,
        entry: &Arc<Entry<V>>,
        _updated_at: Instant,
        _duration_until_expiry: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.useful_for)
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
