//! Proof of computation: an update lowers the loss more on the data that it was trained on than on
//! other data, or it was not trained on it.
//!
//! The published rule asks each window which of the two is larger, +1 or -1, and averages. Chance
//! alone takes such an average over [`PROOF_MIN`] a quarter of the time. Here each window gives how
//! sure the answer is, from -1 to 1: the same +-1 where it is clear, near 0 where it is not. The
//! average of chance has little more than half the deviation then, and what is real shows earlier.

use wire::LossScore;

use crate::loss_score::Scores;
use crate::rules::{PROOF_MIN, PROOF_RATE};

/// How sure it is that the update was trained on its assigned data: `2 P(assigned > random) - 1`.
pub(crate) fn indicator(scores: &Scores) -> f64 {
    let error_of = |score: LossScore| score.error;
    let Some(assigned) = scores.assigned else { return 0.0 };
    let (Some(a), Some(r)) = (error_of(assigned), error_of(scores.random)) else { return 0.0 };
    let lead = assigned.mean - scores.random.mean;
    if lead == 0.0 {
        return 0.0;
    }
    // Without spread this divides by zero, and the sign of infinity is the answer.
    libm::erf(lead / (2.0 * (a * a + r * r)).sqrt())
}

/// The moving average after one more window.
pub(crate) fn advance(average: f64, indicator: f64) -> f64 {
    (1.0 - PROOF_RATE) * average + PROOF_RATE * indicator
}

/// What of the average counts: nothing below [`PROOF_MIN`].
pub(crate) fn counted(average: f64) -> f64 {
    if average < PROOF_MIN { 0.0 } else { average }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(assigned: f64, random: f64, error: f64) -> Scores {
        let score = |mean| LossScore { mean, error: Some(error) };
        Scores { assigned: Some(score(assigned)), random: score(random) }
    }

    #[test]
    fn three_clear_windows_prove_as_published() {
        let mut average = 0.0;
        for (expected, counts) in [(0.05, false), (0.0975, false), (0.142_625, true)] {
            average = advance(average, indicator(&scores(0.02, 0.01, 0.0)));
            assert!((average - expected).abs() < 1e-15, "{average}");
            assert_eq!(counted(average) > 0.0, counts);
        }
    }

    #[test]
    fn doubt_proves_little_and_nothing_proves_nothing() {
        assert_eq!(indicator(&scores(0.01, 0.02, 0.0)), -1.0);
        assert_eq!(indicator(&scores(0.0, 0.0, 0.0)), 0.0);
        // One error of the difference: 68.3 % of a bell lies within.
        let one_error = indicator(&scores(0.02, 0.02 - 0.01 * 2.0_f64.sqrt(), 0.01));
        assert!((one_error - 0.682_689_492).abs() < 1e-8, "{one_error}");
        let single = Scores { assigned: None, ..scores(0.0, 0.0, 0.1) };
        assert_eq!(indicator(&single), 0.0);
    }
}
