//! Ratings: every window is one match, in which peers finish in the order of their loss scores.
//!
//! The Plackett-Luce model of Weng and Lin (2011), "A Bayesian Approximation Method for Online
//! Ranking", algorithm 4, with their rule for ties: a peer scores `1 - p` against itself and `-p`
//! against each that it ties with. The library of the published run scores `1 - p` against those
//! too, so that many who fail together are hardly punished, or rewarded. And who does not deliver
//! has no match of its own with others who do not: it loses to all who do.

use serde::{Deserialize, Serialize};

use crate::rules::{BETA, KAPPA, MU, SIGMA, TAU};

/// A peer's skill as a bell over the possible values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rating {
    /// Its mean.
    pub(crate) mu: f64,
    /// Its deviation, at most [`SIGMA`].
    pub(crate) sigma: f64,
}

impl Rating {
    /// The rating of a peer that nothing is known of.
    pub(crate) const NEW: Self = Self { mu: MU, sigma: SIGMA };

    /// The skill that the peer has almost surely; 0 for a new one.
    pub(crate) fn ordinal(self) -> f64 {
        self.mu - 3.0 * self.sigma
    }
}

/// Who takes part in a match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Player {
    /// Its rating before.
    pub(crate) rating: Rating,
    /// Its loss score: the larger, the better. None if it delivered nothing that counts.
    pub(crate) score: Option<f64>,
}

/// The ratings after a match, in the order of `players`. Without two players, or without one that
/// delivered, there is no match. A score that is no number counts as none.
pub(crate) fn rate(players: &[Player]) -> Vec<Rating> {
    let before = || players.iter().map(|player| player.rating).collect();
    let finished = |at: &usize| players[*at].score.is_some_and(|score| !score.is_nan());
    let mut order: Vec<usize> = (0..players.len()).filter(finished).collect();
    if players.len() < 2 || order.is_empty() {
        return before();
    }
    let present = order.len();
    order.extend((0..players.len()).filter(|at| !finished(at)));
    // Worst first, and equals in an order that does not depend on who they are: sums are the same
    // bits however seats are numbered.
    let key = |at: usize| {
        let Player { rating, score } = players[at];
        (score.filter(|_| finished(&at)), rating)
    };
    order.sort_by(|&a, &b| {
        let ((score_a, a), (score_b, b)) = (key(a), key(b));
        let by_score = match (score_a, score_b) {
            (Some(a), Some(b)) if a == b => std::cmp::Ordering::Equal,
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        by_score.then(a.mu.total_cmp(&b.mu)).then(a.sigma.total_cmp(&b.sigma))
    });
    let ranks = ranks(&order, &key);
    let sorted: Vec<Rating> = order.iter().map(|at| players[*at].rating).collect();
    let mut after: Vec<Rating> = before();
    for (place, rating) in updated(&sorted, &ranks, players.len() - present).into_iter().enumerate()
    {
        after[order[place]] = rating;
    }
    after
}

/// For each place, worst first, the first place of those that tie with it and the one after them.
fn ranks(order: &[usize], key: &impl Fn(usize) -> (Option<f64>, Rating)) -> Vec<(usize, usize)> {
    let ties = order.chunk_by(|a, b| key(*a).0 == key(*b).0);
    let mut first = 0;
    let mut ranks = Vec::with_capacity(order.len());
    for tied in ties {
        let end = first + tied.len();
        ranks.extend(std::iter::repeat_n((first, end), tied.len()));
        first = end;
    }
    ranks
}

/// Ratings after a match, worst first; the first `absent` did not deliver.
fn updated(ratings: &[Rating], ranks: &[(usize, usize)], absent: usize) -> Vec<Rating> {
    let variance = |rating: &Rating| rating.sigma * rating.sigma + TAU * TAU;
    let c = ratings.iter().map(|rating| variance(rating) + BETA * BETA).sum::<f64>().sqrt();
    let update = |(place, rating): (usize, &Rating)| {
        let (omega, delta) = gains(ratings, ranks, absent, place, c);
        let squared = variance(rating);
        let sigma = squared.sqrt();
        let mu = rating.mu + omega * squared / c;
        let shrunk = (1.0 - delta * (squared / (c * c)) * (sigma / c)).max(KAPPA);
        Rating { mu, sigma: (sigma * shrunk.sqrt()).min(SIGMA) }
    };
    ratings.iter().enumerate().map(update).collect()
}

/// How far the player at `place` moves, and how much surer its rating becomes.
fn gains(
    ratings: &[Rating],
    ranks: &[(usize, usize)],
    absent: usize,
    place: usize,
    c: f64,
) -> (f64, f64) {
    let (mut omega, mut delta) = (0.0, 0.0);
    // Sum over all who finished no better than q of e^(mu_s / c), over e^(mu_i / c): at least 1
    // from this player's own rank on, whatever the ratings are.
    let mut below = 0.0;
    let mut first = 0;
    while first < ratings.len() {
        let (_, end) = ranks[first];
        for s in first..end {
            below += libm::exp((ratings[s].mu - ratings[place].mu) / c);
        }
        if first >= absent && end > place {
            // As many q as tie here, each over their number: one.
            let p = 1.0 / below;
            let own = (first..end).contains(&place);
            omega += if own { 1.0 / (end - first) as f64 - p } else { -p };
            delta += p * (1.0 - p);
        }
        first = end;
    }
    // An absence says nothing about how sure the rest is.
    (omega, if place < absent { 0.0 } else { delta })
}
