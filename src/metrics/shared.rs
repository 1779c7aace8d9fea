//! What looks into the cache that replicas share come to.

use super::Metrics;

/// What one look into the shared store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedLookup {
    /// A fresh entry.
    Hit,
    /// An entry that will not do: no longer fresh, or not fresh enough for what was asked.
    Stale,
    /// The memory that there is no such thing.
    Negative,
    /// Nothing: this replica fetches it, or another does.
    Miss,
    /// Something that nobody of us put there so.
    Rejected,
    /// No answer in time, or none that a store gives.
    Unavailable,
}

impl SharedLookup {
    pub(super) const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Negative, Self::Miss, Self::Rejected, Self::Unavailable];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Miss => "miss",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Metrics {
    /// Counts a look into the cache that replicas share.
    pub fn shared_lookup(&self, result: SharedLookup) {
        if let Some(counter) = self.shared_lookups.get(result as usize) {
            counter.inc();
        }
    }
}
