//! What honest peers have in common, read off the pairs of a window.
//!
//! It is the lower quartile, so that copies do not count as nature until they are most of the
//! network, and never more than [`NATURAL_MAX`], so that they do not even then.

use super::pairs::Pair;
use crate::rules::NATURAL_MAX;

/// Shares of their values that two honest peers have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Natural {
    /// In one window.
    pub within: f64,
    /// In one window, of the values that hardly anybody else keeps.
    pub rare: f64,
    /// Between one window and the next.
    pub across: f64,
}

impl Natural {
    /// By the pairs of sketches, the first `last` of which are those of the window before.
    pub(super) fn of(pairs: &[Pair], last: usize) -> Self {
        let within = || pairs.iter().filter(|pair| pair.b >= last);
        let across = pairs.iter().filter(|pair| pair.b < last);
        Self {
            within: lower_quartile(within().map(|pair| pair.overlap)),
            rare: lower_quartile(within().map(|pair| pair.rare)),
            across: lower_quartile(across.map(|pair| pair.overlap)),
        }
    }
}

/// What a quarter of the shares do not exceed; 0 of none.
fn lower_quartile(shares: impl Iterator<Item = f64>) -> f64 {
    let mut shares: Vec<f64> = shares.collect();
    shares.sort_unstable_by(f64::total_cmp);
    let quartile = shares.get(shares.len().saturating_sub(1) / 4);
    quartile.copied().unwrap_or(0.0).min(NATURAL_MAX)
}
