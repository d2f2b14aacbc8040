//! Everything that a simulation draws at random: streams of numbers, each by seed and name, so that
//! one more draw in one place moves nothing elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of `seed` that is called `name`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self(ChaCha8Rng::from_seed(bytes(seed, name)))
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high.max(low) - low + 1)
    }

    /// True once in `1 / share` times.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        ((self.0.next_u64() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// One of several.
    pub(super) fn of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.between(0, several.len() as u64 - 1) as usize]
    }

    /// Random bytes.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Thirty-two bytes of `seed` that are called `name`.
pub(super) fn bytes(seed: u64, name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_and_name() {
        let numbers = |seed, name| {
            let mut draw = Draw::new(seed, name);
            [(); 8].map(|()| draw.between(3, 9))
        };
        assert_eq!(numbers(1, "a"), numbers(1, "a"));
        assert_ne!(numbers(1, "a"), numbers(1, "b"));
        assert_ne!(numbers(1, "a"), numbers(2, "a"));
        assert!(numbers(1, "a").iter().all(|number| (3..=9).contains(number)));
    }
}
