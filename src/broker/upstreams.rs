//! The endpoints that can be called: each with its circuit breaker, and a bucket for each action.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    domain::{Clock, Region},
    quota::{Bucket, Driver, Fleet, Limits},
    tencent::{
        ApiAction,
        breaker::{Breaker, CircuitOpen, Pass},
        endpoint::Endpoints,
        error::CallError,
    },
};

/// Every endpoint, made at the start: the set is closed, so a request looks up and never creates.
pub(super) struct Upstreams {
    /// Regions that share an endpoint share its breaker and its buckets.
    by_region: HashMap<Region, Arc<Upstream>>,
}

/// A call that was let through. Dropped before anything was learnt of it, it gives its pass back: a probe whose token was
/// taken away must not keep the circuit open for the others.
#[must_use = "the endpoint's circuit learns from what became of the call"]
pub(super) struct Entry<'a> {
    upstream: &'a Upstream,
    pass: Pass,
}

impl Entry<'_> {
    /// Learns from what came of the call.
    pub(super) fn learn(self, failure: Option<&CallError>, now: Instant) {
        self.upstream.learn(&self.pass, failure, now);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // What was learnt has changed the state that the pass is of, or left nothing to give back.
        self.upstream.breaker().withdrawn(&self.pass);
    }
}

/// One endpoint.
pub(super) struct Upstream {
    /// Its host, for spans.
    pub(super) host: Arc<str>,
    breaker: Mutex<Breaker>,
    buckets: [(ApiAction, Bucket); ApiAction::ALL.len()],
}

impl Upstreams {
    /// The endpoints of `regions`, and what must run for their buckets to be served. Those who share the quota are told
    /// apart from others by `fleet`.
    pub(super) fn new(
        endpoints: &Endpoints,
        regions: &[Region],
        limits: Limits,
        fleet: Option<&Fleet>,
        clock: &Clock,
    ) -> (Self, Vec<Driver>) {
        let mut drivers = Vec::new();
        let mut by_endpoint = HashMap::new();
        let by_region = regions.iter().map(|region| {
            let endpoint = endpoints.of(region);
            let host = endpoint.host_header().into();
            let name = endpoint.to_string();
            let upstream = by_endpoint.entry(endpoint).or_insert_with(|| {
                let buckets = ApiAction::ALL.map(|action| {
                    let (bucket, driver) = match fleet {
                        Some(fleet) => {
                            Bucket::shared(limits, clock.clone(), fleet, &format!("{name} {}", action.as_str()))
                        }
                        None => Bucket::new(limits, clock.clone()),
                    };
                    drivers.push(driver);
                    (action, bucket)
                });
                Arc::new(Upstream { host, breaker: Mutex::default(), buckets })
            });
            (region.clone(), Arc::clone(upstream))
        });
        (Self { by_region: by_region.collect() }, drivers)
    }

    /// Places in the queues of `action`, over all endpoints.
    pub(super) fn queue_length(&self, action: ApiAction) -> usize {
        let mut counted = Vec::new();
        let mut length = 0;
        for upstream in self.by_region.values() {
            if !counted.iter().any(|known| Arc::ptr_eq(known, upstream)) {
                length += upstream.bucket(action).queue_length();
                counted.push(Arc::clone(upstream));
            }
        }
        length
    }

    /// Whether the circuit of an endpoint is open.
    pub(super) fn any_is_open(&self) -> bool {
        self.by_region.values().any(|upstream| upstream.breaker().is_open())
    }

    /// The endpoint that answers for `region`.
    pub(super) fn of(&self, region: &Region) -> &Upstream {
        self.by_region.get(region).expect("only configured regions get past the edge")
    }
}

impl Upstream {
    /// The bucket that calls of `action` draw on.
    pub(super) fn bucket(&self, action: ApiAction) -> &Bucket {
        let bucket = self.buckets.iter().find(|(of, _)| *of == action);
        &bucket.expect("there is a bucket for every action").1
    }

    /// Whether a call could go through at `now`; asked before anybody stands in line for it.
    pub(super) fn check(&self, now: Instant) -> Result<(), CircuitOpen> {
        self.breaker().check(now)
    }

    /// Lets a call through at `now`, as the probe where the circuit was open.
    pub(super) fn enter(&self, now: Instant) -> Result<Entry<'_>, CircuitOpen> {
        let pass = self.breaker().enter(now)?;
        Ok(Entry { upstream: self, pass })
    }

    fn learn(&self, pass: &Pass, failure: Option<&CallError>, now: Instant) {
        let mut breaker = self.breaker();
        let was_open = breaker.is_open();
        match failure {
            Some(error) if error.is_outage() => breaker.failed(pass, now),
            _ => breaker.answered(pass),
        }
        match (was_open, breaker.is_open()) {
            (false, true) => tracing::error!("the upstream failed repeatedly; the circuit opens"),
            (true, false) => tracing::info!("the upstream answers again; the circuit closes"),
            _ => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// One whose circuit is open, and due for a probe.
    fn due_for_a_probe(clock: &Clock) -> Upstream {
        let limits = Limits {
            requests_per_second: 20,
            guard: Duration::from_millis(50),
            max_wait: Duration::from_secs(3),
            max_queue: 10,
            max_queue_per_caller: 10,
        };
        let buckets = ApiAction::ALL.map(|action| (action, Bucket::new(limits, clock.clone()).0));
        let upstream = Upstream { host: "redis.example".into(), breaker: Mutex::default(), buckets };
        while let Ok(entry) = upstream.enter(clock.monotonic()) {
            entry.learn(Some(&CallError::Status(503)), clock.monotonic());
        }
        clock.advance(upstream.check(clock.monotonic()).unwrap_err().retry_after);
        upstream
    }

    #[test]
    fn a_probe_whose_token_is_taken_away_leaves_its_place_to_the_next_at_once() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let upstream = due_for_a_probe(&clock);

        let probe = upstream.enter(clock.monotonic()).unwrap();
        let meanwhile = upstream.check(clock.monotonic());
        drop(probe);
        let next = upstream.enter(clock.monotonic()).expect("it may go");
        next.learn(None, clock.monotonic());

        assert!(meanwhile.is_err());
        assert!(!upstream.breaker().is_open());
    }

    #[test]
    fn what_was_learnt_of_a_probe_is_not_given_back() {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let upstream = due_for_a_probe(&clock);

        let probe = upstream.enter(clock.monotonic()).unwrap();
        probe.learn(Some(&CallError::Status(503)), clock.monotonic());

        assert!(upstream.enter(clock.monotonic()).is_err());
    }
}
