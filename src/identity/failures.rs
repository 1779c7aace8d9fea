//! Failed authentications, counted per client address: beyond the limit an unknown token is not worth looking at.
//!
//! A token costs tens of microseconds to verify, so a stranger with a list of them could keep every worker busy. Only
//! failures count, so the honest many behind one address are not held up by their number. Hence a count of our own: a
//! `governor` limiter takes from an address before anything is known about its token, and cannot give back.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::FailureLimits;

/// Addresses that are counted one by one. Beyond them strangers share a count, so that memory has an end.
const MOST_ADDRESSES: usize = 65_536;

/// The counts. Touched for tokens that are not known, and never for those that are.
#[derive(Debug)]
pub(super) struct Failures {
    /// The time in which one failure is forgiven.
    interval: Duration,
    /// How far ahead of the clock the failures of an address may run.
    tolerance: Duration,
    /// When all failures of an address will be forgiven (the "theoretical arrival time" of GCRA).
    forgiven_at: Mutex<HashMap<Origin, Instant>>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    V4([u8; 4]),
    /// The first 64 bits: whoever has one address of IPv6 has all of its network.
    V6([u8; 8]),
    /// Everybody for whom there was no room.
    Others,
}

impl Failures {
    pub(super) fn new(limits: FailureLimits) -> Self {
        let interval = Duration::from_secs(1) / limits.requests_per_second.get();
        let tolerance = interval * (limits.burst.get() - 1);
        Self { interval, tolerance, forgiven_at: Mutex::default() }
    }

    /// How long until an unknown token of this address is looked at again; nothing if it is now.
    pub(super) fn pause(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let forgiven_at = self.lock();
        let origin = slot(&forgiven_at, Origin::of(client));
        let ahead = forgiven_at.get(&origin)?.saturating_duration_since(now);
        ahead.checked_sub(self.tolerance).filter(|pause| !pause.is_zero())
    }

    /// Counts a failure. Those that were under way when the limit was reached add nothing to the pause.
    pub(super) fn count(&self, client: IpAddr, now: Instant) {
        let mut forgiven_at = self.lock();
        let mut origin = Origin::of(client);
        if forgiven_at.len() >= MOST_ADDRESSES && !forgiven_at.contains_key(&origin) {
            forgiven_at.retain(|_, moment| *moment > now);
            origin = slot(&forgiven_at, origin);
        }
        let moment = forgiven_at.entry(origin).or_insert(now);
        *moment = ((*moment).max(now) + self.interval).min(now + self.tolerance + self.interval);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Instant>> {
        self.forgiven_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the failures of `origin` are counted: on its own, or with the others where there is no room.
fn slot(forgiven_at: &HashMap<Origin, Instant>, origin: Origin) -> Origin {
    if forgiven_at.len() < MOST_ADDRESSES || forgiven_at.contains_key(&origin) { origin } else { Origin::Others }
}

impl Origin {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        num::NonZeroU32,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Clock, clock::from_unix_seconds};

    const fn limits(requests_per_second: u32, burst: u32) -> FailureLimits {
        let [requests_per_second, burst] = [NonZeroU32::new(requests_per_second), NonZeroU32::new(burst)];
        FailureLimits { requests_per_second: requests_per_second.unwrap(), burst: burst.unwrap() }
    }

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn now() -> Instant {
        Clock::manual(from_unix_seconds(0)).monotonic()
    }

    #[test]
    fn a_burst_of_failures_is_answered_and_then_as_many_a_second_as_are_allowed() {
        let (failures, now) = (Failures::new(limits(50, 200)), now());

        let answered = (0..1000).take_while(|_| failures.pause(CLIENT, now).is_none()).inspect(|_| {
            failures.count(CLIENT, now);
        });

        assert_eq!(answered.count(), 200);
        assert_eq!(failures.pause(CLIENT, now), Some(Duration::from_millis(20)));
        assert_eq!(failures.pause(CLIENT, now + Duration::from_millis(20)), None);
        assert_eq!(failures.pause(NEIGHBOUR, now), None);
    }

    #[test]
    fn a_limit_of_one_lets_one_through() {
        let failures = Failures::new(limits(1, 1));
        let now = now();

        let before = failures.pause(CLIENT, now);
        failures.count(CLIENT, now);

        assert_eq!(before, None);
        assert_eq!(failures.pause(CLIENT, now), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_ipv4_is_ipv4() {
        let (failures, now) = (Failures::new(limits(1, 1)), now());
        let v6 = |network, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));

        failures.count(v6(1, 1), now);
        failures.count(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()), now);

        assert!(failures.pause(v6(1, 2), now).is_some());
        assert!(failures.pause(v6(2, 1), now).is_none());
        assert!(failures.pause(CLIENT, now).is_some());
    }

    #[test]
    fn memory_has_an_end_and_those_beyond_it_share_a_count() {
        let (failures, now) = (Failures::new(limits(1, 1)), now());
        let stranger = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(number));

        for number in 0..MOST_ADDRESSES as u32 + 1000 {
            failures.count(stranger(number), now);
        }
        let beyond = failures.pause(stranger(1 << 30), now);
        let remembered = failures.lock().len();
        failures.count(stranger(1 << 30), now + Duration::from_secs(60));

        assert!(beyond.is_some());
        assert_eq!(remembered, MOST_ADDRESSES + 1);
        assert_eq!(failures.lock().len(), 1);
    }

    proptest! {
        /// Whatever comes when, an address is answered at most `burst` failures and `rate` more for each second.
        #[test]
        fn no_address_gets_more_than_burst_and_rate(gaps_ms in prop::collection::vec(0_u64..50, 1..600)) {
            let failures = Failures::new(limits(20, 10));
            let start = now();
            let mut now = start;
            let mut answered = 0_u32;
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                if failures.pause(CLIENT, now).is_none() {
                    failures.count(CLIENT, now);
                    answered += 1;
                }
            }
            let most = 10.0 + 20.0 * (now - start).as_secs_f64();
            prop_assert!(f64::from(answered) <= most + 1.0);
        }
    }
}
