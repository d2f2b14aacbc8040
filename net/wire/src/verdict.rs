//! Which manifest counts: that of the validator with the most stake who announced one in time.
//!
//! Announcements are notes on the chain, so every node sees the same ones in the same blocks and
//! comes to the same end, whatever it could download when. A validator that is silent is replaced:
//! once a third of the stake has announced, those with more stake have `judge_blocks` left.
//! A stake below that third cannot shorten anybody's time.

use crate::{BlockNumber, Digest, Hotkey, Span};

/// A validator that may publish manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Who it is.
    pub validator: Hotkey,
    /// Stake behind it, in 10^-9 of a token.
    pub stake_rao: u64,
    /// Its manifest for the window in question, if it announced one.
    pub announced: Option<Announced>,
}

/// A manifest that the chain knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Block of the announcement.
    pub block: BlockNumber,
    /// The manifest's hash as a document.
    pub hash: Digest,
}

/// What a window came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is decided yet.
    Open,
    /// This validator's manifest counts.
    Counted {
        /// Who published it.
        validator: Hotkey,
        /// Its hash.
        hash: Digest,
    },
    /// Nobody published one: the state stays as it is.
    Null,
}

/// The verdict on the window of `span` as of block `head`. Once it is not [`Verdict::Open`] it
/// stays the same for every later head. `judge_blocks` is the run's.
pub fn verdict(voters: &[Voter], span: Span, judge_blocks: u64, head: BlockNumber) -> Verdict {
    let mut ranked = voters.to_vec();
    ranked.sort_by_key(|voter| (std::cmp::Reverse(voter.stake_rao), voter.validator));
    let closing = closing_block(&ranked, span, judge_blocks);
    let in_time = |announced: &Announced| announced.block <= closing;
    let best = ranked.iter().enumerate().find_map(|(rank, voter)| {
        Some((rank, voter.validator, voter.announced.filter(in_time)?.hash))
    });
    match best {
        // Nobody can come before the first of the ranking; all others may have to give way.
        Some((rank, validator, hash)) if rank == 0 || head > closing => {
            Verdict::Counted { validator, hash }
        }
        None if head > closing => Verdict::Null,
        _ => Verdict::Open,
    }
}

/// Last block whose announcements count.
fn closing_block(voters: &[Voter], span: Span, judge_blocks: u64) -> BlockNumber {
    let total: u128 = voters.iter().map(|voter| u128::from(voter.stake_rao)).sum();
    let mut announced: Vec<_> = voters
        .iter()
        .filter_map(|voter| Some((voter.announced?.block, u128::from(voter.stake_rao))))
        .collect();
    announced.sort();
    let mut heard = 0;
    let third = announced.into_iter().find(|(_, stake)| {
        heard += stake;
        3 * heard >= total
    });
    let early = third.map(|(block, _)| BlockNumber(block.0.saturating_add(judge_blocks)));
    early.map_or(span.limit, |early| early.min(span.limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Window, Windows};

    const JUDGE: u64 = 5;

    fn span() -> Span {
        let first_block = BlockNumber(100);
        Windows { first_block, blocks_per_window: 50, judge_blocks: JUDGE }.first()
    }

    fn voter(name: u8, stake_rao: u64, block: Option<u64>) -> Voter {
        let announced =
            block.map(|block| Announced { block: BlockNumber(block), hash: Digest([name; 32]) });
        Voter { validator: Hotkey([name; 32]), stake_rao, announced }
    }

    fn at(voters: &[Voter], head: u64) -> Verdict {
        verdict(voters, span(), JUDGE, BlockNumber(head))
    }

    fn counted(name: u8) -> Verdict {
        Verdict::Counted { validator: Hotkey([name; 32]), hash: Digest([name; 32]) }
    }

    #[test]
    fn the_first_of_the_ranking_counts_at_once() {
        assert_eq!(span().window, Window(0));
        let voters = [voter(1, 30, None), voter(2, 40, Some(110)), voter(3, 30, Some(109))];
        assert_eq!(at(&voters, 110), counted(2));
    }

    #[test]
    fn a_silent_validator_is_replaced_after_the_judging_time() {
        let voters = [voter(1, 40, None), voter(2, 35, Some(110)), voter(3, 25, Some(108))];
        assert_eq!(at(&voters, 115), Verdict::Open);
        assert_eq!(at(&voters, 116), counted(2));
        let late = [voter(1, 40, Some(116)), voters[1], voters[2]];
        assert_eq!(at(&late, 116), counted(2), "too late to overtake");
        let just = [voter(1, 40, Some(115)), voters[1], voters[2]];
        assert_eq!(at(&just, 115), counted(1));
    }

    #[test]
    fn little_stake_cannot_hurry_the_others() {
        let voters = [voter(1, 40, None), voter(2, 40, None), voter(3, 20, Some(101))];
        assert_eq!(at(&voters, 155), Verdict::Open);
        assert_eq!(at(&voters, 156), counted(3));
    }

    #[test]
    fn a_window_without_manifests_is_null_after_its_limit() {
        assert_eq!(at(&[voter(1, 1, None)], 155), Verdict::Open);
        assert_eq!(at(&[voter(1, 1, None)], 156), Verdict::Null);
        assert_eq!(at(&[], 156), Verdict::Null);
        assert_eq!(at(&[voter(1, 1, Some(156))], 200), Verdict::Null, "announced too late");
    }

    proptest! {
        #[test]
        fn what_is_decided_stays_decided(
            stakes in prop::collection::vec((0u64..5, prop::option::of(100u64..170)), 0..6),
        ) {
            let voters: Vec<_> =
                stakes.iter().enumerate().map(|(i, (s, b))| voter(i as u8 + 1, *s, *b)).collect();
            // At each head a node sees what was announced until then.
            let seen = |head: u64| -> Vec<Voter> {
                let seen = |a: &Announced| a.block.0 <= head;
                voters.iter().map(|v| Voter { announced: v.announced.filter(seen), ..*v }).collect()
            };
            let mut decided = Verdict::Open;
            for head in 100..180 {
                let now = at(&seen(head), head);
                if decided != Verdict::Open {
                    prop_assert_eq!(now, decided);
                }
                decided = now;
            }
            prop_assert_ne!(decided, Verdict::Open);
        }
    }
}
