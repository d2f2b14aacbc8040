//! Drawing the next token from logits: temperature, then the `top_k` most likely, then the fewest
//! that together have probability `top_p`, then one of them by its share. Pure: the same seed and
//! logits give the same tokens.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::greedy;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 always takes the most likely token.
    pub temperature: f32,
    /// How many of the most likely tokens count; 0 means all.
    pub top_k: usize,
    /// Probability that the tokens that count have together; 1 means all, 0 the most likely one.
    pub top_p: f32,
}

impl Default for Sampling {
    /// From the model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0 }
    }
}

impl Sampling {
    /// The first rule that the numbers break, as `(name, rule)`.
    pub fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Some(("temperature", "0 or above"));
        }
        (!(0.0..=1.0).contains(&self.top_p)).then_some(("top_p", "from 0 to 1"))
    }
}

/// Draws tokens, one after another.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// Tokens that may be drawn, with their share.
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    logit: f32,
    /// Probability, but for a factor that all have in common.
    share: f64,
}

impl Candidate {
    /// The most likely first, of equals the lower token.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// A sampler whose draws follow from `seed`.
    pub fn new(sampling: Sampling, seed: u64) -> Self {
        Self { sampling, rng: ChaCha8Rng::seed_from_u64(seed), candidates: Vec::new() }
    }

