//! What else could have been built, under the same load: the numbers of `docs/adr/0004-quota.md`.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use governor::{
    Quota, RateLimiter, clock::FakeRelativeClock, middleware::NoOpMiddleware, state::InMemoryState, state::NotKeyed,
};
use redis_backup_gateway::{
    domain::Clock,
    quota::window::{Pace, Token, Window},
};

use crate::{chance::Chance, scenario::SECOND};

const TOKENS: usize = 20;
const GUARD: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(1);

/// One way to keep 20 a second. Time only goes forward.
trait Limiter {
    /// Lets one more call out now, or not.
    fn grant(&mut self, now: Duration) -> Option<usize>;
    /// Somebody began to wait, or nobody waits any more.
    fn somebody_waits(&mut self, _waits: bool) {}
    fn sent(&mut self, _call: usize, _way: Way, _now: Duration) {}
    fn answered(&mut self, _call: usize, _now: Duration) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    OpenConnection,
    NewConnection,
}

/// So many in each second of the clock on the wall.
#[derive(Default)]
struct FixedWindow {
    second: u64,
    count: usize,
}

impl Limiter for FixedWindow {
    fn grant(&mut self, now: Duration) -> Option<usize> {
        if self.second != now.as_secs() {
            *self = Self { second: now.as_secs(), count: 0 };
        }
        self.count += 1;
        (self.count <= TOKENS).then_some(0)
    }
}

/// governor's, which is GCRA: a token bucket, and with a burst of one a leaky bucket.
struct Gcra {
    clock: FakeRelativeClock,
    limiter: RateLimiter<
        NotKeyed,
        InMemoryState,
        FakeRelativeClock,
        NoOpMiddleware<<FakeRelativeClock as governor::clock::Clock>::Instant>,
    >,
    moved_to: Duration,
}

impl Gcra {
    fn new(per_second: u32, burst: u32) -> Self {
        let count = |number| NonZeroU32::new(number).expect("the table has no zeros");
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(count(per_second)).allow_burst(count(burst));
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock, moved_to: Duration::ZERO }
    }
}

impl Limiter for Gcra {
    fn grant(&mut self, now: Duration) -> Option<usize> {
        self.clock.advance(now - self.moved_to);
        self.moved_to = now;
        self.limiter.check().is_ok().then_some(0)
    }
}

/// The moments of the last departures, each kept for a while.
struct SlidingLog {
    kept_for: Duration,
    departures: VecDeque<Duration>,
}

impl Limiter for SlidingLog {
    fn grant(&mut self, now: Duration) -> Option<usize> {
        while self.departures.front().is_some_and(|&at| at + self.kept_for <= now) {
            self.departures.pop_front();
        }
        if self.departures.len() == TOKENS {
            return None;
        }
        self.departures.push_back(now);
        Some(0)
    }
}

/// What was built.
struct Returning {
    origin: Instant,
    window: Window,
    tokens: Vec<Token>,
    pace: Pace,
}

impl Returning {
    fn new() -> Self {
        let origin = Clock::manual(SystemTime::UNIX_EPOCH).monotonic();
        let window = Window::new(TOKENS as u32, GUARD, origin);
        Self { origin, window, tokens: Vec::new(), pace: Pace::AtOnce }
    }
}

impl Limiter for Returning {
    fn grant(&mut self, now: Duration) -> Option<usize> {
        let token = self.window.grant(self.pace, self.origin + now)?;
        self.tokens.push(token);
        Some(self.tokens.len() - 1)
    }

    fn somebody_waits(&mut self, waits: bool) {
        self.pace = if waits { Pace::Spaced } else { Pace::AtOnce };
    }

    fn sent(&mut self, call: usize, way: Way, now: Duration) {
        match way {
            Way::OpenConnection => self.window.handed_over(self.tokens[call], self.origin + now),
            Way::NewConnection => self.window.connecting(self.tokens[call]),
        }
    }

    fn answered(&mut self, call: usize, now: Duration) {
        self.window.answered(self.tokens[call], self.origin + now);
        self.window.ended(self.tokens[call], self.origin + now);
    }
}

/// When somebody wants to call, and over what.
#[derive(Clone, Copy)]
enum Load {
    /// All the time, over open connections.
    Saturated,
    /// On and off for up to three seconds each, over open connections.
    OnAndOff,
    /// The same; the first 20 calls after a silence open their connections.
    OnAndOffCold,
}

#[derive(Default)]
struct Seen {
    grants: Vec<Duration>,
    arrivals: Vec<Duration>,
    /// How long each spell of demand took for its first 20 grants.
    first_20: Vec<Duration>,
}

