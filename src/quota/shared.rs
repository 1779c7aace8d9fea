//! One quota for all replicas, kept in the store that they share.
//!
//! Its scripts grant tokens on the store's own clock; a replica holds a lease there and says when its tokens come back.
//! Without the store a replica has a share of the quota, once its lease has surely lapsed. So it never depends on a
//! replica's clock showing the right time, and never on a message arriving.

pub mod fleet;
pub mod ledger;
pub mod membership;
pub mod protocol;
mod service;

use std::{num::NonZeroU32, time::Duration};

/// The span over which the upstream counts.
const SECOND: Duration = Duration::from_secs(1);

/// The time between two signs of life of a replica.
pub const HEARTBEAT: Duration = Duration::from_millis(100);

/// No request for the quota is of use for longer. It bounds the silence after a loss, and a store whose trips take longer
/// than that for long cannot keep the pace of a quota.
const LONGEST_TRIP: Duration = Duration::from_millis(100);

/// By how much the rates of two clocks may differ for as long as they like. `ntpd`, `timesyncd` and Linux's own correction
/// keep each within 500 ppm; `chronyd` may take 83,333 for a while (`maxslewrate`), and that is what [`SLEW`] is for.
const CLOCK_RATES: f64 = 1e-3;

/// How far the store's clock may run ahead beyond those rates before it counts as set. Tokens stay away for as much longer,
/// so that it costs no exactness; and half a percent of a saturated quota.
const SLEW: Duration = Duration::from_millis(5);

/// How long a call counts: the span over which the upstream does, on a store's clock that may be ahead by [`SLEW`].
const COUNTED: Duration = SECOND.saturating_add(SLEW);

/// What two clocks may come apart over the spans that are waited here.
const DRIFT: Duration = Duration::from_millis(10);

/// What all replicas of one quota have to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Tokens of a bucket, and calls that may arrive upstream in any rolling second.
    pub tokens: u32,
    /// The longest way of a call to the upstream over an open connection.
    pub guard: Duration,
    /// The most replicas that run at a time.
    pub replicas: NonZeroU32,
    /// The longest that a request may be under way to the store; see [`Agreement::new`].
    pub timeout: Duration,
}

impl Agreement {
    /// What follows from the settings. `timeout` is `shared.timeout`, which holds where it is less than a tenth of a
    /// second.
    pub fn new(tokens: u32, guard: Duration, replicas: NonZeroU32, timeout: Duration) -> Self {
        Self { tokens, guard, replicas, timeout: timeout.min(LONGEST_TRIP) }
    }

    /// What a replica may use in a second while it is cut off; zero where there are more replicas than tokens.
    pub fn share(&self) -> u32 {
        self.tokens / self.replicas
    }

    /// Within how long a call arrives, by the clock of a store that may be ahead.
    pub fn arrival(&self) -> Duration {
        self.guard + SLEW
    }

    /// How long a lease lasts: two signs of life may be lost.
    pub fn lease(&self) -> Duration {
        2 * (HEARTBEAT + self.timeout)
    }

    /// From sending a request for a lease on, the time after which the quota is free of everything that was granted
    /// while that lease may have stood.
    ///
    /// The request is carried out within the timeout or not at all; the lease lapses after its length. Within another
    /// length every other member has been told, or its own lease has lapsed: what was granted when there was more to
    /// grant has left by then. It arrives within the guard, and counts for a second.
    pub fn quiet(&self) -> Duration {
        self.timeout + 2 * self.lease() + self.settling()
    }

    /// The time after which whatever a replica sent has arrived and counts no more.
    pub fn settling(&self) -> Duration {
        SECOND + self.guard + DRIFT
    }
}
