//! A bucket in the paused time of tokio, and short words for what the tests do to it.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime},
};

use tokio::time::timeout;

use super::super::{Bucket, Fetch, Limits, Line, Pace, Place, Standing};
use crate::domain::Clock;

pub(super) const LIMITS: Limits = Limits {
    requests_per_second: 20,
    guard: Duration::from_millis(50),
    max_wait: Duration::from_secs(3),
    max_queue: 2000,
    max_queue_per_caller: 600,
};

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn line(caller: &str) -> Line {
    Line::Caller { issuer: "corp".into(), caller: caller.into() }
}

/// A bucket with its driver running in the paused time of tokio, and a clock that follows that time.
pub(super) struct Scene {
    pub(super) clock: Clock,
    pub(super) bucket: Bucket,
}

impl Scene {
    pub(super) fn new(limits: Limits) -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let hands = clock.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(ms(1)).await;
                hands.advance(ms(1));
            }
        });
        let (bucket, driver) = Bucket::new(limits, clock.clone());
        tokio::spawn(async move { driver.run().await });
        Self { clock, bucket }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.monotonic()
    }

    pub(super) fn stand(&self, fetch: &Fetch, line: &Line) -> Standing {
        fetch.handle().stand(line, self.now(), self.now() + Duration::from_secs(30))
    }

    /// A fetch of its own for a waiter in `line`, who has to be admitted.
    pub(super) fn wait(&self, line: &Line) -> (Fetch, Place) {
        let fetch = self.bucket.open_fetch();
        let place = admitted(self.stand(&fetch, line));
        (fetch, place)
    }

    /// Spends every token on calls that are handed over now and answered after `latency`.
    pub(super) async fn exhaust(&self, latency: Duration) {
        let mut grants = Vec::new();
        for _ in 0..self.bucket.0.limits.requests_per_second {
            let (mut fetch, _place) = self.wait(&line("earlier"));
            let mut grant = soon(fetch.granted()).await.expect("somebody stands for it");
            grant.handed_over(self.now());
            grants.push(grant);
        }
        tokio::time::sleep(latency).await;
        for mut grant in grants {
            grant.answered(self.now());
        }
    }

    pub(super) fn assert_nothing_is_held(&self) {
        let mut state = self.bucket.0.lock();
        assert!(state.queue.holds_nothing(), "{:?}", state.queue);
        assert!(state.turns.is_empty());
        let later = self.now() + Duration::from_secs(60);
        let free = (0..100).map_while(|_| state.tokens.grant(Pace::AtOnce, later)).count();
        assert_eq!(free, self.bucket.0.limits.requests_per_second as usize);
    }
}

pub(super) fn admitted(standing: Standing) -> Place {
    match standing {
        Standing::Waiting(place) | Standing::Underway(place) => place,
        other => panic!("not admitted: {other:?}"),
    }
}

/// What comes within a minute of the paused time, or a failure.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("it comes within a minute")
}

/// Whether something has not happened `within` the time given.
pub(super) async fn still_waits<T>(within: Duration, future: impl Future<Output = T>) -> bool {
    timeout(within, future).await.is_err()
}
