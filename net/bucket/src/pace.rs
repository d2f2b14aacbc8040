//! How long a storage gets and how often it is asked again: time limits that grow with the size,
//! and pauses that grow with the failures.
//!
//! A pause is half fixed, half drawn by a hash of seed, object and attempt: a thousand nodes that
//! failed together do not return together, and a simulation with a fixed seed replays.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::BucketError;

/// Time limits and retries of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time for the answer to a request without a body.
    pub base: Duration,
    /// Rate below which a transfer is given up, in bytes per second.
    pub bytes_per_s_min: u64,
    /// How often one request is made at most.
    pub attempts_max: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub pause: Duration,
    /// Longest pause, unless the storage itself asks for more.
    pub pause_max: Duration,
    /// Longest pause that a storage's `Retry-After` is granted.
    pub retry_after_max: Duration,
    /// Seed of the pauses' random half.
    pub jitter_seed: u64,
}

impl Default for Pace {
    /// 10 s and 256 KiB/s, five attempts with 0.1 to 5 s between them, another seed each time.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(10),
            bytes_per_s_min: 256 << 10,
            attempts_max: 5,
            pause: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(60),
            jitter_seed: RandomState::new().build_hasher().finish(),
        }
    }
}

impl Pace {
    /// Time for a transfer of so many bytes.
    pub fn time_for(&self, bytes: u64) -> Duration {
        self.base + Duration::from_millis(bytes.saturating_mul(1_000) / self.bytes_per_s_min.max(1))
    }

    /// Pause before attempt `attempt + 1` of a request about `label`. `retry_after` is what the
    /// storage asked for.
    pub(crate) fn pause_after(
        &self,
        attempt: u32,
        label: &str,
        retry_after: Option<Duration>,
    ) -> Duration {
        let doubled = self.pause.saturating_mul(1 << attempt.min(20)).min(self.pause_max);
        let jittered = doubled.mul_f64(0.5 + 0.5 * self.draw(attempt, label));
        match retry_after {
            // Never earlier than asked, and spread behind it.
            Some(asked) => asked.min(self.retry_after_max) + jittered / 2,
            None => jittered,
        }
    }

    /// A number in [0, 1).
    fn draw(&self, attempt: u32, label: &str) -> f64 {
        unit_draw(&[&self.jitter_seed.to_le_bytes(), &attempt.to_le_bytes(), label.as_bytes()])
    }

    /// Makes a request until it succeeds, fails for good, or was made `attempts_max` times.
    /// `request` gets the number of the attempt, from 0.
    pub(crate) async fn retry<T, F>(
        &self,
        label: &str,
        mut request: impl FnMut(u32) -> F,
    ) -> Result<T, BucketError>
    where
        F: Future<Output = Result<T, BucketError>>,
    {
        let mut attempt = 0;
        loop {
            match request(attempt).await {
                Err(error) if error.is_transient() && attempt + 1 < self.attempts_max => {
                    let pause = self.pause_after(attempt, label, error.retry_after());
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }
}

/// A number in [0, 1) that is a function of `words` alone.
pub(crate) fn unit_draw(words: &[&[u8]]) -> f64 {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&(word.len() as u64).to_le_bytes()).update(word);
    }
    let mut bits = [0; 8];
    bits.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(bits) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace { jitter_seed: 7, ..Pace::default() }
    }

    #[test]
    fn limits_grow_with_the_size() {
        let pace = pace();
        assert_eq!(pace.time_for(0), pace.base);
        assert_eq!(pace.time_for(1 << 20), pace.base + Duration::from_secs(4));
        assert!(pace.time_for(u64::MAX) > pace.base);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_never_undercut_the_storages_wish() {
        let pace = pace();
        for attempt in 0..40 {
            let whole = pace.pause.saturating_mul(1 << attempt.min(20)).min(pace.pause_max);
            let pause = pace.pause_after(attempt, "object", None);
            assert!(pause >= whole / 2 && pause < whole, "attempt {attempt}: {pause:?}");
        }
        let asked = Duration::from_secs(20);
        assert!(pace.pause_after(0, "object", Some(asked)) >= asked);
        let absurd = pace.pause_after(0, "object", Some(Duration::from_secs(1 << 40)));
        assert!(absurd < pace.retry_after_max + pace.pause_max, "{absurd:?}");
    }

    #[test]
    fn a_seed_gives_one_series_of_pauses() {
        let series = |seed, label: &str| {
            let pace = Pace { jitter_seed: seed, ..pace() };
            (0..4).map(|attempt| pace.pause_after(attempt, label, None)).collect::<Vec<_>>()
        };
        assert_eq!(series(7, "a"), series(7, "a"));
        assert_ne!(series(7, "a"), series(8, "a"));
        assert_ne!(series(7, "a"), series(7, "b"));
    }
}
