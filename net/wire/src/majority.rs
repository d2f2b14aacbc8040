//! Which history counts when validators build on different ones: that of at least half the stake.
//!
//! In step, a node needs nobody's word: it sees by itself which manifest follows from the last one.
//! Who was away, or went wrong, asks what the others build on.

use crate::{StateRoot, Window};

/// A state, by the window that led to it.
pub type Milestone = (Window, StateRoot);

/// A validator, by what it builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// Stake behind it, in 10^-9 of a token.
    pub stake_rao: u64,
    /// The states that it came through, the newest first, as far back as they are known.
    pub history: Vec<Milestone>,
}

/// The newest state that at least half of the stake has in its history, if there is one. Of two
/// halves the one that comes first in `builders` is right.
pub fn majority(builders: &[Builder]) -> Option<Milestone> {
    let stake = |of: &dyn Fn(&Builder) -> bool| -> u128 {
        builders.iter().filter(|b| of(b)).map(|b| u128::from(b.stake_rao)).sum()
    };
    let total = stake(&|_| true);
    let is_shared = |milestone: &&Milestone| {
        let shared = stake(&|builder| builder.history.contains(milestone));
        shared > 0 && 2 * shared >= total
    };
    let mut newest: Option<Milestone> = None;
    for builder in builders {
        let Some(found) = builder.history.iter().find(is_shared) else { continue };
        // Another half's history goes no further than where the two parted.
        let goes_on = newest.is_none_or(|newest| builder.history.contains(&newest));
        if goes_on && newest.is_none_or(|newest| newest.0 < found.0) {
            newest = Some(*found);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// States after the windows that are named, on the branch `branch`.
    fn on(branch: u8, windows: impl DoubleEndedIterator<Item = u64>) -> Vec<Milestone> {
        windows.rev().map(|window| (Window(window), StateRoot([branch; 32]))).collect()
    }

    fn builder(stake_rao: u64, history: Vec<Milestone>) -> Builder {
        Builder { stake_rao, history }
    }

    #[test]
    fn whoever_is_ahead_with_little_stake_is_not_followed() {
        let builders = [builder(60, on(0, 0..4)), builder(40, on(0, 0..9))];
        assert_eq!(majority(&builders), on(0, 3..4).pop());
        let builders = [builder(60, on(0, 0..9)), builder(40, on(0, 0..4))];
        assert_eq!(majority(&builders), on(0, 8..9).pop());
    }

    #[test]
    fn the_branch_of_less_than_half_does_not_count() {
        let forged = [on(7, 2..9), on(0, 0..2)].concat();
        let builders = [builder(45, forged), builder(30, on(0, 0..4)), builder(25, on(0, 0..5))];
        assert_eq!(majority(&builders), on(0, 3..4).pop());
    }

    #[test]
    fn of_two_halves_the_first_is_right_and_silence_is_no_agreement() {
        let other = [on(7, 2..9), on(0, 0..2)].concat();
        let halves = [builder(50, on(0, 0..4)), builder(50, other)];
        assert_eq!(majority(&halves), on(0, 3..4).pop());
        assert_eq!(majority(&[builder(40, on(0, 0..4)), builder(60, Vec::new())]), None);
        assert_eq!(majority(&[]), None);
    }

    proptest! {
        #[test]
        fn what_more_than_half_the_stake_shares_is_never_contradicted(
            stakes in prop::collection::vec((1u64..9, 0u8..3, 1u64..6), 1..6),
        ) {
            // All branches part after window 0.
            let history =
                |branch: u8, end: u64| [on(branch + 1, 1..end), on(0, 0..1)].concat();
            let builders: Vec<_> =
                stakes.iter().map(|(s, b, end)| builder(*s, history(*b, *end))).collect();
            let total: u64 = stakes.iter().map(|(stake, ..)| stake).sum();
            let found = majority(&builders).expect("all share window 0");
            for branch in 0..3 {
                let on_it = stakes.iter().filter(|(_, b, end)| *b == branch && *end > 1);
                let stake: u64 = on_it.map(|(stake, ..)| stake).sum();
                if 2 * stake > total {
                    prop_assert_eq!(found.1, StateRoot([branch + 1; 32]));
                }
            }
        }
    }
}