fn play(limiter: &mut dyn Limiter, load: Load, length: Duration) -> Seen {
    let mut chance = Chance::seeded(7);
    let mut seen = Seen::default();
    let mut under_way: Vec<(Duration, usize)> = Vec::new();
    // The window's edges and the demand's must not coincide by construction.
    let mut now = Duration::from_millis(300);
    let (mut demand, mut turns_at) = (true, now + Duration::from_secs(3));
    let (mut spell_began, mut in_spell) = (now, 0);
    while now < length {
        under_way.retain(|&(at, call)| {
            if at <= now {
                limiter.answered(call, at);
            }
            at > now
        });
        if !matches!(load, Load::Saturated) && turns_at <= now {
            demand = !demand;
            turns_at = now + chance.duration(Duration::from_millis(200), Duration::from_secs(3));
            (spell_began, in_spell) = (now, 0);
            limiter.somebody_waits(false);
        }
        while demand && let Some(call) = limiter.grant(now) {
            in_spell += 1;
            if in_spell == TOKENS {
                seen.first_20.push(now - spell_began);
            }
            let cold = matches!(load, Load::OnAndOffCold) && in_spell <= TOKENS;
            let way = if cold { Way::NewConnection } else { Way::OpenConnection };
            let opening = if cold { chance.duration(TICK, Duration::from_millis(400)) } else { Duration::ZERO };
            let arrival = now + opening + chance.duration(Duration::ZERO, GUARD);
            limiter.sent(call, way, now);
            under_way.push((chance.duration(arrival, now + opening + GUARD), call));
            seen.arrivals.push(arrival);
            seen.grants.push(now);
        }
        if demand {
            limiter.somebody_waits(true);
        }
        now += TICK;
    }
    seen.arrivals.sort();
    seen
}

fn most_in_a_second(arrivals: &[Duration]) -> usize {
    let ends = arrivals.iter().map(|&from| arrivals.partition_point(|&at| at < from + SECOND));
    ends.enumerate().map(|(first, end)| end - first).max().unwrap_or(0)
}

/// How long a click waits that is next in line beside a flood, in the median and at most.
fn click_waits(grants: &[Duration]) -> (Duration, Duration) {
    let mut chance = Chance::seeded(11);
    let (from, to) = (Duration::from_secs(5), *grants.last().expect("something was granted"));
    let mut waits: Vec<Duration> = (0..2000)
        .filter_map(|_| {
            let at = chance.duration(from, to);
            grants.get(grants.partition_point(|&grant| grant < at)).map(|&grant| grant - at)
        })
        .collect();
    waits.sort();
    (waits[waits.len() / 2], *waits.last().expect("there were clicks"))
}

fn row(name: &str, limiter: impl Fn() -> Box<dyn Limiter>) -> String {
    let minutes = Duration::from_secs(600);
    let warm = most_in_a_second(&play(&mut *limiter(), Load::OnAndOff, minutes).arrivals);
    let cold = most_in_a_second(&play(&mut *limiter(), Load::OnAndOffCold, minutes).arrivals);
    let full = play(&mut *limiter(), Load::Saturated, minutes);
    let settled = full.grants.iter().filter(|&&at| at >= Duration::from_secs(10)).count() as f64;
    let used = 100.0 * settled / (TOKENS as f64 * (minutes - Duration::from_secs(10)).as_secs_f64());
    let first_20 = full.first_20.first().map_or(f64::NAN, Duration::as_secs_f64);
    let (median, most) = click_waits(&full.grants);
    let (median, most) = (median.as_secs_f64(), most.as_secs_f64());
    format!("| {name} | {warm} | {cold} | {used:.0} % | {first_20:.2} s | {median:.2} s | {most:.2} s |")
}

#[test]
fn the_decision_record_quotes_what_the_alternatives_measure() {
    let log = |kept_for| move || Box::new(SlidingLog { kept_for, departures: VecDeque::new() }) as Box<dyn Limiter>;
    let rows = [
        row("fixed window of a second", || Box::<FixedWindow>::default()),
        row("GCRA, 20 a second, burst 20 (`governor`)", || Box::new(Gcra::new(20, 20))),
        row("GCRA, 10 a second, burst 10", || Box::new(Gcra::new(10, 10))),
        row("leaky bucket (GCRA, 20 a second, burst 1)", || Box::new(Gcra::new(20, 1))),
        row("sliding log of departures", log(SECOND)),
        row("sliding log of departures, guard of 50 ms", log(SECOND + GUARD)),
        row("**tokens that return, spaced** (built)", || Box::new(Returning::new())),
    ];

    let record = include_str!("../../docs/adr/0004-quota.md");

    for row in &rows {
        assert!(record.contains(row.as_str()), "not in the record:\n{}", rows.join("\n"));
    }
}
