//! The simulator's only source of randomness: everything that happens follows from one seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded generator.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// One of several.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let at = self.between(0, of.len() as u64 - 1);
        of[usize::try_from(at).expect("an index")].clone()
    }

    /// A time span in microseconds: mostly short, sometimes a hundred times longer.
    pub(crate) fn span(&mut self, typical: u64) -> i64 {
        let scale = if self.percent(4) { 100 } else { 1 };
        i64::try_from(self.between(1, typical * 2) * scale).expect("a short time")
    }
}
