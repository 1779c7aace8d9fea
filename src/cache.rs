//! What was fetched, for as long as it is honest to hand it out.
//!
//! It holds and judges; it never fetches.

mod entry;
mod local;
mod negative;
pub mod shared;

use std::time::Duration;

pub use entry::{Freshness, Lifetime, Now};
pub use local::{Entry, Local, Lookup};
pub use negative::Negative;
pub use shared::Shared;

/// What `[cache]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes that all entries together may take, rendered bodies included.
    pub max_bytes: u64,
    /// The least validity that a fresh answer has left; a quarter of the life where that is less.
    pub min_validity: Duration,
    /// How long before that point a refresh in the background may start.
    pub refresh_ahead: Duration,
    /// The least validity that a stale answer has left while the upstream fails.
    pub stale_min_validity: Duration,
    /// The validity assumed for a URL that states none.
    pub unknown_lifetime: Duration,
    /// The longest that a URL made with a temporary key counts as fresh.
    pub token_url_max: Duration,
    /// How long "no such instance" and "no such backup" are remembered.
    pub negative_ttl: Duration,
    /// The age below which `Cache-Control: no-cache` is served from the cache all the same.
    pub min_age: Duration,
    /// How long a listing of instances is remembered.
    pub list_ttl: Duration,
}
