//! How long an answer may be handed out: pure rules over two clocks.
//!
//! Nothing here reads a clock or keeps anything; a moment comes in, a verdict goes out.

use std::time::{Duration, Instant, SystemTime};

use super::Rules;
use crate::domain::Clock;

/// When an answer was fetched and when the first of its URLs dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The time of day when the answer came.
    pub fetched_at: SystemTime,
    /// The same moment on the clock that never steps.
    pub fetched_monotonic: Instant,
    /// The earliest end of validity among all URLs of the answer.
    pub expires_at: SystemTime,
    /// Whether a URL was made with a temporary key, whose end we do not see.
    pub carries_security_token: bool,
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time of day.
    pub wall: SystemTime,
    /// The clock that never steps.
    pub monotonic: Instant,
}

/// What may be done with an answer at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may be handed out.
    Fresh {
        /// Time until it stops being fresh.
        ttl: Duration,
        /// Whether it is time to fetch a successor in the background.
        refresh_is_due: bool,
    },
    /// It may be handed out only while the upstream cannot give a better one.
    Stale {
        /// Time since it stopped being fresh.
        past: Duration,
        /// Time until it may not be handed out at all.
        left: Duration,
    },
    /// It may not be handed out.
    Gone,
}

impl Now {
    /// The present moment of `clock`.
    pub fn of(clock: &Clock) -> Self {
        Self { wall: clock.wall(), monotonic: clock.monotonic() }
    }
}

impl Lifetime {
    /// From the fetch to the end of validity; zero where the answer was dead on arrival.
    pub fn life(&self) -> Duration {
        self.expires_at.duration_since(self.fetched_at).unwrap_or_default()
    }

    /// The lifetime of an answer that another machine fetched, `age` ago by a clock that is neither's.
    ///
    /// That machine's monotonic clock means nothing here, so the fetch is put on ours: as long ago as the clock says
    /// that says more. `None` where ours does not reach back so far.
    pub fn of_another_machine(
        fetched_at: SystemTime,
        expires_at: SystemTime,
        carries_security_token: bool,
        age: Duration,
        now: Now,
    ) -> Option<Self> {
        let by_wall = now.wall.duration_since(fetched_at).unwrap_or_default();
        let fetched_monotonic = now.monotonic.checked_sub(by_wall.max(age))?;
        Some(Self { fetched_at, fetched_monotonic, expires_at, carries_security_token })
    }

    /// The verdict at `now`.
    ///
    /// Both clocks must agree that enough life is left: after a step of the wall clock backwards the monotonic clock
    /// still knows how old the answer is, and after a suspended machine, which stops the monotonic clock, the wall
    /// clock does.
    pub fn freshness(&self, rules: &Rules, now: Now) -> Freshness {
        let life = self.life();
        let floor = floor(life, rules);
        let remaining = self.remaining(life, now);
        if remaining.is_zero() {
            return Freshness::Gone;
        }
        if let (Some(above_floor), Some(under_cap)) = (remaining.checked_sub(floor), self.left_under_cap(rules, now)) {
            let ttl = above_floor.min(under_cap);
            return Freshness::Fresh { ttl, refresh_is_due: ttl <= self.refresh_window(life, floor, rules) };
        }
        match remaining.checked_sub(rules.stale_min_validity.min(floor / 2)) {
            Some(left) => Freshness::Stale { past: self.past(rules, floor, remaining, now), left },
            None => Freshness::Gone,
        }
    }

    /// How long an entry is worth keeping from its fetch on: until not even the stale rule lets it out.
    pub fn useful_for(&self, rules: &Rules) -> Duration {
        let life = self.life();
        life.saturating_sub(rules.stale_min_validity.min(floor(life, rules) / 2))
    }

    /// Time since the fetch, by the clock that says more of it.
    pub fn age(&self, now: Now) -> Duration {
        let by_wall = now.wall.duration_since(self.fetched_at).unwrap_or_default();
        by_wall.max(now.monotonic.saturating_duration_since(self.fetched_monotonic))
    }

    /// Life left, by the clock that says less of it.
    fn remaining(&self, life: Duration, now: Now) -> Duration {
        let by_wall = self.expires_at.duration_since(now.wall).unwrap_or_default();
        let by_age = life.saturating_sub(now.monotonic.saturating_duration_since(self.fetched_monotonic));
        by_wall.min(by_age)
    }

