//! What each peer is paid: a profile that falls from 2 to 1 over the gathered peers and stays at 1
//! over the reserve, times the score.
//!
//! With 20 gathered peers and 10 in reserve of equal scores, the reserve gets a quarter, as the
//! published rules mean it to. Their guard against a reserve that is paid more than the last
//! gathered peer cut that quarter to 3.2 %; here nobody is ever paid more than a better peer, and
//! nothing needs a guard.

use std::collections::BTreeMap;

use wire::{Hotkey, Uid, Window};

use crate::rules::Terms;
use crate::seat::Seat;

/// A peer that may be paid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ranked {
    pub(crate) uid: Uid,
    pub(crate) score: f64,
    since: Window,
    hotkey: Hotkey,
}

/// Everyone with a score, best first; of equals who has been there longer, then by hotkey.
pub(crate) fn rank(seats: &BTreeMap<Uid, Seat>) -> Vec<Ranked> {
    let ranked = seats.iter().map(|(uid, seat)| {
        let (since, hotkey) = (seat.since, seat.hotkey);
        Ranked { uid: *uid, score: seat.score(), since, hotkey }
    });
    let mut ranked: Vec<Ranked> = ranked.filter(|ranked| ranked.score > 0.0).collect();
    let tie = |ranked: &Ranked| (ranked.since, ranked.hotkey);
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| tie(a).cmp(&tie(b))));
    ranked
}

/// The share of each of `ranked`; together what is not burned. Equal scores are paid alike.
pub(crate) fn pay(ranked: &[Ranked], terms: &Terms) -> Vec<f64> {
    let mut parts: Vec<f64> = Vec::with_capacity(ranked.len());
    for equals in ranked.chunk_by(|a, b| a.score == b.score) {
        let ranks = parts.len()..parts.len() + equals.len();
        let profile: f64 = ranks.map(|rank| profile(rank, ranked.len(), terms)).sum();
        let part = profile / equals.len() as f64 * equals[0].score;
        parts.extend(std::iter::repeat_n(part, equals.len()));
    }
    let sum: f64 = parts.iter().sum();
    if sum <= 0.0 {
        return vec![0.0; ranked.len()];
    }
    let paid = 1.0 - f64::from(terms.burn_permille.min(1000)) / 1000.0;
    parts.into_iter().map(|part| paid * part / sum).collect()
}

/// The profile at `rank`, counted from 0, of `peers`.
fn profile(rank: usize, peers: usize, terms: &Terms) -> f64 {
    let gathered = peers.min(terms.gathered);
    if rank < gathered {
        2.0 - rank as f64 / (gathered - 1).max(1) as f64
    } else if rank - gathered < terms.reserve {
        1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(scores: impl IntoIterator<Item = f64>) -> Vec<Ranked> {
        let peer = |(uid, score)| Ranked {
            uid: Uid(uid as u16),
            score,
            since: Window(0),
            hotkey: Hotkey([uid as u8; 32]),
        };
        scores.into_iter().enumerate().map(peer).collect()
    }

    #[test]
    fn the_reserve_of_a_full_network_gets_a_quarter() {
        // Scores that differ in the last bits only, so that none are equal.
        let peers = ranked((0..30).map(|rank| 1.0 - f64::from(rank) * 1e-15));
        let shares = pay(&peers, &Terms::default());
        let reserve: f64 = shares[20..].iter().sum();
        assert!((reserve - 0.5 * 0.25).abs() < 1e-12, "{reserve}");
        assert!((shares.iter().sum::<f64>() - 0.5).abs() < 1e-12);
        assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    }

    #[test]
    fn equals_are_paid_alike_wherever_the_gathered_end() {
        let shares = pay(&ranked([0.5; 40]), &Terms::default());
        assert!(shares.iter().all(|share| (share - 0.5 / 40.0).abs() < 1e-15), "{shares:?}");
    }

    #[test]
    fn few_peers_share_everything_that_is_not_burned() {
        let terms = Terms { burn_permille: 0, ..Terms::default() };
        assert_eq!(pay(&ranked([0.3]), &terms), [1.0]);
        let shares = pay(&ranked([0.4, 0.2]), &terms);
        assert!((shares[0] - 0.8).abs() < 1e-15 && (shares[1] - 0.2).abs() < 1e-15, "{shares:?}");
        assert!(pay(&[], &terms).is_empty());
    }

    #[test]
    fn terms_without_a_place_pay_nobody() {
        let terms = Terms { gathered: 0, reserve: 0, ..Terms::default() };
        assert_eq!(pay(&ranked([0.4, 0.2]), &terms), [0.0, 0.0]);
    }
}
