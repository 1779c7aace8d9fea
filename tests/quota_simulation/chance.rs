//! Seeded chance: the same seed gives the same run on every machine.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for a simulation, and ten lines instead of a dependency.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A whole number in `[low, high]`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// A duration in `[low, high]`, in whole microseconds; `low` where they are the wrong way round.
    pub(crate) fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros() as u64;
        low + Duration::from_micros(self.between(0, span))
    }

    /// A duration whose distribution has no memory, with the given mean, cut at ten times that.
    pub(crate) fn memoryless(&mut self, mean: Duration) -> Duration {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        mean.mul_f64((-(1.0 - unit).ln()).min(10.0))
    }

    /// True `percent` times in a hundred.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() as u64 - 1) as usize]
    }
}
