//! Loss score: how much a peer's update lowered the loss, relative to the loss before, and how far
//! to trust that.
//!
//! Differences are paired: the same sample before and after. What one sample is harder than
//! another cancels, and the spread of the differences bounds the error of their mean. Samples
//! weigh as many tokens as they have.

use wire::{Effect, Evidence, Loss, LossScore};

use crate::rules::{HARM_ERRORS, LOSS_NATS_MIN};

/// Loss scores of one measured peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scores {
    /// On data that it trained on; none if none of it was measured.
    pub(crate) assigned: Option<LossScore>,
    /// On random data.
    pub(crate) random: LossScore,
}

/// What measuring a peer came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measured {
    /// Its scores.
    Scores(Scores),
    /// With its update the loss was no number.
    Diverged,
    /// Nothing usable was measured: not its fault.
    Nothing,
}

/// The scores of a peer with this effect. Samples whose loss was no number before the update tell
/// nothing and are left out.
pub(crate) fn measured(evidence: &Evidence, effect: &Effect) -> Measured {
    let assigned = effect.assigned.iter().map(|pair| (pair.tokens, pair.before, pair.after));
    let random = evidence.random.iter().zip(&effect.random_after);
    let random = random.map(|(probe, after)| (probe.tokens, probe.before, *after));
    match (score(assigned), score(random)) {
        (Err(Diverged), _) | (_, Err(Diverged)) => Measured::Diverged,
        (Ok(assigned), Ok(Some(random))) => Measured::Scores(Scores { assigned, random }),
        (_, Ok(None)) => Measured::Nothing,
    }
}

/// Whether an update of this score raised the loss beyond doubt. Of a single sample there is
/// always doubt.
pub(crate) fn harms(score: LossScore) -> bool {
    score.error.is_some_and(|error| score.mean + HARM_ERRORS * error < 0.0)
}

struct Diverged;

/// Mean and standard error of `(before - after) / mean before`, of tokens, loss before and after.
fn score(samples: impl Iterator<Item = (u32, Loss, Loss)>) -> Result<Option<LossScore>, Diverged> {
    let mut pairs: Vec<(f64, f64, f64)> = Vec::new();
    for (tokens, before, after) in samples {
        if let Some(before) = before.nats() {
            let after = after.nats().ok_or(Diverged)?;
            pairs.push((f64::from(tokens), before, before - after));
        }
    }
    let tokens: f64 = pairs.iter().map(|(tokens, _, _)| tokens).sum();
    let before: f64 = pairs.iter().map(|(tokens, before, _)| tokens * before).sum();
    if before <= tokens * LOSS_NATS_MIN {
        return Ok(None);
    }
    let drop: f64 = pairs.iter().map(|(tokens, _, drop)| tokens * drop).sum();
    let mean_drop = drop / tokens;
    let square = |(tokens, _, drop): &(f64, f64, f64)| {
        let departure = tokens * (drop - mean_drop);
        departure * departure
    };
    let squares: f64 = pairs.iter().map(square).sum();
    let count = pairs.len() as f64;
    let error = (pairs.len() > 1).then(|| (squares * (count / (count - 1.0))).sqrt() / before);
    Ok(Some(LossScore { mean: drop / before, error }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(u32, f64, f64)]) -> Option<LossScore> {
        let losses = samples
            .iter()
            .map(|&(tokens, before, after)| (tokens, Loss::new(before), Loss::new(after)));
        score(losses).ok().flatten()
    }

    #[test]
    fn the_mean_is_over_tokens_and_relative() {
        let score = of(&[(100, 4.0, 3.0), (300, 2.0, 2.0)]).unwrap();
        assert_eq!(score.mean, 100.0 / 1000.0);
    }

    #[test]
    fn the_error_is_that_of_a_mean_of_differences() {
        // Differences 1, 2, 3, 4 nats: deviation sqrt(5/3), error half of it; mean loss before 10.
        let score = of(&[(7, 9.0, 8.0), (7, 10.0, 8.0), (7, 10.0, 7.0), (7, 11.0, 7.0)]).unwrap();
        assert_eq!(score.mean, 0.25);
        assert!((score.error.unwrap() - (5.0_f64 / 3.0).sqrt() / 2.0 / 10.0).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_measured_is_no_score() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(5, f64::NAN, 1.0)]), None);
        assert_eq!(of(&[(5, 0.0, 1.0)]), None);
        assert_eq!(of(&[(5, 2.0, 1.0)]).unwrap().error, None);
        assert!(score([(5, Loss::new(1.0), Loss::new(f64::NAN))].into_iter()).is_err());
    }

    #[test]
    fn harm_needs_more_than_chance() {
        let score = |mean, error| LossScore { mean, error };
        assert!(harms(score(-0.03, Some(0.01))));
        assert!(!harms(score(-0.03, Some(0.02))));
        assert!(!harms(score(-0.03, None)));
        assert!(!harms(score(0.03, Some(0.0))));
    }
}
