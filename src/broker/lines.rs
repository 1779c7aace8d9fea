//! What the log says of troubles that each request may meet again, at a bounded rate: one endpoint that is down, or one
//! policy with a mistake, must not fill a disk. `docs/logs.md` has the lines.

use std::{sync::Arc, time::Instant};

use super::Failure;
use crate::domain::{Region, Throttle};

/// Lines of each kind in a second, over all workers. What goes unsaid is counted in the next line of its kind.
const PER_SECOND: u32 = 5;

/// The lines of all workers. Regions cannot silence what is said of policies, nor the other way round.
#[derive(Debug)]
pub(super) struct Lines {
    regions: Throttle,
    policies: Throttle,
}

impl Default for Lines {
    fn default() -> Self {
        Self { regions: Throttle::new(PER_SECOND), policies: Throttle::new(PER_SECOND) }
    }
}

impl Lines {
    /// A list of instances was answered without those of this region.
    pub(super) fn region_is_missing(&self, region: &Region, error: &Failure, now: Instant) {
        let Some(suppressed) = self.regions.admit(now) else { return };
        tracing::warn!(%region, %error, suppressed, "a region is missing in a list of instances");
    }

    /// A request was denied, because these policies could not be evaluated for it.
    pub(super) fn policies_failed(&self, policies: &[Arc<str>], now: Instant) {
        let Some(suppressed) = self.policies.admit(now) else { return };
        tracing::error!(?policies, suppressed, "a policy failed to evaluate, so the request was denied");
    }
}
