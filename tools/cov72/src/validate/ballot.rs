//! When a validator sets weights on the chain: every few windows, and where the chain refuses,
//! again at the block that it names.

use chain::ChainError;
use gauntlet::rules::{RULES_VERSION, VOTE_EVERY_WINDOWS};
use gauntlet::{Book, votes};
use wire::{BlockNumber, Window};

use crate::node::Node;

/// What is still to be voted.
#[derive(Debug)]
pub(super) struct Ballot {
    /// Whether weights are due.
    is_due: bool,
    /// The chain takes none before this block.
    not_before: BlockNumber,
}

impl Ballot {
    /// Nothing is due.
    pub(super) fn new() -> Self {
        Self { is_due: false, not_before: BlockNumber(0) }
    }

    /// The scores of `window` are known.
    pub(super) fn scored(&mut self, window: Window) {
        self.is_due |= (window.0 + 1).is_multiple_of(VOTE_EVERY_WINDOWS);
    }

    /// Votes by `book`, if that is due and allowed now.
    pub(super) fn cast(&mut self, node: &Node, book: &Book) {
        if !self.is_due || node.head() < self.not_before {
            return;
        }
        let weights = book.weights();
        match node.set_weights(&votes(&weights), RULES_VERSION) {
            Ok(()) => {
                self.is_due = false;
                let share = |(uid, weight): &(wire::Uid, f64)| format!("{uid}:{weight:.3}");
                let shares: Vec<_> = weights.iter().map(share).collect();
                node.voice.say(&format!("weights set: {}", shares.join(" ")));
            }
            Err(ChainError::WeightsTooOften { next_block, last_update, .. }) => {
                self.not_before = next_block;
                node.voice.say(&format!(
                    "the chain takes no weights before block {next_block}, since the last are of \
                     block {last_update}; trying again then"
                ));
            }
            Err(error) => {
                self.not_before = BlockNumber(node.head().0 + 1);
                node.voice.say(&format!("no weights set: {error}; trying again"));
            }
        }
    }
}
