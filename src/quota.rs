//! The upstream's quota: exact over time, fair between those who wait.
//!
//! One bucket per account, endpoint and action. It never calls the upstream; it says when somebody else may.

pub mod caller;
pub mod fair_queue;
pub mod local;
pub mod shared;
mod tokens;
pub mod window;

use std::time::Duration;

pub use caller::{Allowance, CallerLimits, CallerQuota, Exhausted};
pub use fair_queue::Line;
pub use local::{Abandoned, Bucket, Driver, Fetch, FetchHandle, Grant, Leash, Place, Refusal, RefusalReason, Standing};
pub use shared::{
    Agreement,
    fleet::{Fleet, Heart},
};

/// What `[rate_limit]` says of the upstream's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of a bucket, and calls that may arrive upstream in any rolling second.
    pub requests_per_second: u32,
    /// Added to the second that a token is away, for jitter on the way to the upstream.
    pub guard: Duration,
    /// The longest that a call may wait for its token.
    pub max_wait: Duration,
    /// Places in a bucket's queue, over all callers.
    pub max_queue: usize,
    /// Places in a bucket's queue that one caller may hold.
    pub max_queue_per_caller: usize,
}