    /// The next token. Logits that are no number or minus infinity are never drawn as long as there
    /// are others.
    pub fn draw(&mut self, logits: &[f32]) -> u32 {
        let Sampling { temperature, top_k, top_p } = self.sampling;
        let best = greedy(logits);
        let peak = logits[best as usize];
        if temperature == 0.0 || top_k == 1 || top_p == 0.0 || !peak.is_finite() {
            return best;
        }
        let share =
            |logit: f32| ((f64::from(logit) - f64::from(peak)) / f64::from(temperature)).exp();
        self.candidates.clear();
        let all = (0..).zip(logits).map(|(token, &logit)| Candidate {
            token,
            logit,
            share: share(logit),
        });
        // A share that is no number comes of such a logit.
        self.candidates.extend(all.filter(|candidate| candidate.share > 0.0));
        if top_k > 0 && top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k - 1, Candidate::order);
            self.candidates.truncate(top_k);
        }
        if top_p < 1.0 {
            self.keep_nucleus(f64::from(top_p));
        }
        self.pick()
    }

    /// Keeps the fewest candidates, the most likely first, whose shares reach `top_p` of all.
    fn keep_nucleus(&mut self, top_p: f64) {
        let total: f64 = self.candidates.iter().map(|candidate| candidate.share).sum();
        // All of those below this have less than what may be left out, so sorting them is in vain.
        let least = (1.0 - top_p) * total / self.candidates.len() as f64;
        self.candidates.retain(|candidate| candidate.share >= least);
        self.candidates.sort_unstable_by(Candidate::order);
        let mut sum = 0.0;
        let reached = self.candidates.iter().position(|candidate| {
            sum += candidate.share;
            sum >= top_p * total
        });
        self.candidates.truncate(reached.map_or(self.candidates.len(), |last| last + 1));
    }

    fn pick(&mut self) -> u32 {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        let total: f64 = self.candidates.iter().map(|candidate| candidate.share).sum();
        let mut left = (self.rng.next_u64() >> 11) as f64 * UNIT * total;
        for candidate in &self.candidates {
            if left < candidate.share {
                return candidate.token;
            }
            left -= candidate.share;
        }
        // Rounding may leave a little: it belongs to the last.
        self.candidates.last().map_or(0, |candidate| candidate.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 200_000;

    fn shares(sampling: Sampling, logits: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(sampling, 3);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..DRAWS {
            counts[sampler.draw(logits) as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    #[track_caller]
    fn assert_near(found: &[f64], expected: &[f64]) {
        for (found_one, expected_one) in found.iter().zip(expected) {
            // Five deviations of a count, and nothing at all where nothing may be drawn.
            let spread = (expected_one * (1.0 - expected_one) / DRAWS as f64).sqrt();
            let difference = (found_one - expected_one).abs();
            assert!(difference <= 5.0 * spread, "{found:?} for {expected:?}");
        }
    }

    fn logits(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() + 3.0).collect()
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        let logits = logits(&[0.1, 0.4, 0.2, 0.3]);
        assert_near(&shares(Sampling::default(), &logits), &[0.1, 0.4, 0.2, 0.3]);
        let cold = Sampling { temperature: 0.5, ..Sampling::default() };
        assert_near(&shares(cold, &logits), &[1.0, 16.0, 4.0, 9.0].map(|share| share / 30.0));
    }

    #[test]
    fn top_k_and_top_p_leave_out_the_unlikely_and_of_equals_the_higher_tokens() {
        let uneven = logits(&[0.1, 0.4, 0.2, 0.3]);
        let with = |top_k, top_p| Sampling { top_k, top_p, ..Sampling::default() };
        let two = [0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0];
        assert_near(&shares(with(2, 1.0), &uneven), &two);
        assert_near(&shares(with(0, 0.69), &uneven), &two);
        assert_near(&shares(with(0, 0.75), &uneven), &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]);
        // Of the three that are left, the share of the first two is 7 of 9.
        assert_near(&shares(with(3, 0.7), &uneven), &two);
        assert_near(&shares(with(9, 1.0), &uneven), &[0.1, 0.4, 0.2, 0.3]);
        let equal = [1.0; 8];
        let half =
            |count: usize| (0..8).map(move |at| f64::from(u8::from(at < count)) / count as f64);
        assert_near(&shares(with(3, 1.0), &equal), &half(3).collect::<Vec<_>>());
        assert_near(&shares(with(0, 0.5), &equal), &half(4).collect::<Vec<_>>());
    }

    #[test]
    fn where_one_token_counts_it_is_drawn_whatever_the_seed() {
        let logits = [0.5, 2.0, 2.0, f32::NAN, f32::NEG_INFINITY];
        let only = [
            Sampling { temperature: 0.0, ..Sampling::default() },
            Sampling { top_k: 1, ..Sampling::default() },
            Sampling { top_p: 0.0, ..Sampling::default() },
            Sampling { temperature: 1e-30, top_p: 1e-9, ..Sampling::default() },
        ];
        for (seed, sampling) in only.into_iter().enumerate() {
            let mut sampler = Sampler::new(sampling, seed as u64);
            assert!((0..50).all(|_| sampler.draw(&logits) == 1), "{sampling:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_never_drawn_and_infinity_always() {
        let warm = Sampling { temperature: 1e6, ..Sampling::default() };
        let mut sampler = Sampler::new(warm, 1);
        let logits = [f32::NAN, 1.0, f32::NEG_INFINITY, 0.0];
        let drawn: Vec<u32> = (0..100).map(|_| sampler.draw(&logits)).collect();
        assert!(drawn.contains(&1) && drawn.contains(&3));
        assert!(!drawn.contains(&0) && !drawn.contains(&2));
        assert_eq!(sampler.draw(&[0.0, f32::INFINITY, 1.0]), 1);
        assert_eq!(sampler.draw(&[f32::NAN; 3]), 0);
    }

    #[test]
    fn a_seed_repeats_its_draws_and_another_has_others() {
        let logits: Vec<f32> = (0..1_000).map(|at| (at % 17) as f32 / 5.0).collect();
        let draws = |seed| {
            let sampling = Sampling { top_p: 0.9, ..Sampling::default() };
            let mut sampler = Sampler::new(sampling, seed);
            (0..64).map(|_| sampler.draw(&logits)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let with = |temperature, top_p| Sampling { temperature, top_k: 0, top_p }.broken_rule();
        assert_eq!(with(0.0, 0.0), None);
        assert_eq!(with(f32::NAN, 1.0).unwrap().0, "temperature");
        assert_eq!(with(-0.1, 1.0).unwrap().0, "temperature");
        assert_eq!(with(1.0, 1.1).unwrap().0, "top_p");
        assert_eq!(with(1.0, f32::NAN).unwrap().0, "top_p");
    }
}