    /// Time left under `cache.token_url_max`; without a security token there is no such cap.
    fn left_under_cap(&self, rules: &Rules, now: Now) -> Option<Duration> {
        if !self.carries_security_token {
            return Some(Duration::MAX);
        }
        rules.token_url_max.checked_sub(self.age(now))
    }

    fn refresh_window(&self, life: Duration, floor: Duration, rules: &Rules) -> Duration {
        let mut fresh_life = life.saturating_sub(floor);
        if self.carries_security_token {
            fresh_life = fresh_life.min(rules.token_url_max);
        }
        rules.refresh_ahead.min(fresh_life / 2)
    }

    fn past(&self, rules: &Rules, floor: Duration, remaining: Duration, now: Now) -> Duration {
        let under_floor = floor.saturating_sub(remaining);
        if !self.carries_security_token {
            return under_floor;
        }
        under_floor.max(self.age(now).saturating_sub(rules.token_url_max))
    }
}

/// The least validity that a fresh answer has left. A quarter of a short life, so that URLs that live a minute are cached
/// at all.
fn floor(life: Duration, rules: &Rules) -> Duration {
    rules.min_validity.min(life / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::from_unix_seconds;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        max_bytes: 64 << 20,
        min_validity: minutes(10),
        refresh_ahead: minutes(30),
        stale_min_validity: minutes(1),
        unknown_lifetime: minutes(1),
        token_url_max: minutes(30),
        negative_ttl: Duration::from_secs(10),
        min_age: Duration::from_secs(10),
        list_ttl: Duration::from_secs(30),
    };

    const fn minutes(count: u64) -> Duration {
        Duration::from_secs(count * 60)
    }

    struct Scene {
        lifetime: Lifetime,
        clock: Clock,
    }

    /// An answer that was just fetched and lives for `life`.
    fn fetched(life: Duration, carries_security_token: bool) -> Scene {
        let clock = Clock::manual(from_unix_seconds(1_551_952_863));
        let now = Now::of(&clock);
        let lifetime = Lifetime {
            fetched_at: now.wall,
            fetched_monotonic: now.monotonic,
            expires_at: now.wall + life,
            carries_security_token,
        };
        Scene { lifetime, clock }
    }

    fn word(freshness: Freshness) -> &'static str {
        match freshness {
            Freshness::Fresh { refresh_is_due: false, .. } => "fresh",
            Freshness::Fresh { refresh_is_due: true, .. } => "fresh, refresh due",
            Freshness::Stale { .. } => "stale",
            Freshness::Gone => "gone",
        }
    }

    #[test]
    fn a_life_passes_through_its_stages_to_the_second() {
        let six_hours = minutes(360);
        let table: &[(Duration, bool, u64, &str)] = &[
            (six_hours, false, 0, "fresh"),
            (six_hours, false, 320 * 60 - 1, "fresh"),
            (six_hours, false, 320 * 60, "fresh, refresh due"),
            (six_hours, false, 350 * 60, "fresh, refresh due"),
            (six_hours, false, 350 * 60 + 1, "stale"),
            (six_hours, false, 359 * 60, "stale"),
            (six_hours, false, 359 * 60 + 1, "gone"),
            (six_hours, false, 400 * 60, "gone"),
            // A life of 8 s: the floor is 2 s, the refresh opens 3 s before it, stale ends with 1 s left.
            (Duration::from_secs(8), false, 2, "fresh"),
            (Duration::from_secs(8), false, 3, "fresh, refresh due"),
            (Duration::from_secs(8), false, 6, "fresh, refresh due"),
            (Duration::from_secs(8), false, 7, "stale"),
            (Duration::from_secs(8), false, 8, "gone"),
            // A temporary key caps freshness at 30 min, whatever the URL says of itself.
            (six_hours, true, 14 * 60, "fresh"),
            (six_hours, true, 15 * 60, "fresh, refresh due"),
            (six_hours, true, 30 * 60, "fresh, refresh due"),
            (six_hours, true, 30 * 60 + 1, "stale"),
            (six_hours, true, 359 * 60 + 1, "gone"),
            (Duration::ZERO, false, 0, "gone"),
        ];

        for (life, token, after_seconds, expected) in table {
            let scene = fetched(*life, *token);
            scene.clock.advance(Duration::from_secs(*after_seconds));

            let verdict = scene.lifetime.freshness(&RULES, Now::of(&scene.clock));

            assert_eq!(word(verdict), *expected, "life {life:?}, token {token}, after {after_seconds} s");
        }
    }

    #[test]
    fn ttl_counts_down_to_the_floor_and_past_counts_from_it() {
        let scene = fetched(minutes(360), false);

        scene.clock.advance(minutes(349));
        let before = scene.lifetime.freshness(&RULES, Now::of(&scene.clock));
        scene.clock.advance(minutes(3));
        let after = scene.lifetime.freshness(&RULES, Now::of(&scene.clock));

        assert_eq!(before, Freshness::Fresh { ttl: minutes(1), refresh_is_due: true });
        assert_eq!(after, Freshness::Stale { past: minutes(2), left: minutes(7) });
    }

    #[test]
    fn a_wall_clock_stepped_back_does_not_make_an_answer_younger() {
        let scene = fetched(minutes(360), false);
        scene.clock.advance(minutes(355));

        scene.clock.step_wall_to(scene.lifetime.fetched_at);

        assert_eq!(word(scene.lifetime.freshness(&RULES, Now::of(&scene.clock))), "stale");
    }

    #[test]
    fn a_wall_clock_stepped_forward_ends_an_answer_at_once() {
        let scene = fetched(minutes(360), false);

        scene.clock.step_wall_to(scene.lifetime.expires_at);

        assert_eq!(scene.lifetime.freshness(&RULES, Now::of(&scene.clock)), Freshness::Gone);
    }

    #[test]
    fn an_answer_of_another_machine_is_as_old_as_the_clock_says_that_says_more() {
        let scene = fetched(minutes(360), false);
        let now = Now::of(&scene.clock);
        let expires_at = now.wall + minutes(360);
        let of = |fetched_at, age| Lifetime::of_another_machine(fetched_at, expires_at, false, age, now);
        let age = |lifetime: Option<Lifetime>| lifetime.map(|lifetime| lifetime.age(now));

        assert_eq!(age(of(now.wall - minutes(5), minutes(1))), Some(minutes(5)));
        assert_eq!(age(of(now.wall - minutes(1), minutes(5))), Some(minutes(5)));
        // That machine's clock is ahead of ours: only the store knows how old it is.
        assert_eq!(age(of(now.wall + minutes(2), minutes(5))), Some(minutes(5)));
    }

    #[test]
    fn an_answer_dead_on_arrival_is_worth_no_room() {
        let mut scene = fetched(minutes(1), false);
        scene.lifetime.expires_at = scene.lifetime.fetched_at - minutes(1);

        assert_eq!(scene.lifetime.freshness(&RULES, Now::of(&scene.clock)), Freshness::Gone);
        assert_eq!(scene.lifetime.useful_for(&RULES), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_state_and_no_clock_lets_out_less_life_than_the_rule_in_force(
            life_ms in 0..30_000_000u64,
            token in any::<bool>(),
            passed_ms in 0..40_000_000u64,
            step_ms in -40_000_000..40_000_000i64,
            min_validity_ms in 0..2_000_000u64,
            stale_ms in 0..200_000u64,
        ) {
            let rules = Rules {
                min_validity: Duration::from_millis(min_validity_ms),
                stale_min_validity: Duration::from_millis(stale_ms),
                ..RULES
            };
            let Scene { lifetime, clock } = fetched(Duration::from_millis(life_ms), token);
            clock.advance(Duration::from_millis(passed_ms));
            let step = Duration::from_millis(step_ms.unsigned_abs());
            clock.step_wall_to(if step_ms < 0 { clock.wall() - step } else { clock.wall() + step });
            let now = Now::of(&clock);

            let floor = rules.min_validity.min(lifetime.life() / 4);
            let left_by_wall = lifetime.expires_at.duration_since(now.wall).unwrap_or_default();
            let left_by_age = lifetime.life().saturating_sub(Duration::from_millis(passed_ms));
            match lifetime.freshness(&rules, now) {
                Freshness::Fresh { ttl, .. } => {
                    prop_assert!(left_by_wall >= floor + ttl && left_by_age >= floor + ttl);
                    prop_assert!(!token || Duration::from_millis(passed_ms) + ttl <= rules.token_url_max);
                    prop_assert!(!left_by_wall.is_zero());
                }
                Freshness::Stale { left, .. } => {
                    let least = rules.stale_min_validity.min(floor / 2);
                    prop_assert!(left_by_wall >= least + left && left_by_age >= least + left && !left_by_wall.is_zero());
                }
                Freshness::Gone => prop_assert!(left_by_wall.min(left_by_age) < floor.max(Duration::from_millis(1))),
            }
        }
    }
}
