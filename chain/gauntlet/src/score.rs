//! The score that peers are ranked and paid by: skill, proof and effort, each at most 1.
//!
//! The published rule multiplies the rating's ordinal, which may be negative, with the average of
//! the proof; a better proof then makes a bad peer worse, and a newcomer's is 0 whatever it does.
//! Here each factor only ever raises the product.

use crate::plackett_luce::Rating;
use crate::proof;
use crate::rules::{BETA, SKILL_MIN};

/// The score: 0 until the work is proven.
pub(crate) fn score(rating: Rating, average_proof: f64, effort: f64) -> f64 {
    skill(rating) * proof::counted(average_proof) * effort
}

/// From [`SKILL_MIN`] to 1, half-way for a new peer. A rating knows who was better and not by how
/// much: of honest peers one is last, too.
fn skill(rating: Rating) -> f64 {
    SKILL_MIN + (1.0 - SKILL_MIN) / (1.0 + libm::exp(-rating.ordinal() / BETA))
}

/// How much an update of loss score `mean` helped, against the median of those that did: work that
/// was not done is not paid, whatever the rank.
pub(crate) fn effort(mean: f64, helping: Option<f64>) -> f64 {
    match helping {
        Some(helping) if mean > 0.0 => (mean / helping).min(1.0),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_factor_raises_the_score() {
        let rating = |mu| Rating { mu, sigma: 2.0 };
        assert!(score(rating(26.0), 0.5, 0.5) > score(rating(25.0), 0.5, 0.5));
        assert!(score(rating(-90.0), 0.6, 0.5) > score(rating(-90.0), 0.5, 0.5));
        assert!(score(rating(25.0), 0.5, 0.6) > score(rating(25.0), 0.5, 0.5));
        assert_eq!(score(rating(25.0), 0.0999, 1.0), 0.0);
        assert_eq!(skill(Rating::NEW), (1.0 + SKILL_MIN) / 2.0);
    }

    #[test]
    fn effort_is_a_share_of_what_others_did() {
        assert_eq!(effort(0.01, Some(0.04)), 0.25);
        assert_eq!(effort(0.08, Some(0.04)), 1.0);
        assert_eq!(effort(-0.01, Some(0.04)), 0.0);
        assert_eq!(effort(-0.01, None), 0.0);
    }
}
