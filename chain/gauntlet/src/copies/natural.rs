//! What honest peers have in common, read off the pairs of a window.
//!
//! For each peer it is the median of what it shares with the others: neither some who copy it nor
//! some who send noise move that. A pair is held to the larger of its two, and never to more than
//! [`NATURAL_MAX`], so that copies do not become nature even when they are most of the network.

use super::pairs::Pair;
use crate::rules::NATURAL_MAX;

/// Shares of its values that a peer has in common with another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Natural {
    /// Of one window.
    pub within: f64,
    /// Of one window, among the values that hardly anybody else keeps.
    pub rare: f64,
    /// Of the window before or after.
    pub across: f64,
}

impl Natural {
    /// For each of `peers`, the first `last` of which are those of the window before.
    pub(super) fn of_each(pairs: &[Pair], peers: usize, last: usize) -> Vec<Self> {
        let of_all = |is_meant: fn(bool) -> bool, share: fn(&Pair) -> f64| -> Vec<f64> {
            let mut shares: Vec<Vec<f64>> = vec![Vec::new(); peers];
            for pair in pairs.iter().filter(|pair| is_meant(pair.b >= last)) {
                shares[pair.a].push(share(pair));
                shares[pair.b].push(share(pair));
            }
            shares.into_iter().map(lower_median).collect()
        };
        let within = of_all(|is_within| is_within, |pair| pair.overlap);
        let rare = of_all(|is_within| is_within, |pair| pair.rare);
        let across = of_all(|is_within| !is_within, |pair| pair.overlap);
        let of = |at: usize| Self { within: within[at], rare: rare[at], across: across[at] };
        (0..peers).map(of).collect()
    }

    /// The median of each over `peers`.
    pub(super) fn median(peers: &[Self]) -> Self {
        let of = |share: fn(&Self) -> f64| lower_median(peers.iter().map(share).collect());
        Self { within: of(|n| n.within), rare: of(|n| n.rare), across: of(|n| n.across) }
    }

    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            within: self.within.max(other.within),
            rare: self.rare.max(other.rare),
            across: self.across.max(other.across),
        }
    }
}

/// The median, of an even number the lower one; 0 of none.
fn lower_median(mut shares: Vec<f64>) -> f64 {
    shares.sort_unstable_by(f64::total_cmp);
    let median = shares.get(shares.len().saturating_sub(1) / 2);
    median.copied().unwrap_or(0.0).min(NATURAL_MAX)
}
