//! Each caller's own quota, on every request: a token bucket per caller, by governor.
//!
//! It protects the gateway from one caller and tells that caller where it stands. It says nothing of the upstream's
//! quota: governor lets a burst and a refill through within one second, which is right here and wrong there.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{self, Clock as _},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

use crate::domain::{Caller, Clock, FastHashing};

/// What `[rate_limit.per_caller]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimits {
    /// Requests that come back to a caller in a second.
    pub requests_per_second: NonZeroU32,
    /// Requests that a caller who was idle may send at once.
    pub burst: NonZeroU32,
}

/// The quotas of all callers.
pub struct CallerQuota {
    limits: CallerLimits,
    limiter: RateLimiter<Key, DashMapStateStore<Key, FastHashing>, Monotonic, StateInformationMiddleware>,
}

/// Where a caller stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Seconds until the whole burst is there again, rounded up.
    pub full_in_seconds: u64,
}

/// The caller has used up its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Where the caller stands.
    pub allowance: Allowance,
    /// When the next request will be let in.
    pub retry_after: Duration,
}

/// Two issuers may know the same subject, so a caller is both.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    issuer: Arc<str>,
    subject: Arc<str>,
}

impl CallerQuota {
    /// A quota for whoever comes.
    pub fn new(limits: CallerLimits, clock: Clock) -> Self {
        let quota = Quota::per_second(limits.requests_per_second).allow_burst(limits.burst);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), Monotonic(clock));
        Self { limits, limiter }
    }

    /// What the quota grants, for the caller to read.
    pub fn limits(&self) -> CallerLimits {
        self.limits
    }

    /// The time in which a whole burst comes back, in seconds, rounded up.
    pub fn window_seconds(&self) -> u64 {
        self.seconds_for(self.limits.burst.get())
    }

    /// Counts one request of `caller`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when it may not be answered; it is not counted then.
    pub fn take(&self, caller: &Caller) -> Result<Allowance, Exhausted> {
        let key = Key { issuer: Arc::clone(&caller.issuer), subject: Arc::clone(&caller.subject) };
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(self.allowance(state.remaining_burst_capacity())),
            Err(until) => {
                let retry_after = until.wait_time_from(self.limiter.clock().now());
                Err(Exhausted { allowance: self.allowance(0), retry_after })
            }
        }
    }

    /// Forgets callers whose whole burst is there again; to be called now and then.
    pub fn forget_the_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    fn allowance(&self, remaining: u32) -> Allowance {
        let full_in_seconds = self.seconds_for(self.limits.burst.get().saturating_sub(remaining));
        Allowance { remaining, full_in_seconds }
    }

    fn seconds_for(&self, requests: u32) -> u64 {
        u64::from(requests.div_ceil(self.limits.requests_per_second.get()))
    }
}

/// Our clock, as governor asks for it.
#[derive(Clone, Debug)]
struct Monotonic(Clock);

impl clock::Clock for Monotonic {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::from_unix_seconds;

    fn quota(requests_per_second: u32, burst: u32) -> (CallerQuota, Clock) {
        let clock = Clock::manual(from_unix_seconds(0));
        let limits = CallerLimits {
            requests_per_second: NonZeroU32::new(requests_per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        };
        (CallerQuota::new(limits, clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_granted_and_what_remains_is_told() {
        let (quota, _clock) = quota(50, 100);
        let alice = Caller::plain("sso", "alice");

        let remaining: Vec<_> = (0..100).map(|_| quota.take(&alice).unwrap().remaining).collect();
        let exhausted = quota.take(&alice).unwrap_err();

        assert_eq!(remaining, (0..100).rev().collect::<Vec<_>>());
        assert_eq!(exhausted.allowance, Allowance { remaining: 0, full_in_seconds: 2 });
        assert_eq!(exhausted.retry_after, Duration::from_millis(20));
        assert_eq!(quota.window_seconds(), 2);
    }

    #[test]
    fn requests_come_back_at_the_rate() {
        let (quota, clock) = quota(50, 100);
        let alice = Caller::plain("sso", "alice");
        while quota.take(&alice).is_ok() {}

        clock.advance(Duration::from_secs(1));

        assert_eq!((0..60).filter(|_| quota.take(&alice).is_ok()).count(), 50);
    }

    #[test]
    fn one_callers_flood_is_no_others_concern() {
        let (quota, _clock) = quota(1, 1);
        quota.take(&Caller::plain("sso", "alice")).unwrap();

        assert!(quota.take(&Caller::plain("sso", "alice")).is_err());
        assert!(quota.take(&Caller::plain("sso", "bob")).is_ok());
        assert!(quota.take(&Caller::plain("k8s", "alice")).is_ok());
    }

    #[test]
    fn idle_callers_are_forgotten_and_busy_ones_are_not() {
        let (quota, clock) = quota(1, 10);
        quota.take(&Caller::plain("sso", "idle")).unwrap();
        clock.advance(Duration::from_secs(10));
        quota.take(&Caller::plain("sso", "busy")).unwrap();

        quota.forget_the_idle();

        assert_eq!(quota.limiter.len(), 1);
    }
}
